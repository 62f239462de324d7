"""Frames -> the file of a moving picture, which rests on its last frame and begins anew."""

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

Kind = Literal["gif", "webp"]

EDGE_PX = 320
"""Long edge of a frame."""
FRAMES = 24
"""Of a moving picture, at most."""
FRAME_MS = 110
LAST_MS = 2200
MOST_BYTES = 1_500_000
"""Of a file; frames are made smaller until it is within that."""
SMALLER = (1.0, 0.8, 0.64, 0.5, 0.35)
WEBP_QUALITY = 62
GIF_COLOURS = 256


def frame_size(width: int, height: int) -> tuple[int, int]:
    """Of the frames of a pastiche, in pixels; no frame is larger than it.

    >>> frame_size(1024, 768), frame_size(200, 100)
    ((320, 240), (200, 100))
    """
    scale = min(1.0, EDGE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def animation(frames: Sequence[Image.Image], kind: Kind, most_bytes: int = MOST_BYTES) -> bytes:
    """A moving picture of some frames of equal size, within a number of bytes where that can be had."""
    data = b""
    for scale in SMALLER:
        size = (max(1, round(frames[0].width * scale)), max(1, round(frames[0].height * scale)))
        data = _encoded([frame.resize(size, Image.Resampling.LANCZOS) for frame in frames], kind)
        if len(data) <= most_bytes:
            break
    return data


def _encoded(frames: Sequence[Image.Image], kind: Kind) -> bytes:
    buffer = io.BytesIO()
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    facts = {"save_all": True, "duration": times, "loop": 0}
    if kind == "webp":
        frames[0].save(buffer, "WEBP", append_images=frames[1:], quality=WEBP_QUALITY, method=4, **facts)
        return buffer.getvalue()
    # A palette for each frame: one for all turns a photograph and its pastiche pale. Not the default median cut, which
    # is a hundred times as slow and dulls bright colours; no dithering, whose dots would dance from frame to frame.
    octree = Image.Quantize.FASTOCTREE
    flat = [frame.quantize(GIF_COLOURS, method=octree, dither=Image.Dither.NONE) for frame in frames]
    flat[0].save(buffer, "GIF", append_images=flat[1:], optimize=True, disposal=1, **facts)
    return buffer.getvalue()

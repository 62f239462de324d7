"""Encode frames as an animated GIF or WebP that holds its last frame for a while and loops."""

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

Kind = Literal["gif", "webp"]

EDGE_PX = 320
"""The long edge of a frame, in pixels."""
FRAMES = 24
"""How many frames an animation has at most."""
FRAME_MS = 110
LAST_MS = 2200
MOST_BYTES = 1_500_000
"""The size limit of a file; frames are scaled down until it is met."""
SMALLER = (1.0, 0.8, 0.64, 0.5, 0.35)
WEBP_QUALITY = 62
GIF_COLOURS = 256


def frame_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of a pastiche's frames in pixels; frames are never larger than the pastiche.

    >>> frame_size(1024, 768), frame_size(200, 100)
    ((320, 240), (200, 100))
    """
    scale = min(1.0, EDGE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def over_white(frames: Sequence[Image.Image], alpha: Image.Image | None) -> list[Image.Image]:
    """Lay frames of equal size over white where the file is transparent, as every page and sheet shows that file.

    Args:
        frames: the frames, of mode RGB.
        alpha: the file's transparency, of mode L and any size; None where it is opaque.
    """
    if alpha is None:
        return list(frames)
    small = alpha.resize(frames[0].size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    white = Image.new("RGB", small.size, "white")
    return [Image.composite(frame, white, small) for frame in frames]


def animation(frames: Sequence[Image.Image], kind: Kind, most_bytes: int = MOST_BYTES) -> bytes:
    """Return an animation of frames of equal size.

    Args:
        frames: the frames, in order.
        kind: the file format.
        most_bytes: the size limit; if the smallest scale in `SMALLER` still exceeds it, the file is returned anyway.
    """
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
    # Each frame has its own palette, because a shared one makes both the photograph and its pastiche pale. The default
    # median cut is a hundred times as slow and dulls bright colours; dithering dots would flicker between frames.
    octree = Image.Quantize.FASTOCTREE
    flat = [frame.quantize(GIF_COLOURS, method=octree, dither=Image.Dither.NONE) for frame in frames]
    flat[0].save(buffer, "GIF", append_images=flat[1:], optimize=True, disposal=1, **facts)
    return buffer.getvalue()

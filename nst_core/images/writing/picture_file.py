"""How a picture is kept as a file: format, bits, colour space, resolution."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nst_core.images.colour.rgb_space import Floats, from_srgb, srgb_profile, to_srgb

Levels = NDArray[np.uint8] | NDArray[np.uint16]
"""A file's own values, shape (height, width, 3), or 4 with an alpha, in as many bits as the file has."""


@dataclass(frozen=True)
class PictureFile:
    """What decides, beside the picture, on the pixels of a file.

    Attributes:
        file_format: png and tiff keep every value, jpeg and webp nearly.
        bit_depth: 16 with png and tiff only.
        jpeg_quality: 1 to 100, of a jpeg or webp.
        profile: made safe by `embeddable`; empty means sRGB, whose profile is embedded then.
        dpi: none says nothing of the size on paper.
    """

    file_format: Literal["png", "jpeg", "webp", "tiff"] = "png"
    bit_depth: Literal[8, 16] = 8
    jpeg_quality: int = 92
    profile: bytes = b""
    dpi: int | None = None

    @property
    def white(self) -> int:
        """The largest level."""
        return 255 if self.bit_depth == 8 else 65535

    @property
    def embedded_profile(self) -> bytes:
        """The profile that stands in the file."""
        return self.profile or srgb_profile()

    def levels(self, srgb: Floats, alpha: NDArray[np.uint8] | None = None) -> Levels:
        """The file's values for sRGB pixels in [0, 1]; and for an alpha of 8 bits, shape (height, width), if any."""
        colours = from_srgb(srgb, self.profile) if self.profile else srgb
        kind: Any = np.uint8 if self.bit_depth == 8 else np.uint16
        levels: Levels = np.round(colours * np.float32(self.white)).astype(kind)
        if alpha is None:
            return levels
        return np.dstack([levels, alpha.astype(kind) * (self.white // 255)])

    def srgb(self, levels: Levels) -> Floats:
        """The sRGB pixels, in [0, 1], that a reader of the file takes its values for; transparency left aside."""
        colours = levels[..., :3].astype(np.float32) / np.float32(self.white)
        return to_srgb(colours, self.profile) if self.profile else colours

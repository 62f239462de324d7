"""The format, bits, colour space and resolution of an output file."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nst_core.images.colour.rgb_space import Floats, from_srgb, srgb_profile, to_srgb
from nst_core.options.file_formats import FileFormatName

Levels = NDArray[np.uint8] | NDArray[np.uint16]
"""A file's integer values, shape (height, width, 3), or 4 with alpha, of as many bits as the file has."""


@dataclass(frozen=True)
class PictureFile:
    """The settings of an output file.

    Attributes:
        file_format: its format; `FILE_FORMATS` says what each can hold.
        bit_depth: bits per channel, as many as the format can hold.
        jpeg_quality: 1 to 100, for a jpeg or webp.
        profile: the colour profile, made safe by `embeddable`; empty means sRGB, whose profile is then embedded.
        dpi: the resolution on paper, or None to leave it out.
    """

    file_format: FileFormatName = "png"
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
        """The profile that is embedded in the file."""
        return self.profile or srgb_profile()

    def levels(self, srgb: Floats, alpha: NDArray[np.uint8] | None = None) -> Levels:
        """Convert sRGB pixels in [0, 1], and 8-bit alpha of shape (height, width), if any, to the file's values."""
        colours = from_srgb(srgb, self.profile) if self.profile else srgb
        kind: Any = np.uint8 if self.bit_depth == 8 else np.uint16
        levels: Levels = np.round(colours * np.float32(self.white)).astype(kind)
        if alpha is None:
            return levels
        return np.dstack([levels, alpha.astype(kind) * (self.white // 255)])

    def srgb(self, levels: Levels) -> Floats:
        """Return the sRGB pixels in [0, 1] that a reader of the file gets from its values, without alpha."""
        colours = levels[..., :3].astype(np.float32) / np.float32(self.white)
        return to_srgb(colours, self.profile) if self.profile else colours

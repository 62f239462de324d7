"""Colour of 16 bits per channel, of which Pillow gives the upper eight: the lower ones, and what both mean in sRGB."""

import sys
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from nst_core.images.colour.profiles import usable_profile
from nst_core.images.colour.rgb_space import rgb_space, srgb_profile

Deep = NDArray[np.uint16]
"""Pixels, shape (height, width, channels), white at 65535."""
Piece = Image.Image | Deep
"""What a decoder gives at a time: in its own mode, or in 16 bits."""

_NATIVE, _OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_SWAPPED: Final = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _OTHER))
}
"""How Pillow's unpackers are called -> the one that takes the other byte of each value."""


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether a picture, not yet loaded, is of 16-bit colours that Pillow would cut to 8."""
    return bool(image.tile) and all(_packing(tile) in _SWAPPED for tile in image.tile)


def take_lower_bytes(image: ImageFile.ImageFile) -> None:
    """Have a deep picture, not yet loaded, come out as the lower bytes of its values."""
    image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]


def joined(upper: Image.Image, lower: Image.Image) -> Deep:
    """The values of a picture whose bytes were loaded one after the other."""
    values = np.asarray(upper).astype(np.uint16)
    values <<= 8
    values |= np.asarray(lower)
    return values


def as_8_bits(values: Deep) -> NDArray[np.uint8]:
    """Divided by 257 and rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def colours_in_srgb(values: Deep, icc: bytes) -> NDArray[np.uint8]:
    """The sRGB of colours, shape (height, width, 3), in the space of a profile of primaries and curves.

    Raises:
        ValueError: the profile is none of those.
    """
    curves, mix = _to_linear_srgb(icc)
    light = np.stack([curves[channel][values[..., channel]] for channel in range(3)], axis=-1) @ mix
    np.clip(light, 0.0, 65535.0, out=light)
    light += np.float32(0.5)
    return _from_linear()[light.astype(np.uint16)]


@lru_cache(maxsize=4)
def grey_in_srgb(icc: bytes) -> NDArray[np.uint8]:
    """The sRGB, shape (65536, 3), of every grey of 16 bits in the space of a profile.

    Raises:
        ValueError, ImageCms.PyCMSError: the profile is none of grey.
    """
    profile = ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc)))
    if profile.profile.xcolor_space.strip() != "GRAY":
        raise ValueError("a profile of another space than grey")
    ramp = Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    flags = ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.BLACKPOINTCOMPENSATION
    to_srgb = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), "I;16", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags
    )
    return np.asarray(to_srgb.apply(ramp)).reshape(65536, 3)


@lru_cache(maxsize=4)
def _to_linear_srgb(icc: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Curves, shape (3, 65536), and the matrix behind them, to light in sRGB's primaries, white at 65535."""
    space, srgb = rgb_space(usable_profile(icc)), rgb_space(srgb_profile())
    mix = np.linalg.solve(srgb.to_xyz, space.to_xyz).T * 65535
    return space.curves.astype(np.float32), mix.astype(np.float32)


@lru_cache(maxsize=1)
def _from_linear() -> NDArray[np.uint8]:
    """The 8-bit sRGB of light of 16 bits."""
    light = np.arange(65536) / 65535
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * values).astype(np.uint8)


def _packing(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) else args)


def _swapped(args: Any) -> Any:
    return (_SWAPPED[args[0]], *args[1:]) if isinstance(args, tuple) else _SWAPPED[args]

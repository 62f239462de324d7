"""16-bit colour: decoding the lower eight bits, which Pillow drops, and conversion to sRGB."""

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
"""What a decoder yields at a time: an image in its own mode, or 16-bit pixels."""

_OTHER = "B" if sys.byteorder == "little" else "L"
_OTHER_BYTE: Final = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _OTHER))
}
"""Pillow's raw mode -> the raw mode that decodes the other byte of each value."""


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Return whether an image, not yet loaded, has 16-bit colours that Pillow would reduce to 8 bits."""
    return bool(image.tile) and all(_raw_mode(tile) in _OTHER_BYTE for tile in image.tile)


def take_lower_bytes(image: ImageFile.ImageFile) -> None:
    """Make Pillow decode the lower bytes of a deep image's values, which is not yet loaded."""
    image.tile = [tile._replace(args=_for_other_byte(tile.args)) for tile in image.tile]


def join_bytes(upper: Image.Image, lower: Image.Image) -> Deep:
    """Return the 16-bit values of an image whose upper and lower bytes were decoded separately."""
    values = np.asarray(upper).astype(np.uint16)
    values <<= 8
    values |= np.asarray(lower)
    return values


def as_8_bits(values: Deep) -> NDArray[np.uint8]:
    """Return the values divided by 257 and rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def colours_in_srgb(values: Deep, icc: bytes) -> NDArray[np.uint8]:
    """Convert colours, shape (height, width, 3), from the space of a profile with primaries and curves to sRGB.

    Raises:
        ValueError: if the profile is of another kind.
    """
    curves, mix = _to_linear_srgb(icc)
    light = np.stack([curves[channel][values[..., channel]] for channel in range(3)], axis=-1) @ mix
    np.clip(light, 0.0, 65535.0, out=light)
    light += np.float32(0.5)
    return _from_linear()[light.astype(np.uint16)]


@lru_cache(maxsize=4)
def grey_in_srgb(icc: bytes) -> NDArray[np.uint8]:
    """Return the sRGB colour, shape (65536, 3), of every 16-bit grey in the space of a profile.

    Raises:
        ValueError: if the profile is not a grey one.
        ImageCms.PyCMSError: if littlecms cannot use the profile.
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
    """Return the curves, shape (3, 65536), and the matrix to apply after them, to linear sRGB with white at 65535."""
    space, srgb = rgb_space(usable_profile(icc)), rgb_space(srgb_profile())
    mix = np.linalg.solve(srgb.to_xyz, space.to_xyz).T * 65535
    return space.curves.astype(np.float32), mix.astype(np.float32)


@lru_cache(maxsize=1)
def _from_linear() -> NDArray[np.uint8]:
    """Return the 8-bit sRGB value of every 16-bit linear value."""
    light = np.arange(65536) / 65535
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * values).astype(np.uint8)


def _raw_mode(tile: Any) -> str:
    """Return the raw mode with which Pillow decodes a tile."""
    args = tile.args
    return str(args[0] if isinstance(args, tuple) else args)


def _for_other_byte(args: Any) -> Any:
    """Return a tile's decoder arguments changed to decode the other byte of each value."""
    return (_OTHER_BYTE[args[0]], *args[1:]) if isinstance(args, tuple) else _OTHER_BYTE[args]

"""RGB colour spaces with primaries and curves, such as Adobe RGB, Display P3 and ProPhoto: conversion from and to sRGB.

A user's profile is parsed here, in a page of arithmetic, and never by a library's C code, because its content may be
crafted. Input and output are floats, which preserve 16 bits; Pillow's littlecms cannot.
"""

import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from nst_core.images.colour.profiles import HEADER_BYTES, MOST_TAGS, TAG_BYTES, usable_profile

Floats = NDArray[np.float32]
"""Pixels, shape (height, width, 3), in [0, 1]."""

MAX_BYTES: Final = 100_000
"""The largest profile that is embedded in results; those with primaries and curves have up to some ten thousand
bytes."""
MAX_ROUND_TRIP_ERROR: Final = 0.1
"""The largest mean difference, on a scale of 1, between sRGB colours and their round trip through a colour space: a
small space clips a little."""
END_TOLERANCE: Final = 0.001
"""How far above 0 a curve may begin, and how far below 1 it may end."""

_SPACES: Final = {b"CMYK": "of CMYK", b"GRAY": "of grey", b"Lab ": "of Lab"}
"""Colour space signature -> how a refusal names it."""
# Names of tags.
_PRIMARIES: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES: Final = (b"rTRC", b"gTRC", b"bTRC")
_TABLES: Final = (b"A2B", b"B2A", b"D2B", b"B2D")
"""Prefixes of the tags with lookup tables, which programs prefer to primaries and curves."""
_GRID: Final = np.linspace(0.0, 1.0, 65536)
"""The points where curves are sampled: every value that a file of 16 bits, or of 8, can hold."""
_STRIP_PIXELS: Final = 1_000_000
"""Pixels that are converted at a time, in float64."""


@dataclass(frozen=True, eq=False)
class RgbSpace:
    """A colour space: each value, through the curve of its channel, is an amount of a primary.

    Attributes:
        to_xyz: shape (3, 3), amounts of the primaries -> XYZ under D50.
        curves: shape (3, 65536), a value from 0 to 1 -> an amount from 0 to 1, never decreasing.
    """

    to_xyz: NDArray[np.float64]
    curves: NDArray[np.float64]


@cache
def srgb_profile() -> bytes:
    """Return the profile of sRGB, always with the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # a fixed creation date instead of the current time
    return bytes(profile)


def embeddable(icc: bytes) -> bytes:
    """Return a profile in a form that is safe to embed in our files: a small RGB profile with primaries and curves.

    Raises:
        ValueError: if it is no such profile; the message continues a sentence "the profile is ...".
    """
    space = icc[16:20]
    if space != b"RGB ":
        raise ValueError(_SPACES.get(space, "of no RGB space"))
    usable = usable_profile(icc)
    if len(usable) > MAX_BYTES:
        raise ValueError(f"of {len(usable)} bytes, more than {MAX_BYTES}")
    rgb_space(usable)
    return usable


@lru_cache(maxsize=8)
def rgb_space(icc: bytes) -> RgbSpace:
    """Return the colour space that a profile describes.

    Raises:
        ValueError: as for `embeddable`.
    """
    try:
        with np.errstate(all="raise", under="ignore"):
            space = _read(icc)
            space_error = _round_trip_error(space)
    except (struct.error, ArithmeticError, KeyError, IndexError, np.linalg.LinAlgError) as error:
        raise ValueError("damaged, or without primaries and curves") from error
    if not space_error <= MAX_ROUND_TRIP_ERROR:
        raise ValueError("of a space that does not hold the colours of sRGB")
    return space


def from_srgb(pixels: Floats, icc: bytes) -> Floats:
    """Convert sRGB pixels to the space of a profile; colours outside of it are clipped channel by channel."""
    return _converted(pixels, rgb_space(srgb_profile()), rgb_space(icc))


def to_srgb(pixels: Floats, icc: bytes) -> Floats:
    """Convert pixels in the space of a profile to sRGB."""
    return _converted(pixels, rgb_space(icc), rgb_space(srgb_profile()))


def _converted(pixels: Floats, source: RgbSpace, target: RgbSpace) -> Floats:
    """Convert pixels from one colour space to another."""
    mix = np.linalg.solve(target.to_xyz, source.to_xyz)
    result = np.empty_like(pixels)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        strip, converted = pixels[top : top + rows], result[top : top + rows]
        amounts = np.stack([np.interp(strip[..., c], _GRID, source.curves[c]) for c in range(3)], axis=-1) @ mix.T
        for c in range(3):
            converted[..., c] = np.interp(amounts[..., c], target.curves[c], _GRID)
    return result


def _round_trip_error(space: RgbSpace) -> float:
    """Return the mean error of a few hundred sRGB colours after a round trip through a space in 8 bits."""
    colours = np.stack(np.meshgrid(*[np.linspace(0, 1, 7, dtype=np.float32)] * 3), axis=-1).reshape(1, -1, 3)
    srgb = _read(srgb_profile())
    values = _converted(colours, srgb, space)
    return float(np.abs(_converted(np.round(values * 255) / np.float32(255), space, srgb) - colours).mean())


def _read(icc: bytes) -> RgbSpace:
    """Parse a profile."""
    if icc[20:24] != b"XYZ ":
        raise ValueError("of tables, not of primaries and curves")
    tags = _tags(icc)
    if any(name[:3] in _TABLES for name in tags):
        raise ValueError("of tables, not of primaries and curves")
    primaries = [[value / 65536 for value in struct.unpack(">3i", tags[name][8:20])] for name in _PRIMARIES]
    return RgbSpace(np.array(primaries).T, np.stack([_curve(tags[name]) for name in _CURVES]))


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """Return name -> content; of tags with the same name the first counts."""
    (number,) = struct.unpack_from(">I", icc, HEADER_BYTES)
    tags: dict[bytes, bytes] = {}
    for place in range(min(number, MOST_TAGS)):
        name, start, length = struct.unpack_from(">4sII", icc, HEADER_BYTES + 4 + place * TAG_BYTES)
        tags.setdefault(name, icc[start : start + length])
    return tags


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Return a sampled curve."""
    kind = tag[:4]
    if kind not in (b"curv", b"para"):
        raise ValueError("of curves of a rare kind")
    curve = (_table if kind == b"curv" else _formula)(tag)
    if not np.isfinite(curve).all() or (np.diff(curve) < 0).any():
        raise ValueError("of curves that fall")
    if curve[0] > END_TOLERANCE or curve[-1] < 1 - END_TOLERANCE:
        raise ValueError("of curves without black or white")  # which only some programs stretch
    return curve.clip(0.0, 1.0)


def _table(tag: bytes) -> NDArray[np.float64]:
    """Return a sampled curve given by equidistant values; a single value is an exponent, and no value the identity."""
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return _GRID
    values = np.array(struct.unpack_from(f">{min(count, MAX_BYTES)}H", tag, 12), dtype=np.float64)
    if count == 1:
        return np.asarray(_GRID ** (values[0] / 256))
    return np.interp(_GRID, np.linspace(0.0, 1.0, count), values / 65535)


def _formula(tag: bytes) -> NDArray[np.float64]:
    """Return a sampled curve given by a formula: (a x + b)^g + e from d on, and c x + f below."""
    form = int.from_bytes(tag[8:10])
    parameters = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[form]}i", tag, 12)]
    g, a, b, c, d, e, f = parameters + [0.0] * (7 - len(parameters))
    if form == 0:
        a = 1.0
    elif form in (1, 2):
        c, d, e, f = 0.0, -b / a, c, c
    return np.asarray(np.where(d <= _GRID, np.maximum(a * _GRID + b, 0.0) ** g + e, c * _GRID + f))

"""RGB colour spaces of primaries and curves, as Adobe RGB, Display P3 and ProPhoto are: sRGB -> their values and back.

A profile that was handed in is read here, in a page of arithmetic, and never by the C code of a library: its numbers
may be anything. Floats go in and come out, so that 16 bits are kept, which Pillow's littlecms cannot do.
"""

import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from nst_core.images.colour.profiles import usable_profile

Floats = NDArray[np.float32]
"""Pixels, shape (height, width, 3), in [0, 1]."""

MAX_BYTES: Final = 100_000
"""Of a profile that is kept: those of primaries and curves have up to some ten thousand."""
MOST_AMISS: Final = 0.1
"""Mean difference, of 1, of sRGB's colours and what a colour space gives back of them: a small one clips a little."""
MOST_BLACK: Final = 0.001
"""Where a curve may begin, and how far below 1 it may end."""

_SPACES: Final = {b"CMYK": "of CMYK", b"GRAY": "of grey", b"Lab ": "of Lab"}
_PRIMARIES: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES: Final = (b"rTRC", b"gTRC", b"bTRC")
_TABLES: Final = (b"A2B", b"B2A", b"D2B", b"B2D")
"""How the names of tags begin that hold tables, which programs heed before primaries and curves."""
_MOST_TAGS: Final = 100
_HEADER_BYTES, _TAG_BYTES = 128, 12
_GRID: Final = np.linspace(0.0, 1.0, 65536)
"""Where curves are sampled: at every value that a file of 16 bits, or of 8, can hold."""
_STRIP_PIXELS: Final = 1_000_000
"""Converted at a time, in float64."""


@dataclass(frozen=True, eq=False)
class RgbSpace:
    """A colour space: its values through a curve each are amounts of its primaries.

    Attributes:
        to_xyz: shape (3, 3), amounts of the primaries -> XYZ under D50.
        curves: shape (3, 65536), a value from 0 to 1 -> an amount from 0 to 1, never falling.
    """

    to_xyz: NDArray[np.float64]
    curves: NDArray[np.float64]


@cache
def srgb_profile() -> bytes:
    """The profile of sRGB, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # else the second at which it was made
    return bytes(profile)


def embeddable(icc: bytes) -> bytes:
    """The profile as it may stand in a file of ours: of an RGB space of primaries and curves, small and harmless.

    Raises:
        ValueError: it is no such profile; the message goes on from "the profile is ...".
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
    """The colour space that a profile describes.

    Raises:
        ValueError: as `embeddable`.
    """
    try:
        with np.errstate(all="raise", under="ignore"):
            space = _read(icc)
            amiss = _amiss(space)
    except (struct.error, ArithmeticError, KeyError, IndexError, np.linalg.LinAlgError) as error:
        raise ValueError("damaged, or without primaries and curves") from error
    if not amiss <= MOST_AMISS:
        raise ValueError("of a space that does not hold the colours of sRGB")
    return space


def from_srgb(pixels: Floats, icc: bytes) -> Floats:
    """The values of sRGB's colours in the space of a profile; what it does not hold is clipped, channel by channel."""
    return _converted(pixels, rgb_space(srgb_profile()), rgb_space(icc))


def to_srgb(pixels: Floats, icc: bytes) -> Floats:
    """The values in sRGB of colours in the space of a profile."""
    return _converted(pixels, rgb_space(icc), rgb_space(srgb_profile()))


def _converted(pixels: Floats, source: RgbSpace, target: RgbSpace) -> Floats:
    mix = np.linalg.solve(target.to_xyz, source.to_xyz)
    result = np.empty_like(pixels)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, pixels.shape[0], rows):
        strip, converted = pixels[top : top + rows], result[top : top + rows]
        amounts = np.stack([np.interp(strip[..., c], _GRID, source.curves[c]) for c in range(3)], axis=-1) @ mix.T
        for c in range(3):
            converted[..., c] = np.interp(amounts[..., c], target.curves[c], _GRID)
    return result


def _amiss(space: RgbSpace) -> float:
    """How far a few hundred colours of sRGB come back from 8 bits in a space, on the mean; far where it is nonsense."""
    colours = np.stack(np.meshgrid(*[np.linspace(0, 1, 7, dtype=np.float32)] * 3), axis=-1).reshape(1, -1, 3)
    srgb = _read(srgb_profile())
    values = _converted(colours, srgb, space)
    return float(np.abs(_converted(np.round(values * 255) / np.float32(255), space, srgb) - colours).mean())


def _read(icc: bytes) -> RgbSpace:
    if icc[20:24] != b"XYZ ":
        raise ValueError("of tables, not of primaries and curves")
    tags = _tags(icc)
    if any(name[:3] in _TABLES for name in tags):
        raise ValueError("of tables, not of primaries and curves")
    primaries = [[value / 65536 for value in struct.unpack(">3i", tags[name][8:20])] for name in _PRIMARIES]
    return RgbSpace(np.array(primaries).T, np.stack([_curve(tags[name]) for name in _CURVES]))


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """Name -> content; of two of one name the first counts."""
    (number,) = struct.unpack_from(">I", icc, _HEADER_BYTES)
    tags: dict[bytes, bytes] = {}
    for place in range(min(number, _MOST_TAGS)):
        name, start, length = struct.unpack_from(">4sII", icc, _HEADER_BYTES + 4 + place * _TAG_BYTES)
        tags.setdefault(name, icc[start : start + length])
    return tags


def _curve(tag: bytes) -> NDArray[np.float64]:
    """A curve, sampled."""
    kind = tag[:4]
    if kind not in (b"curv", b"para"):
        raise ValueError("of curves of a rare kind")
    curve = (_table if kind == b"curv" else _formula)(tag)
    if not np.isfinite(curve).all() or (np.diff(curve) < 0).any():
        raise ValueError("of curves that fall")
    if curve[0] > MOST_BLACK or curve[-1] < 1 - MOST_BLACK:
        raise ValueError("of curves without black or white")  # which some programs stretch, and others do not
    return curve.clip(0.0, 1.0)


def _table(tag: bytes) -> NDArray[np.float64]:
    """A curve that is given by equidistant values; one value alone is an exponent, and none means a straight line."""
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return _GRID
    values = np.array(struct.unpack_from(f">{min(count, MAX_BYTES)}H", tag, 12), dtype=np.float64)
    if count == 1:
        return np.asarray(_GRID ** (values[0] / 256))
    return np.interp(_GRID, np.linspace(0.0, 1.0, count), values / 65535)


def _formula(tag: bytes) -> NDArray[np.float64]:
    """A curve that is given by a formula: (a x + b)^g + e from d on, and c x + f below."""
    form = int.from_bytes(tag[8:10])
    given = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[form]}i", tag, 12)]
    g, a, b, c, d, e, f = given + [0.0] * (7 - len(given))
    if form == 0:
        a = 1.0
    elif form in (1, 2):
        c, d, e, f = 0.0, -b / a, c, c
    return np.asarray(np.where(d <= _GRID, np.maximum(a * _GRID + b, 0.0) ** g + e, c * _GRID + f))

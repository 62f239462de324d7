"""Numeric colour descriptions -> an equivalent ICC profile, or empty bytes for sRGB.

The numbers are the code points of ITU-T H.273, as in HEIC, AVIF and a PNG's cICP chunk, or a PNG's gAMA and cHRM.
"""

import struct
from collections.abc import Sequence
from typing import Final, cast

Primaries = tuple[float, ...]
"""x and y of white, red, green and blue."""

# x and y of the white points D65 and C.
_D65, _C = (0.3127, 0.329), (0.310, 0.316)
_PRIMARIES: Final[dict[int, Primaries]] = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""By the code points of H.273: BT.709 and sRGB, BT.470 M, BT.470 BG, BT.601, 240M, film, BT.2020, DCI-P3, Display P3,
EBU 3213."""

# Parameters g, a, b, c, d of curves; see _CURVES.
_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE: Final = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: Final[dict[int, Sequence[float]]] = {
    **dict.fromkeys((1, 6, 14, 15), _VIDEO_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
"""From a value to linear light, by the code points of H.273: either g alone, or g, a, b, c, d of (a x + b)^g from d on
and c x below. For BT.709 and similar curves it is the inverse of the camera's curve, not the curve of a television in a
dark room."""

_HIGH_DYNAMIC_RANGE: Final = {16: "PQ", 18: "HLG"}
"""The code points of curves with high dynamic range."""
_UNSPECIFIED: Final = 2
"""The code point of unspecified primaries or an unspecified curve."""
_SRGB: Final = _PRIMARIES[1]
"""The primaries of sRGB."""
_SRGB_GAMMA: Final = 0.45455
"""The gAMA by which a PNG indicates the curve of sRGB."""
_TOLERANCE: Final = 0.002
"""The difference of gamma or primaries below which they count as those of sRGB."""

_BRADFORD: Final = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""The Bradford matrix, from XYZ to cone responses, for chromatic adaptation."""
_D50: Final = (0.9642, 1.0, 0.8249)
"""XYZ of the white D50, the reference white of ICC profiles."""


class HighDynamicRange(Exception):
    """Raised for an image whose white is not its brightest colour; the text is the name of its curve."""


def profile_of_h273(primaries: int | None, transfer: int | None) -> bytes:
    """Return the profile for code points of H.273; unspecified and unknown ones mean sRGB.

    Raises:
        HighDynamicRange: for the curves PQ and HLG.
    """
    if transfer in _HIGH_DYNAMIC_RANGE:
        raise HighDynamicRange(_HIGH_DYNAMIC_RANGE[transfer])
    curve = _CURVES.get(13 if transfer in (None, _UNSPECIFIED) else transfer)
    chosen = _PRIMARIES.get(1 if primaries in (None, _UNSPECIFIED) else primaries)
    if curve is None or chosen is None or (curve is _SRGB_CURVE and chosen == _SRGB):
        return b""
    return _profile(chosen, curve)


def profile_of_gamma(gamma: float | None, primaries: Sequence[float] | None) -> bytes:
    """Return the profile for a PNG's gAMA, such as 1 / 2.2, and its cHRM; implausible numbers mean sRGB.

    A gAMA that indicates sRGB, as ImageMagick and other programs write it, gives the curve of sRGB.
    """
    chosen = _SRGB if primaries is None else cast(Primaries, tuple(primaries))
    is_srgb_curve = gamma is None or abs(gamma - _SRGB_GAMMA) < _TOLERANCE
    if is_srgb_curve and max(abs(own - standard) for own, standard in zip(chosen, _SRGB, strict=True)) < _TOLERANCE:
        return b""
    if gamma is not None and not 0.1 <= gamma <= 10:
        return b""
    if not all(0 <= value <= 1 for value in chosen) or not all(chosen[1::2]):
        return b""
    return _profile(chosen, _SRGB_CURVE if gamma is None or is_srgb_curve else (1 / gamma,))


def _profile(primaries: Primaries, curve: Sequence[float]) -> bytes:
    """Return a version 4.3 profile of a display with these primaries and white, or empty bytes if degenerate."""
    import numpy as np  # here, as few images need it

    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(primaries[::2], primaries[1::2], strict=True)]).T
    white, mixed = columns[:, 0], columns[:, 1:]
    try:
        to_xyz = mixed * np.linalg.solve(mixed, white)
    except np.linalg.LinAlgError:
        return b""
    cones = np.array(_BRADFORD)
    adapted = np.linalg.solve(cones, np.diag(cones @ _D50 / (cones @ white)) @ cones) @ to_xyz
    form = 0 if len(curve) == 1 else 3
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50)}
    for name, column in zip((b"r", b"g", b"b"), adapted.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(column)
        tags[name + b"TRC"] = b"para\0\0\0\0" + struct.pack(">HH", form, 0) + _fixed(curve)
    return _icc(tags)


def _fixed(values: Sequence[float]) -> bytes:
    """Encode numbers in ICC's signed 16.16 fixed point format."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _icc(tags: dict[bytes, bytes]) -> bytes:
    """Return the bytes of a profile with these tags."""
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12s4s28s", offset + len(body), b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"", b"acsp", b""
    )
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + body

"""Colours that a file describes by numbers, not by a profile -> the profile that says the same; empty for sRGB.

The numbers are those of ITU-T H.273, as HEIC, AVIF and the chunk cICP of a PNG have them, or a PNG's own gAMA and cHRM.
"""

import struct
from collections.abc import Sequence
from typing import Final, cast

Primaries = tuple[float, ...]
"""x and y of white, red, green and blue."""

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
"""BT.709 and sRGB, BT.470 M, BT.470 BG, BT.601, 240M, film, BT.2020, DCI-P3, Display P3, EBU 3213."""

_SRGB_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE: Final = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: Final[dict[int, Sequence[float]]] = {
    **dict.fromkeys((1, 6, 14, 15), _VIDEO_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: _SRGB_CURVE,
}
"""A value -> light, as g, a, b, c, d of (a x + b)^g from d on and c x below, or as g alone. Of BT.709 and its like it
is the camera's own curve undone, not that of a television in a dark room."""

_HIGH_RANGE: Final = {16: "PQ", 18: "HLG"}
_UNSPECIFIED: Final = 2
_SRGB: Final = _PRIMARIES[1]
_SRGB_GAMMA: Final = 0.45455
"""By which a PNG's gAMA stands for the curve of sRGB."""
_ALIKE: Final = 0.002

_BRADFORD: Final = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_D50: Final = (0.9642, 1.0, 0.8249)


class HighRange(Exception):
    """A picture whose white is not the brightest there is; the text is the name of its curve."""


def profile_of_h273(primaries: int | None, transfer: int | None) -> bytes:
    """The profile of colours by the numbers of H.273; those that say nothing, or nothing known, mean sRGB.

    Raises:
        HighRange: of PQ and HLG.
    """
    if transfer in _HIGH_RANGE:
        raise HighRange(_HIGH_RANGE[transfer])
    curve = _CURVES.get(13 if transfer in (None, _UNSPECIFIED) else transfer)
    chosen = _PRIMARIES.get(1 if primaries in (None, _UNSPECIFIED) else primaries)
    if curve is None or chosen is None or (curve is _SRGB_CURVE and chosen == _SRGB):
        return b""
    return _profile(chosen, curve)


def profile_of_gamma(gamma: float | None, primaries: Sequence[float] | None) -> bytes:
    """The profile of a PNG by its gAMA, 1 / 2.2 and the like, and its cHRM; numbers beyond sense mean sRGB.

    Of a gAMA that stands for sRGB the curve is that of sRGB: what ImageMagick and others write of it.
    """
    chosen = _SRGB if primaries is None else cast(Primaries, tuple(primaries))
    is_srgb_curve = gamma is None or abs(gamma - _SRGB_GAMMA) < _ALIKE
    if is_srgb_curve and max(abs(one - other) for one, other in zip(chosen, _SRGB, strict=True)) < _ALIKE:
        return b""
    if gamma is not None and not 0.1 <= gamma <= 10:
        return b""
    if not all(0 <= value <= 1 for value in chosen) or not all(chosen[1::2]):
        return b""
    return _profile(chosen, _SRGB_CURVE if gamma is None or is_srgb_curve else (1 / gamma,))


def _profile(primaries: Primaries, curve: Sequence[float]) -> bytes:
    """A profile, version 4.3, of a display of these primaries under its own white."""
    import numpy as np  # which few pictures need

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
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _icc(tags: dict[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s12s4s28s", at + len(body), b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"", b"acsp", b""
    )
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + body

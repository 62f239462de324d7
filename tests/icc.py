"""Builds colour profiles and converts colours by their definitions, in float64."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
Bytes = NDArray[np.uint8]

D50 = np.array([0.9642, 1.0, 0.8249])
SRGB_TO_XYZ = np.array(  # adapted to D50, as in the ICC's own sRGB profile
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
ADOBE_TO_XYZ = np.array(  # Adobe RGB (1998), adapted to D50
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)


def srgb_from_xyz(xyz: Pixels) -> Pixels:
    """Return the sRGB colours, 0 to 255 and not rounded, of XYZ under D50, shape (..., 3)."""
    linear = (xyz @ np.linalg.inv(SRGB_TO_XYZ).T).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_from_lab(lab: Pixels) -> Pixels:
    """Return the sRGB colours, 0 to 255 and not rounded, of CIE Lab under D50, shape (..., 3)."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    return srgb_from_xyz(D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)))


def fixed(*values: float) -> bytes:
    """Return numbers in ICC's signed fixed point format, with 16 bits before the point and 16 after."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc_profile(device_class: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile, version 2.4, with these tags."""
    body, table = b"", struct.pack(">I", len(tags))
    for name, content in tags.items():
        padded = content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += padded
    header = struct.pack(">I4sI4s4s4s12s4s28s", 0, b"", 0x02400000, device_class, space, pcs, b"", b"acsp", b"")
    header = (header + fixed(*D50)).ljust(128, b"\0")
    return struct.pack(">I", len(header + table + body)) + (header + table + body)[4:]


def xyz_tag(column: Pixels) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*column)


def gamma_tag(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(to_xyz: Pixels, gamma: float) -> bytes:
    """Return an RGB profile whose primaries are the columns of `to_xyz`, with one gamma for all of them."""
    primaries = {name + b"XYZ": xyz_tag(column) for name, column in zip((b"r", b"g", b"b"), to_xyz.T, strict=True)}
    curves = {name + b"TRC": gamma_tag(gamma) for name in (b"r", b"g", b"b")}
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", {b"wtpt": xyz_tag(D50), **primaries, **curves})


def grey_profile(gamma: float) -> bytes:
    return icc_profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz_tag(D50), b"kTRC": gamma_tag(gamma)})


def cmyk_corners() -> Bytes:
    """Return the 8-bit Lab, with a and b offset by 128, of the 16 combinations of full inks; with black all are black.

    The shape is (2, 2, 2, 2, 3), in the order cyan, magenta, yellow, black, Lab.
    """
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)
    corners[..., 1:] = 128
    for c, m, y in np.ndindex(2, 2, 2):
        corners[c, m, y, 0] = (
            255 - 60 * c - 70 * m - 10 * y,
            128 - 30 * c + 40 * m,
            128 - 30 * c - 5 * m + 50 * y,
        )
    return corners


def cmyk_profile() -> bytes:
    """Return the profile of a press whose full inks have the colours of `cmyk_corners`, with linear interpolation."""
    line = bytes(range(256))
    table = struct.pack(">BBBB", 4, 3, 2, 0) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + line * 4
    lut = b"mft1\0\0\0\0" + table + cmyk_corners().tobytes() + line * 3
    return icc_profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz_tag(D50), b"A2B0": lut})

"""The RGB colours of masks: how far apart they are, which lies between two others, and their names."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

ALIKE = 56.0
"""Distance of two 8-bit RGB colours up to which they count as the same: compression shifts colours, and so do edges."""

BETWEEN = 40.0
"""Distance from the line between two colours up to which a third is a mixture of both."""

NAMES = {
    (0, 0, 0): "black",
    (255, 255, 255): "white",
    (255, 0, 0): "red",
    (0, 255, 0): "green",
    (0, 0, 255): "blue",
    (255, 255, 0): "yellow",
    (0, 255, 255): "cyan",
    (255, 0, 255): "magenta",
    (128, 128, 128): "grey",
}


def name_of(colour: Colour) -> str:
    """Return a colour's name, if it has one, and its #rrggbb code."""
    near = min(NAMES, key=lambda known: distance(known, colour))
    code = "#{:02x}{:02x}{:02x}".format(*colour)
    return f"{NAMES[near]} ({code})" if distance(near, colour) <= ALIKE else code


def distance(one: Colour, other: Colour) -> float:
    """Return the Euclidean distance of two colours, 0 to 442."""
    return float(np.linalg.norm(np.subtract(one, other)))


def is_mixture(colour: Colour, others: Sequence[Colour]) -> bool:
    """Return whether a colour lies between two others."""
    return any(_distance_from_line(colour, *ends) <= BETWEEN for ends in itertools.combinations(others, 2))


def _distance_from_line(colour: Colour, start: Colour, end: Colour) -> float:
    """Return the distance to a line segment; infinite beyond its ends, because such a colour is not between them."""
    line = np.subtract(end, start, dtype=np.float64)
    along = float(np.dot(np.subtract(colour, start), line) / np.dot(line, line))
    if not 0.0 < along < 1.0:
        return float("inf")
    return float(np.linalg.norm(np.subtract(colour, start) - along * line))


def codes_of(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
    """Return colours, shape (..., 3), as single numbers 0xrrggbb, which sort and compare fast, shape (...)."""
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    codes: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return codes


def colours_of(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the colours, shape (..., 3), of numbers 0xrrggbb."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def as_colour(values: npt.NDArray[np.int32]) -> Colour:
    """Return an array of shape (3,) as a colour."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue

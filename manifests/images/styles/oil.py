"""Painting in oil: strokes of bristles, and the light on thick paint."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from styles.tools import HEIGHT, WIDTH, Array, Rng, X, Y, at, ink, lit, mix, relief, scattered, to_array, to_image


class Oil:
    """A canvas which knows its colour and how thick the paint lies; the light on that makes the impasto."""

    def __init__(self, ground: Array) -> None:
        self.colour = to_image(ground)
        self.thickness = Image.new("L", (WIDTH, HEIGHT), 60)
        self.brush = ImageDraw.Draw(self.colour)
        self.knife = ImageDraw.Draw(self.thickness)

    def stroke(self, rng: Rng, path: Array, width: float, left: Array, right: Array) -> None:
        """One brush stroke along path: a row of bristles, with paint of two colours, left and right."""
        along = np.gradient(path, axis=0)
        along /= np.hypot(along[:, :1], along[:, 1:]) + 1e-9
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        taper = np.sin(np.linspace(0.45, np.pi - 0.3, len(path)))[:, None] ** 0.5
        bristles = max(4, round(width / 2.6))
        thick = round(width / bristles * 1.5) + 1
        order = rng.permutation(bristles)
        start = rng.integers(0, 1 + len(path) // 5, bristles)
        stop = rng.integers(0, 1 + len(path) // 4, bristles)
        for k in order:
            place = 2 * (k + 0.5) / bristles - 1
            hair = (path + across * taper * (place * width / 2))[start[k] : len(path) - stop[k]]
            points = [(float(x), float(y)) for x, y in hair]
            paint = mix(left, right, np.float64(0.5 + 0.5 * place)) * rng.normal(1, 0.045)
            self.brush.line(points, ink(paint), thick)
            load = 80 + 100 * place**4 + rng.uniform(0, 60)
            self.knife.line(points, int(load), thick)

    def finished(self, gloss: float) -> Array:
        """The dry painting under a lamp, with the weave of the canvas faintly showing through."""
        thickness = to_array(self.thickness.filter(ImageFilter.GaussianBlur(1.1)))
        weave = 0.012 * (np.sin(X * 1.05) * np.sin(Y * 1.05))
        colour = to_array(self.colour.filter(ImageFilter.GaussianBlur(0.6)))
        return lit(colour, relief(thickness + weave, 9), gloss)


def follow(angle: Array, x: Array, y: Array, length: float, points: int = 9) -> Array:
    """Paths of the given length through the middle points x, y, running along a field of directions."""
    halves = []
    stride = length / (points - 1)
    for sign in (-1, 1):
        px, py, half = x, y, []
        for _ in range(points // 2):
            heading = at(angle, px, py)
            px, py = px + sign * stride * np.cos(heading), py + sign * stride * np.sin(heading)
            half.append(np.stack([px, py], axis=1))
        halves.append(half)
    middle = np.stack([x, y], axis=1)
    return np.stack([*halves[0][::-1], middle, *halves[1]], axis=1)


def cover(
    oil: Oil,
    rng: Rng,
    subject: Array,
    angle: Array,
    width: float,
    length: float,
    spacing: float,
    where: Array | None = None,
) -> None:
    """Cover the canvas (only where > 0, if given) with strokes along angle in the colours of subject."""
    x, y = scattered(rng, spacing)
    if where is not None:
        inside = at(where, x, y) > 0
        x, y = x[inside], y[inside]
    paths = follow(angle, x, y, length)
    for path, colour in zip(paths, at(subject, x, y), strict=True):
        value = rng.normal(1, 0.16)
        left = colour * value + rng.normal(0, 0.025, 3)
        right = colour * value * rng.normal(1, 0.12) + rng.normal(0, 0.035, 3)
        oil.stroke(rng, path, width * rng.uniform(0.7, 1.25), left, right)

"""Colours, noise and light: what every picture is made with."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]
Corners = Sequence[tuple[float, float]]
Rng = np.random.Generator

WIDTH, HEIGHT = 1280, 960
X, Y = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))


def rgb(code: str) -> Array:
    """The colour of a hex code such as "c0392b"."""
    return np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)])


def palette(codes: str) -> Array:
    """Several hex codes, separated by blanks, as the rows of one array."""
    return np.stack([rgb(code) for code in codes.split()])


def ramp(colours: Array, t: Array) -> Array:
    """Blend along a row of colours: t = 0 is the first, t = 1 the last."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(t, stops, colours[:, channel]) for channel in range(3)], axis=-1)


def mix(below: Array, above: Array, amount: Array | float) -> Array:
    """Lay one colour over another; amount is 0 where only the lower one shows."""
    blend: Array = below + (above - below) * np.asarray(amount)[..., None]
    return blend


def step(low: float, high: float, value: Array) -> Array:
    """A smooth step from 0 at low to 1 at high (or downwards, when low is the larger)."""
    t: Array = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def resized(field: Array, width: int, height: int) -> Array:
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=float)


def soften(field: Array, pixels: int) -> Array:
    """A wide, cheap blur: shrink the field and enlarge it again."""
    if field.ndim == 3:
        return np.stack([soften(field[..., channel], pixels) for channel in range(field.shape[2])], axis=-1)
    return resized(resized(field, WIDTH // pixels, HEIGHT // pixels), WIDTH, HEIGHT)


def noise(rng: Rng, across: float, down: float, octaves: int = 4) -> Array:
    """Cloudy noise of mean 0 and deviation 1; its largest blobs measure about across by down pixels."""
    total = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        columns = max(4, round(WIDTH * 2**octave / across))
        rows = max(4, round(HEIGHT * 2**octave / down))
        total += resized(rng.normal(size=(rows, columns)), WIDTH, HEIGHT) / 2**octave
    cloudy: Array = (total - total.mean()) / total.std()
    return cloudy


def relief(height: Array, strength: float) -> Array:
    """How much brighter a bumpy surface is under a lamp at the upper left; 0 where it is flat."""
    down, right = np.gradient(height)
    slope = strength * np.asarray(right + 1.4 * down)
    shade: Array = slope / np.sqrt(1 + slope**2)
    return shade


def lit(colour: Array, shade: Array, amount: float) -> Array:
    """Brighten towards white where shade is positive, darken towards black where it is negative."""
    light = amount * shade[..., None]
    return np.where(light > 0, colour + (1 - colour) * light, colour * (1 + light))


def to_array(image: Image.Image) -> Array:
    return np.asarray(image, dtype=float) / 255


def to_image(colour: Array) -> Image.Image:
    return Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))


def ink(colour: Array) -> tuple[int, int, int]:
    """A colour in the form in which Pillow draws it."""
    red, green, blue = (int(value) for value in np.clip(colour, 0, 1) * 255)
    return red, green, blue


def whole(value: Array) -> Labels:
    """Round down to whole numbers."""
    return np.floor(value).astype(np.int64)


def scattered(rng: Rng, spacing: float) -> tuple[Array, Array]:
    """Points about spacing apart, one in each cell of a jittered grid, in random order."""
    columns, rows = (
        np.arange(-spacing, WIDTH + spacing, spacing),
        np.arange(-spacing, HEIGHT + spacing, spacing),
    )
    x, y = np.meshgrid(columns, rows)
    x = (x + rng.uniform(0, spacing, x.shape)).ravel()
    y = (y + rng.uniform(0, spacing, y.shape)).ravel()
    order = rng.permutation(x.size)
    return x[order], y[order]


def at(field: Array, x: Array, y: Array) -> Array:
    """The values of a field at the nearest pixels."""
    column = np.clip(np.rint(x).astype(int), 0, WIDTH - 1)
    row = np.clip(np.rint(y).astype(int), 0, HEIGHT - 1)
    value: Array = field[row, column]
    return value


def border(labels: Labels) -> Mask:
    """The pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def distance_to(mask: Mask, reach: int) -> Array:
    """The distance to the nearest pixel of mask, cut off at reach: first along the rows, then across them."""
    mask = np.pad(mask, reach)
    row = np.full(mask.shape, float(reach))
    for shift in range(reach):
        near = np.roll(mask, shift, axis=1) | np.roll(mask, -shift, axis=1)
        row[near] = np.minimum(row[near], shift)
    best = row**2
    for shift in range(1, reach):
        shifted = np.minimum(np.roll(row, shift, axis=0), np.roll(row, -shift, axis=0)) ** 2 + shift**2
        best = np.minimum(best, shifted)
    distance: Array = np.sqrt(np.minimum(best, reach**2))
    return distance[reach:-reach, reach:-reach]

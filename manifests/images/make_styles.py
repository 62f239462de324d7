"""Six style pictures, painted from nothing but numpy, Pillow and fixed random seeds.

    python manifests/images/make_styles.py [NAME ...]

writes NAME.jpg beside this file (all of them when no name is given). Every picture is painted at twice its final
size and then reduced, which smooths the edges. Coordinates are in painted pixels, x to the right and y down;
colours are floats from 0 to 1.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float64]
Rng = np.random.Generator

WIDTH, HEIGHT = 1280, 960
SHRINK = 2
QUALITY = 88
X, Y = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))


# ---------------------------------------------------------------------------------------------------- small tools


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
    return below + (above - below) * np.asarray(amount)[..., None]


def step(low: float, high: float, value: Array) -> Array:
    """A smooth step from 0 at low to 1 at high (or downwards, when low is the larger)."""
    t = np.clip((value - low) / (high - low), 0, 1)
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
    return (total - total.mean()) / total.std()


def relief(height: Array, strength: float) -> Array:
    """How much brighter a bumpy surface is under a lamp at the upper left; 0 where it is flat."""
    down, right = np.gradient(height)
    slope = strength * (right + 1.4 * down)
    return slope / np.sqrt(1 + slope**2)


def lit(colour: Array, shade: Array, amount: float) -> Array:
    """Brighten towards white where shade is positive, darken towards black where it is negative."""
    shade = shade[..., None] * amount
    return np.where(shade > 0, colour + (1 - colour) * shade, colour * (1 + shade))


def to_array(image: Image.Image) -> Array:
    return np.asarray(image, dtype=float) / 255


def to_image(colour: Array) -> Image.Image:
    return Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))


def ink(colour: Array) -> tuple[int, int, int]:
    """A colour in the form in which Pillow draws it."""
    red, green, blue = (int(value) for value in np.clip(colour, 0, 1) * 255)
    return red, green, blue


def scattered(rng: Rng, spacing: float) -> tuple[Array, Array]:
    """Points about spacing apart, one in each cell of a jittered grid, in random order."""
    x, y = np.meshgrid(np.arange(-spacing, WIDTH + spacing, spacing), np.arange(-spacing, HEIGHT + spacing, spacing))
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


# ------------------------------------------------------------------------------------------------ painting in oil


class Oil:
    """A canvas that remembers, beside the colour, how thick the paint lies: the light on it makes the impasto."""

    def __init__(self, ground: Array) -> None:
        self.colour = to_image(ground)
        self.thickness = Image.new("L", (WIDTH, HEIGHT), 60)
        self.brush = ImageDraw.Draw(self.colour)
        self.knife = ImageDraw.Draw(self.thickness)

    def stroke(self, rng: Rng, path: Array, width: float, left: Array, right: Array) -> None:
        """One brush stroke along path: a row of bristles, with the paint running from left to right colour."""
        along = np.gradient(path, axis=0)
        along /= np.hypot(along[:, :1], along[:, 1:]) + 1e-9
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        taper = np.sin(np.linspace(0.45, np.pi - 0.3, len(path)))[:, None] ** 0.5
        bristles = max(4, round(width / 2.6))
        thick = round(width / bristles * 1.5) + 1
        order = rng.permutation(bristles)
        start, stop = rng.integers(0, 1 + len(path) // 5, bristles), rng.integers(0, 1 + len(path) // 4, bristles)
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
        return lit(to_array(self.colour.filter(ImageFilter.GaussianBlur(0.6))), relief(thickness + weave, 9), gloss)


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


def cover(oil: Oil, rng: Rng, subject: Array, angle: Array, width: float, length: float, spacing: float) -> None:
    """Cover the canvas with strokes which take their colours from subject and their direction from angle."""
    x, y = scattered(rng, spacing)
    paths = follow(angle, x, y, length)
    for path, colour in zip(paths, at(subject, x, y), strict=True):
        value = rng.normal(1, 0.16)
        left = colour * value + rng.normal(0, 0.025, 3)
        right = colour * value * rng.normal(1, 0.12) + rng.normal(0, 0.035, 3)
        oil.stroke(rng, path, width * rng.uniform(0.7, 1.25), left, right)


def brushstrokes() -> Array:
    """A night of whirling wind over wheat: thick short strokes along the level lines of a stream function."""
    rng = np.random.default_rng(11)
    lamps = [(250, 190, 62), (640, 120, 30), (1085, 215, 84), (455, 395, 34), (820, 330, 40), (90, 420, 26), (905, 90, 24)]
    whirls = [(610, 265, 190, 1.5), (200, 330, 150, -0.9), (1010, 420, 140, -1.0)]
    stream = 0.32 * noise(rng, 620, 420, 2) + Y / 300
    for x, y, radius, strength in whirls:
        stream += strength * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * radius**2))
    for x, y, radius in lamps:
        stream += 1.6 * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * (1.25 * radius) ** 2))
    down, right = np.gradient(stream)
    angle = np.arctan2(-right, down) + 0.1

    blues = palette("0b1640 16296b 1f4a94 0f2257 2f6fb0 7fb2c8 24509a 101c4e c9c98a 1b3a80 0b1640")
    sky = ramp(blues, (stream * 0.62 + 0.05 * noise(rng, 90, 90, 2)) % 1)
    sky = mix(sky, sky * 0.62, step(350, 0, Y))
    glow = palette("fff3b0 f9d64a eeb02a d98e1f 8fa36a 4f86a0 2a5a9c")
    for x, y, radius in lamps:
        distance = np.hypot(X - x, Y - y) / radius
        sky = mix(sky, ramp(glow, distance / 2.3), 0.95 * step(2.5, 1.1, distance))

    ridge = 560 + 55 * np.sin(X / 190 + 0.6) + 28 * np.sin(X / 71 + 2)
    field = 690 + 46 * np.sin(X / 260 + 2.2) + 0.06 * (X - 640)
    hills = ramp(palette("08132f 0f2a4c 1a4a5c 2b6a5e 123a5a 0a1a3c"), (0.012 * (Y - ridge) + 0.12 * noise(rng, 160, 60)) % 1)
    furrow = (Y - field) / 300
    wheat = ramp(
        palette("7a4a12 c98a1e f2c744 a8661a e8b133 fbe08a 8c5a16 d99a26 5c4a1c c98a1e"),
        (2.3 * furrow + 0.25 * np.sin(X / 120 + 5 * furrow) + 0.16 * noise(rng, 140, 50)) % 1,
    )
    subject = mix(sky, hills, step(-3, 3, Y - ridge))
    subject = mix(subject, wheat, step(-3, 3, Y - field))
    slope = np.gradient(ridge, axis=1)
    angle = np.where(ridge < Y, np.arctan(slope) + 0.5 * np.sin(X / 60 + Y / 45), angle)
    angle = np.where(field < Y, -1.05 + 0.75 * np.sin(X / 170 + Y / 120) + 0.2 * noise(rng, 90, 90, 2), angle)

    oil = Oil(mix(subject, rgb("3a2a1a"), 0.4))
    cover(oil, rng, subject, angle, width=40, length=150, spacing=28)
    cover(oil, rng, subject, angle, width=27, length=96, spacing=25)
    cover(oil, rng, subject, angle, width=15, length=60, spacing=26)
    return oil.finished(0.55)


# -------------------------------------------------------------------------------------------------- leaded glass


def border(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def distance_to(mask: npt.NDArray[np.bool_], reach: int) -> Array:
    """The distance to the nearest pixel of mask, exact up to reach and never above it: first in rows, then across."""
    mask = np.pad(mask, reach)
    row = np.full(mask.shape, float(reach))
    for shift in range(reach):
        near = np.roll(mask, shift, axis=1) | np.roll(mask, -shift, axis=1)
        row[near] = np.minimum(row[near], shift)
    best = row**2
    for shift in range(1, reach):
        shifted = np.minimum(np.roll(row, shift, axis=0), np.roll(row, -shift, axis=0)) ** 2 + shift**2
        best = np.minimum(best, shifted)
    return np.sqrt(np.minimum(best, reach**2))[reach:-reach, reach:-reach]


class Window:
    """A leaded window: every pixel knows its pane, its part (the leads between parts are the heavy ones), its design."""

    def __init__(self) -> None:
        self.pane = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        self.part = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        self.design = np.zeros((HEIGHT, WIDTH, 3))

    def add(self, mask: npt.NDArray[np.bool_], pieces: npt.NDArray[np.int64], design: Array, new: bool = True) -> None:
        """Cut a shape into pieces (small whole numbers) and put it over the window, by default as a new part."""
        self.pane = np.where(mask, self.pane.max() + 1 + pieces, self.pane)
        self.part = np.where(mask, self.part.max() + new, self.part)
        self.design = np.where(mask[..., None], design, self.design)

    def shatter(self, mask: npt.NDArray[np.bool_], sites: Array, design: Array) -> None:
        """Put a new part over the window, cut into the Voronoi cells of the sites."""
        nearest, best = np.zeros(mask.shape, dtype=np.int64), np.full(mask.shape, np.inf)
        for k, (x, y) in enumerate(sites):
            distance = (X - x) ** 2 + (Y - y) ** 2
            closer = distance < best
            nearest[closer], best[closer] = k, distance[closer]
        self.add(mask, nearest, design)

    def leaf(self, x: float, y: float, heading: float, length: float, fat: float, bend: float, design: Array) -> None:
        """A pointed leaf of two panes, divided by its vein."""
        along = ((X - x) * np.cos(heading) + (Y - y) * np.sin(heading)) / length
        across = ((Y - y) * np.cos(heading) - (X - x) * np.sin(heading)) / length - bend * along * (1 - along)
        inside = (np.abs(across) < fat * np.sin(np.pi * np.clip(along, 0, 1)) ** 1.2) & (along > 0) & (along < 1)
        self.add(inside, (across > 0).astype(np.int64), design)

    def flower(self, x: float, y: float, radius: float, petals: int, turn: float, design: Array, heart: Array) -> None:
        """A flower: petals in two rows about a heart, none quite like the next."""
        wave = 2 * np.sin(X / 37 + y) + 2 * np.sin(Y / 31 + x)
        r, theta = np.hypot(X - x + wave, Y - y - wave), np.arctan2(Y - y - wave, X - x + wave) + turn
        theta += 0.1 * np.sin(2 * theta + x)
        outer, inner = petals * theta / (2 * np.pi), petals * theta / (2 * np.pi) + 0.5
        edge = radius * (0.74 + 0.26 * np.abs(np.sin(np.pi * outer)) ** 0.7) * (1 + 0.07 * np.sin(3 * theta + y))
        shaded = mix(design, mix(design, heart, 0.7), step(0.72, 0.25, r / radius))
        self.add(r < edge, np.floor(outer).astype(np.int64) % petals, shaded)
        edge = 0.52 * radius * (0.8 + 0.2 * np.abs(np.sin(np.pi * inner)))
        self.add(r < edge, np.floor(inner).astype(np.int64) % petals, mix(shaded, heart, 0.2), new=False)
        self.add(r < 0.2 * radius, np.zeros(X.shape, dtype=np.int64), heart + 0 * design, new=False)

    def lighted(self, rng: Rng) -> Array:
        """The window with the sun behind it."""
        _, pane = np.unique(self.pane, return_inverse=True)
        pane = pane.reshape(self.pane.shape)
        count = np.bincount(pane.ravel())
        middle_x = np.bincount(pane.ravel(), X.ravel()) / count
        middle_y = np.bincount(pane.ravel(), Y.ravel()) / count
        mean = [np.bincount(pane.ravel(), self.design[..., k].ravel()) / count for k in range(3)]
        base = np.stack(mean, axis=1) * rng.normal(1, 0.12, (count.size, 1)) + rng.normal(0, 0.035, (count.size, 3))

        heading = rng.uniform(0, 2 * np.pi, count.size)[pane]
        fade = ((X - middle_x[pane]) * np.cos(heading) + (Y - middle_y[pane]) * np.sin(heading)) / np.sqrt(count)[pane]
        streaks = np.stack([noise(rng, 420, 24), noise(rng, 30, 380), noise(rng, 120, 110, 5)])
        streak = np.take_along_axis(streaks, (pane % 3)[None], axis=0)[0]
        ripple = relief(noise(rng, 26, 26, 3), 1.1)
        bubble = step(2.4, 3.2, noise(rng, 9, 9, 1))
        glass = base[pane] + 0.8 * (self.design - np.stack(mean, axis=1)[pane])
        glass *= (1.05 + 0.3 * fade + 0.13 * streak + 0.24 * ripple + 0.6 * bubble)[..., None]
        glass = mix(glass, np.sqrt(np.clip(glass, 0, 1)), 0.25 * step(0.2, 1.4, streak + fade))

        wobble = 1 + 0.16 * noise(rng, 160, 160, 3)
        to_part, to_pane = distance_to(border(self.part), 22), distance_to(border(self.pane), 22)
        dome = np.maximum(1 - (to_part / (6.4 * wobble)) ** 2, 1 - (to_pane / (3.7 * wobble)) ** 2)
        lead = step(-0.18, 0.1, dome)
        grime = np.minimum(step(0, 20, to_part), step(-4, 12, to_pane))
        glass *= (0.5 + 0.5 * grime)[..., None]
        shine = relief(np.sqrt(np.clip(dome, 0, 1)) + 0.03 * noise(rng, 7, 7, 2), 3.2)
        metal = lit(rgb("1b1c22") * (1 + 0.2 * noise(rng, 60, 60)[..., None]), np.clip(shine, -1, 1), 0.36)
        window = mix(glass, metal, lead)
        halo = soften(np.clip(mix(glass, 0 * glass, lead), 0, 1), 20)
        return window + 0.17 * np.clip(halo, 0, 1)


def stained_glass() -> Array:
    """A sunrise over hills and a river, with flowers in front, in jewel colours and lead."""
    rng = np.random.default_rng(5)
    window = Window()
    sun_x, sun_y, sun = 520.0, 330.0, 108.0
    far = np.hypot(X - sun_x, Y - sun_y) / sun
    theta = np.arctan2(Y - sun_y, X - sun_x)

    rings = []
    for k, reach in enumerate([1.45, 2.05, 2.7, 3.45, 4.3, 5.2, 6.2, 7.3, 8.4]):
        turns = 2 * np.pi * (np.arange(12 + 4 * k) + rng.uniform(-0.3, 0.3, 12 + 4 * k) + 0.5 * (k % 2)) / (12 + 4 * k)
        reaches = sun * reach * rng.normal(1, 0.045, turns.size)
        rings.append(np.stack([sun_x + reaches * np.cos(turns), sun_y + reaches * np.sin(turns)], axis=1))
    dawn = palette("ffd23e ff9a1f f2551d d81f4a a3166e 5b1f8f 2a2fa6 1746b8 0d3aa0 0a2a80")
    sky = ramp(dawn, (far - 1) / 7.2 + 0.03 * np.sin(9 * theta))
    window.shatter(far > 0, np.concatenate(rings), sky)
    window.add(far < 1.0, np.floor(12 * theta / (2 * np.pi)).astype(np.int64) + 12, rgb("ffc21a") + 0 * sky)
    window.add(far < 0.6, np.floor(6 * theta / (2 * np.pi) + 0.3).astype(np.int64) + 6, rgb("fff08a") + 0 * sky, new=False)

    hills = [
        (530 + 60 * np.sin(X / 150 + 1.0) + 20 * np.sin(X / 60), "5a2a9a 3a3fb5 6b2f8f", 92.0),
        (610 + 50 * np.sin(X / 200 + 3.4), "0f7f8f 12a08a 0c5f9a", 86.0),
        (690 + 46 * np.sin(X / 170 + 5.3), "1fa04a 0f7a3c 7fc02f", 80.0),
    ]
    for crest, codes, spacing in hills:
        x, y = scattered(rng, spacing)
        design = ramp(palette(codes), 0.5 + 0.35 * noise(rng, 300, 200, 2))
        window.shatter(crest < Y, np.stack([x, y], axis=1), design)

    bank = 560 + 250 * np.sin((Y - 620) / 150) * step(600, 960, Y) + 30
    half = 12 + 0.42 * np.clip(Y - 640, 0, None)
    reach = np.floor((Y - 640 + 22 * np.sin(X / 62)) / (16 + 0.07 * np.clip(Y - 640, 0, None))).astype(np.int64)
    water = ramp(palette("ffd060 43c8e8 1a86d8 1455c0 1fb0e0"), (Y - 640) / 320 + 0.1 * np.sin(X / 50))
    window.add((np.abs(X - bank) < half) & (Y > 648), np.clip(reach, 0, 60), water)

    green = ramp(palette("0c6b3a 2fae4f 9ad23a"), 0.5 + 0.35 * noise(rng, 200, 200, 2))
    for x, y, heading, length, bend in [
        (120, 985, -1.9, 380, 0.4), (210, 985, -1.25, 420, -0.35), (60, 985, -1.4, 300, 0.3), (330, 985, -0.9, 300, 0.4),
        (1130, 985, -1.9, 430, 0.35), (1210, 985, -1.3, 380, -0.4), (1030, 985, -2.2, 320, -0.3), (940, 985, -1.5, 210, 0.3),
    ]:
        window.leaf(x, y, heading, length, 0.085, bend, green)
    red = ramp(palette("b3122a e8253a ff5a3c"), 0.5 + 0.3 * noise(rng, 90, 90, 2))
    rose = ramp(palette("a01870 e23a9a ff7ab8"), 0.5 + 0.3 * noise(rng, 90, 90, 2))
    window.flower(150, 660, 128, 7, 0.3, red, rgb("ffc832"))
    window.flower(330, 850, 104, 6, 0.9, rose, rgb("ffe070"))
    window.flower(1120, 620, 138, 8, 0.1, rose, rgb("ffd23e"))
    window.flower(975, 835, 100, 6, 0.5, red, rgb("ffb020"))
    window.flower(1215, 850, 92, 7, 0.7, red, rgb("ffd23e"))
    return window.lighted(rng)


# ------------------------------------------------------------------------------------------------------- woodcut


def spline(knots: Array, between: int = 14) -> Array:
    """A smooth curve through the knots (Catmull and Rom's)."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, between, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.concatenate([*pieces, knots[-1:]])


# A breaking wave seen from the side, from the trough behind it over the lip to the trough in front.
BREAKER = np.array(
    [
        (-1.0, 0.0), (-0.72, 0.1), (-0.45, 0.36), (-0.2, 0.72), (0.08, 0.95), (0.36, 0.99), (0.58, 0.84), (0.66, 0.6),
        (0.52, 0.72), (0.34, 0.72), (0.17, 0.52), (0.16, 0.28), (0.32, 0.1), (0.62, 0.01), (1.0, 0.0),
    ]
)  # fmt: skip


def silhouette(curve: Array) -> npt.NDArray[np.bool_]:
    """Everything below a curve which runs from left to right."""
    image = Image.new("1", (WIDTH, HEIGHT))
    low = [(float(curve[-1, 0]), HEIGHT + 400.0), (float(curve[0, 0]), HEIGHT + 400.0)]
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in curve] + low, fill=1)
    return np.asarray(image)


def depth_in(mask: npt.NDArray[np.bool_]) -> Array:
    """About how far the pixels of mask lie from its edge, rounded off as a carver would."""
    coarse = ~np.pad(mask, ((0, 200), (200, 200)), mode="edge")[::4, ::4]
    depth = 4 * distance_to(coarse, 90)[: HEIGHT // 4, 50:-50]
    return soften(resized(depth, WIDTH, HEIGHT), 14)


def blobs(image: Image.Image, circles: Array, fill: Array, line: Array, rim: float) -> None:
    """Circles (rows x, y, radius) melted into one shape with one outline."""
    draw = ImageDraw.Draw(image)
    for colour, more in ((line, rim), (fill, 0.0)):
        for x, y, radius in circles:
            r = radius + more
            draw.ellipse((x - r, y - r, x + r, y + r), fill=ink(colour))


def claw(x: float, y: float, heading: float, length: float, bend: float, thick: float) -> Array:
    """One hooked finger of foam, as a row of shrinking circles."""
    t = np.linspace(0, 1, 26)
    turn = heading + bend * t**1.4
    steps = length / 26
    return np.stack([x + np.cumsum(np.cos(turn)) * steps, y + np.cumsum(np.sin(turn)) * steps, thick * (1 - t) ** 0.8 + 1.2], 1)


def foam(rng: Rng, image: Image.Image, curve: Array, size: float, cream: Array, line: Array, blue: Array) -> None:
    """The foam on a breaking lip: fringe, claws and flying drops."""
    lip = curve[4 * 14 - 20 : 10 * 14 + 4]
    along = np.gradient(lip, axis=0)
    heading = np.arctan2(along[:, 1], along[:, 0])
    swell = np.sin(np.linspace(0.12, np.pi - 0.1, len(lip))) ** 0.8
    normal = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    for inward in (0.045, 0.0):
        place = lip + normal * (inward * size * swell[:, None]) + rng.normal(0, 0.004 * size, lip.shape)
        radius = size * 0.03 * swell * rng.uniform(0.6, 1.2, len(lip))
        fringe = np.column_stack([place, radius])[::2]
        fingers = [
            claw(*lip[k], heading[k] + rng.uniform(-1.35, -0.75), size * swell[k] * rng.uniform(0.1, 0.2), rng.uniform(1.4, 2.3), size * 0.02)
            for k in range(int(rng.integers(4, 9)), len(lip) - 6, 5)
        ]
        blobs(image, np.concatenate([*fingers, fringe]), cream, line, 2.6)
        draw = ImageDraw.Draw(image)
        for x, y, r in fringe[1::2]:
            start = rng.uniform(100, 200)
            draw.arc((x - 0.7 * r, y - 0.7 * r, x + 0.7 * r, y + 0.7 * r), start, start + 150, fill=ink(blue), width=3)
    tip = lip[48]
    n = int(size / 10)
    away, turn = size * rng.uniform(0.05, 0.5, n), rng.uniform(-1.1, 0.9, n)
    drops = np.column_stack([tip[0] + away * np.cos(turn), tip[1] + away * np.sin(turn), size * rng.uniform(0.004, 0.014, n)])
    blobs(image, drops, cream, line, 2.2)


def cloud(image: Image.Image, x: float, y: float, length: float, fill: Array, line: Array) -> None:
    """A bank of mist: rounded bars, with a few lines carved along them."""
    bars = [(-0.08, 0.0, 1.0), (0.1, 25.0, 0.72), (-0.2, 50.0, 0.4)]
    ends = [(x + length * (shift - part / 2), x + length * (shift + part / 2), y + drop) for shift, drop, part in bars]
    blobs(image, np.array([(a + (b - a) * t, v, 16.0) for a, b, v in ends for t in np.linspace(0, 1, 80)]), fill, line, 2.6)
    draw = ImageDraw.Draw(image)
    for k, (a, b, v) in enumerate(ends):
        for row in (-7, 0, 7):
            trim = 0.1 + 0.07 * ((k + row) % 3)
            draw.line((a + trim * (b - a), v + row, b - trim * (b - a) * 0.7, v + row), ink(mix(fill, line, 0.35)), 2)


def woodcut_waves() -> Array:
    """Breakers under a red sun, printed in the manner of a Japanese woodcut: contour lines carved along every wave."""
    rng = np.random.default_rng(29)
    cream, black, red = rgb("efe3c6"), rgb("141d3a"), rgb("c4402b")
    indigo, blue, pale = rgb("1e3566"), rgb("3f709c"), rgb("a9c6c8")

    drift = Y + 9 * noise(rng, 700, 260, 3)
    dusk = ramp(palette("31507f 7fa0ae d9d4bd efe3c6 efcfa6 e5a27c"), np.clip(drift / 640, 0, 1))
    tone = np.interp(drift, [0, 120, 330, 520, 640], [0.62, 0.4, 0.17, 0.2, 0.34])
    sky = mix(dusk, mix(indigo, red, 0.75 * step(330, 560, drift)), 0.85 * step(-0.1, 0.1, tone - np.abs(2 * (drift / 13 % 1) - 1)))
    sun = np.hypot(X - 905, Y - 300)
    cuts = step(-0.12, 0.12, np.abs(2 * (drift / 17 % 1) - 1) - 1.0 + 0.62 * step(200, 450, Y))
    sky = mix(sky, mix(red, rgb("eda27a"), cuts), step(158, 155, sun))
    sky = mix(sky, black, step(2.6, 1.0, np.abs(sun - 157)))
    image = to_image(sky)
    for x, y, length, fill in [(1060, 150, 330, cream), (690, 215, 230, pale), (1120, 405, 300, cream), (850, 425, 250, rgb("edbe98"))]:
        cloud(image, x, y, length, fill, black)
    cloud(image, 110, 330, 300, cream, black)
    cloud(image, 60, 480, 200, rgb("edbe98"), black)

    waves = [  # base, then per breaker: middle, half width, height; none is a swell
        (600, [(-90, 240, 90), (330, 220, 70), (760, 240, 85), (1180, 230, 80)]),
        (665, [(120, 200, 120), (560, 260, 110), (1010, 260, 170)]),
        (800, [(300, 460, 620)]),
        (815, [(-60, 260, 160), (960, 330, 300)]),
        (930, [(120, 330, 210), (760, 330, 150), (1290, 300, 230)]),
    ]
    bands = np.stack([indigo, pale, blue, indigo, cream, blue, pale, indigo, blue, black, pale, indigo])
    widths = np.cumsum([6, 9, 13, 5, 5, 15, 7, 12, 9, 4, 12, 18])
    for base, breakers in waves:
        knots = []
        for middle, half, height in breakers:
            knots.append(np.array([middle, base]) + BREAKER * np.array([half, -height]))
        curve = np.concatenate([spline(k) for k in knots])
        curve = np.concatenate([[[-400.0, base + 10.0]], curve, [[WIDTH + 400.0, base + 10.0]]])
        mask = silhouette(curve)
        depth = depth_in(mask) * (1 + 0.05 * noise(rng, 200, 200, 2)) + 2.5 * noise(rng, 120, 120, 2)
        depth = np.clip(depth, 0, 339)
        cycle = np.where(depth < widths[-1], depth, depth % widths[-1])
        colour = bands[np.searchsorted(widths, cycle * 1.0).clip(0, len(bands) - 1)]
        printed = to_array(image)
        image = to_image(np.where(mask[..., None], colour, printed))
        ImageDraw.Draw(image).line([(float(x), float(y)) for x, y in curve], ink(black), 6)
        for (_, half, height), k in zip(breakers, knots, strict=True):
            if height > 100:
                foam(rng, image, spline(k), (half + height) / 2, cream, black, blue)

    print_ = to_array(image)
    grain = noise(rng, 900, 5, 3) + 0.7 * noise(rng, 300, 14, 3)
    inked = 1 - print_.mean(axis=-1)
    print_ = mix(print_, cream, np.clip(0.07 + 0.1 * grain, 0, 0.45) * step(0.1, 0.6, inked))
    return print_ * (1 + 0.018 * noise(rng, 6, 6, 1) + 0.025 * noise(rng, 240, 240))[..., None]


# --------------------------------------------------------------------------------------------------- pointillism


def hue_turned(colours: Array, angle: Array, gain: Array) -> Array:
    """Turn colours about the grey axis by an angle (pi gives the complement) and multiply their purity by gain."""
    grey = colours.mean(axis=1, keepdims=True)
    chroma = colours - grey
    side = np.cross(np.full(3, 1 / np.sqrt(3)), chroma)
    return grey + gain[:, None] * (chroma * np.cos(angle)[:, None] + side * np.sin(angle)[:, None])


def dab(oil: Oil, rng: Rng, subject: Array, angle: Array, size: float, spacing: float, share: float = 1.0) -> None:
    """Set dots of pure paint: most near the local colour, some beside it on the colour wheel, some opposite."""
    x, y = scattered(rng, spacing)
    kept = rng.uniform(size=x.size) < share
    x, y = x[kept], y[kept]
    local = at(subject, x, y)
    kind = rng.choice(4, x.size, p=[0.52, 0.28, 0.13, 0.07])
    turn = np.choose(kind, [0.14, 0.75, 0.0, 0.3]) * rng.normal(0, 1, x.size) + np.where(kind == 2, np.pi, 0)
    gain = np.choose(kind, [1.25, 1.5, 0.8, 0.7]) * rng.uniform(0.85, 1.25, x.size)
    colours = hue_turned(local, turn, gain) * rng.normal(1, 0.1, (x.size, 1))
    colours = colours + np.choose(kind, [0.0, 0.02, 0.04, 0.2])[:, None]
    t = np.linspace(0, 2 * np.pi, 11)
    for px, py, heading, colour in zip(x, y, at(angle, x, y) + rng.normal(0, 0.25, x.size), colours, strict=True):
        long, wide = size * rng.uniform(0.5, 0.78), size * rng.uniform(0.36, 0.5)
        u, v = long * np.cos(t) * rng.normal(1, 0.06, t.size), wide * np.sin(t) * rng.normal(1, 0.06, t.size)
        for shrink, load in ((1.0, 110), (0.62, 165), (0.3, 205)):
            a = px + shrink * (u * np.cos(heading) - v * np.sin(heading))
            b = py + shrink * (u * np.sin(heading) + v * np.cos(heading))
            outline = list(zip(a.tolist(), b.tolist(), strict=True))
            oil.knife.polygon(outline, fill=load)
            if shrink == 1.0:
                oil.brush.polygon(outline, fill=ink(colour))


def crown(rng: Rng, x: float, y: float, wide: float, tall: float) -> Array:
    """The leafy mass of a tree: above 0 inside."""
    puffs = np.full(X.shape, -1.0)
    for _ in range(16):
        turn, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 0.65))
        px, py, r = x + wide * reach * np.cos(turn), y + tall * reach * np.sin(turn), rng.uniform(0.3, 0.48) * wide
        puffs = np.maximum(puffs, 1 - np.hypot(X - px, Y - py) / r)
    return puffs


def pointillism() -> Array:
    """An evening by a river in dots of pure colour, which the eye mixes."""
    rng = np.random.default_rng(17)
    sun_x, sun_y, shore = 470.0, 335.0, 430.0
    far = np.hypot(X - sun_x, 1.25 * (Y - sun_y))
    sky = ramp(palette("fff2a0 ffd75e ffb25a f7936f d98aa8 9f8fd0 6f8fd8 5a7fd0"), far / 780 + 0.035 * noise(rng, 420, 60, 3))
    subject = mix(sky, rgb("fff6c0"), step(58, 50, far))
    ridge = shore - 62 - 34 * np.sin(X / 210 + 1.2) - 14 * np.sin(X / 83)
    hills = ramp(palette("c58fc0 7f78c8 4f62b4 5c86b0"), (Y - ridge) / 95 + 0.1 * noise(rng, 120, 50, 2))
    subject = mix(subject, hills, step(-2, 2, Y - ridge))

    mirrored = np.clip(2 * shore - Y, 0, HEIGHT - 1)
    ripple = 22 * np.sin(Y / 8 + 1.4 * noise(rng, 200, 30, 2)) * (Y - shore) / 300
    water = 0.86 * at(subject, X + ripple, mirrored) + 0.14 * rgb("2a6fc0")
    water = mix(water, rgb("2f5fb8"), 0.55 * step(-0.1, 1.2, noise(rng, 260, 26, 3)))
    path = np.abs(X - sun_x + 10 * np.sin(Y / 11)) / (26 + 0.32 * (Y - shore))
    water = mix(water, rgb("ffd45a"), 0.9 * step(1.1, 0.4, path) * step(-0.5, 0.4, np.sin(Y / 9 + 3 * np.sin(X / 60))))
    subject = mix(subject, water, step(-2, 2, Y - shore))
    angle = np.where(shore < Y, 0.0, np.arctan2(Y - sun_y, X - sun_x) + np.pi / 2)

    for x, y, size in [(250, 500, 1.0), (705, 470, 0.62), (800, 545, 1.35)]:
        up, side = (y - Y) / (150 * size), (X - x) / (62 * size)
        sail = (up > 0.06) & (up < 1) & (side > -0.02) & (side < 0.95 * (1 - up) ** 0.8)
        jib = (up > 0.06) & (up < 0.86) & (side < -0.08) & (side > -0.62 * (1 - up / 0.86))
        hull = (np.abs(side + 0.0) < 0.95 - 1.6 * np.abs(up - 0.03)) & (np.abs(up) < 0.06)
        below = (up < -0.06) & (up > -0.8) & (np.abs(side - 0.2 + 0.12 * np.sin(Y / 6)) < 0.5 * (1 + up))
        subject = mix(subject, rgb("ffe9c4"), 0.55 * below)
        subject = mix(subject, rgb("fff0d0"), 1.0 * sail)
        subject = mix(subject, rgb("f08a5a"), 1.0 * jib)
        subject = mix(subject, rgb("5a2a6a"), 1.0 * hull)

    bank = 735 + 60 * np.sin(X / 330 + 2.6) - 150 * step(760, 1280, X) + 14 * np.sin(X / 41)
    grass = ramp(palette("2f8a4a 7fc04a c8d84a 4fa860 2a7a6a 1f5a78"), (Y - bank) / 260 + 0.16 * noise(rng, 150, 60, 3))
    meadow = step(-3, 3, Y - bank)
    subject = mix(subject, grass, meadow)
    bloom = noise(rng, 46, 30, 2)
    for low, code in ((1.5, "e83a6a"), (1.9, "fff0b0")):
        subject = mix(subject, rgb(code), meadow * step(low, low + 0.2, bloom) * step(10, 60, Y - bank))
    bloom = noise(rng, 40, 26, 2)
    subject = mix(subject, rgb("8a5ae0"), meadow * step(1.5, 1.7, bloom) * step(10, 60, Y - bank))
    angle = np.where(bank < Y, -1.2 + 0.5 * np.sin(X / 70), angle)

    for x, y, wide, tall in [(1085, 300, 215, 250), (1235, 420, 150, 190), (60, 560, 120, 150)]:
        foot = 640 if x > 600 else 760
        trunk = np.abs(X - x - 16 * np.sin(Y / 70)) < 12 + 10 * step(foot - 90, foot + 30, Y)
        subject = mix(subject, ramp(palette("c8703a 4a2a5a"), (X - x + 20) / 40), trunk & (y < Y) & (foot + 30 > Y))
        inside = crown(rng, x, y, wide, tall)
        light = ((x - X) / wide - 0.7 * (Y - y) / tall) * 0.3 + 0.45 + 0.5 * np.clip(inside, 0, 1) + 0.12 * noise(rng, 60, 60)
        leaves = ramp(palette("1f2f6a 1f5a6a 2a8a4a 8fc040 f0d050 f8a040"), light)
        subject = mix(subject, leaves, step(-0.02, 0.03, inside))
        angle = np.where(inside > 0, np.arctan2(Y - y, X - x) + 1.2, angle)

    weave = 0.03 * np.sin(X * 0.9) * np.sin(Y * 0.9)
    oil = Oil(rgb("efe2c4") * (1 + weave)[..., None])
    dab(oil, rng, soften(np.clip(subject, 0, 1), 4), angle, size=27, spacing=19)
    dab(oil, rng, subject, angle, size=19, spacing=14.5)
    dab(oil, rng, subject, angle, size=13, spacing=13, share=0.85)
    return oil.finished(0.42)


STYLES: dict[str, Callable[[], Array]] = {
    "brushstrokes": brushstrokes,
    "stained-glass": stained_glass,
    "woodcut-waves": woodcut_waves,
    "pointillism": pointillism,
}


def save(name: str, picture: Array) -> Path:
    path = Path(__file__).with_name(f"{name}.jpg")
    image = to_image(picture).resize((WIDTH // SHRINK, HEIGHT // SHRINK), Image.Resampling.LANCZOS)
    image.save(path, quality=QUALITY, subsampling=0, optimize=True)
    return path


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(STYLES))
    if unknown:
        sys.exit(f"no such style: {', '.join(unknown)}; there are {', '.join(STYLES)}")
    for name in names or STYLES:
        began = time.perf_counter()
        path = save(name, STYLES[name]())
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])

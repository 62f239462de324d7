"""Six style pictures, painted from nothing but numpy, Pillow and fixed random seeds.

    python manifests/images/make_styles.py [NAME ...]

writes NAME.jpg beside this file, or all of them when no name is given. Every picture is painted at twice its
final size and then reduced, which smooths the edges. Coordinates are painted pixels, x to the right and y
down; colours run from 0 to 1.
"""

import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]
Corners = Sequence[tuple[float, float]]
Rng = np.random.Generator

WIDTH, HEIGHT = 1280, 960
SHRINK = 2
QUALITY = 88
X, Y = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))


# ------------------------------------------------------------------------------------------------ small tools


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


# -------------------------------------------------------------------------------------------- painting in oil


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


def brushstrokes() -> Array:
    """A night of whirling wind over wheat: thick short strokes along the level lines of a stream function."""
    rng = np.random.default_rng(11)
    lamps = [
        (250, 190, 62),
        (640, 120, 30),
        (1085, 215, 84),
        (455, 395, 34),
        (820, 330, 40),
        (90, 420, 26),
        (905, 90, 24),
    ]
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
    lamplight = np.zeros(X.shape)
    for x, y, radius in lamps:
        distance = np.hypot(X - x, Y - y) / radius
        sky = mix(sky, ramp(glow, distance / 2.3), 0.95 * step(2.5, 1.1, distance))
        lamplight += step(1.9, 1.0, distance)

    ridge = 560 + 55 * np.sin(X / 190 + 0.6) + 28 * np.sin(X / 71 + 2)
    field = 690 + 46 * np.sin(X / 260 + 2.2) + 0.06 * (X - 640)
    fold = 0.012 * (Y - ridge) + 0.12 * noise(rng, 160, 60)
    hills = ramp(palette("08132f 0f2a4c 1a4a5c 2b6a5e 123a5a 0a1a3c"), fold % 1)
    furrow = (Y - field) / 300
    furrow = 2.3 * furrow + 0.25 * np.sin(X / 120 + 5 * furrow) + 0.16 * noise(rng, 140, 50)
    wheat = ramp(palette("7a4a12 c98a1e f2c744 a8661a e8b133 fbe08a 8c5a16 d99a26 5c4a1c c98a1e"), furrow % 1)
    subject = mix(sky, hills, step(-3, 3, Y - ridge))
    subject = mix(subject, wheat, step(-3, 3, Y - field))
    slope = np.gradient(ridge, axis=1)
    angle = np.where(ridge < Y, np.arctan(slope) + 0.5 * np.sin(X / 60 + Y / 45), angle)
    angle = np.where(field < Y, -1.05 + 0.75 * np.sin(X / 170 + Y / 120) + 0.2 * noise(rng, 90, 90, 2), angle)

    oil = Oil(mix(subject, rgb("3a2a1a"), 0.4))
    cover(oil, rng, subject, angle, width=40, length=150, spacing=28)
    cover(oil, rng, subject, angle, width=27, length=96, spacing=25)
    cover(oil, rng, subject, angle, width=15, length=60, spacing=28)
    cover(oil, rng, subject, angle, width=13, length=34, spacing=13, where=lamplight - 0.35)
    return oil.finished(0.55)


# ----------------------------------------------------------------------------------------------- leaded glass


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


class Window:
    """A leaded window: every pixel knows its pane, its part (heavy leads divide the parts) and its design."""

    def __init__(self) -> None:
        self.pane = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        self.part = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        self.design = np.zeros((HEIGHT, WIDTH, 3))

    def add(self, mask: Mask, pieces: Labels, design: Array, new: bool = True) -> None:
        """Cut a shape into pieces (whole numbers) and put it over the window, by default as a new part."""
        self.pane = np.where(mask, self.pane.max() + 1 + pieces, self.pane)
        self.part = np.where(mask, self.part.max() + new, self.part)
        self.design = np.where(mask[..., None], design, self.design)

    def shatter(self, mask: Mask, sites: Array, design: Array) -> None:
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
        half = fat * np.sin(np.pi * np.clip(along, 0, 1)) ** 1.2
        self.add(np.abs(across) < half, (across > 0).astype(np.int64), design)

    def flower(self, x: float, y: float, radius: float, petals: int, turn: float, design: Array, heart: Array) -> None:
        """A flower: petals in two rows about a heart, none quite like the next."""
        wave = 2 * np.sin(X / 37 + y) + 2 * np.sin(Y / 31 + x)
        r, theta = np.hypot(X - x + wave, Y - y - wave), np.arctan2(Y - y - wave, X - x + wave) + turn
        theta += 0.1 * np.sin(2 * theta + x)
        outer, inner = petals * theta / (2 * np.pi), petals * theta / (2 * np.pi) + 0.5
        edge = radius * (0.74 + 0.26 * np.abs(np.sin(np.pi * outer)) ** 0.7)
        edge *= 1 + 0.07 * np.sin(3 * theta + y)
        shaded = mix(design, mix(design, heart, 0.7), step(0.72, 0.25, r / radius))
        self.add(r < edge, whole(outer) % petals, shaded)
        edge = 0.52 * radius * (0.8 + 0.2 * np.abs(np.sin(np.pi * inner)))
        self.add(r < edge, whole(inner) % petals, mix(shaded, heart, 0.2), new=False)
        self.add(r < 0.2 * radius, whole(0 * X), heart + 0 * design, new=False)

    def lighted(self, rng: Rng) -> Array:
        """The window with the sun behind it."""
        _, pane = np.unique(self.pane, return_inverse=True)
        pane = pane.reshape(self.pane.shape)
        count = np.bincount(pane.ravel())
        middle_x = np.bincount(pane.ravel(), X.ravel()) / count
        middle_y = np.bincount(pane.ravel(), Y.ravel()) / count
        mean = np.stack([np.bincount(pane.ravel(), self.design[..., k].ravel()) / count for k in range(3)], 1)
        base = mean * rng.normal(1.02, 0.09, (count.size, 1)) + rng.normal(0, 0.035, (count.size, 3))

        heading = rng.uniform(0, 2 * np.pi, count.size)[pane]
        fade = (X - middle_x[pane]) * np.cos(heading) + (Y - middle_y[pane]) * np.sin(heading)
        fade /= np.sqrt(count)[pane]
        streaks = np.stack([noise(rng, 420, 24), noise(rng, 30, 380), noise(rng, 120, 110, 5)])
        streak = np.take_along_axis(streaks, (pane % 3)[None], axis=0)[0]
        ripple = relief(noise(rng, 26, 26, 3), 1.1)
        bubble = step(2.4, 3.2, noise(rng, 9, 9, 1))
        glass = base[pane] + 0.8 * (self.design - mean[pane])
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
        sites = 12 + 4 * k
        turns = 2 * np.pi * (np.arange(sites) + rng.uniform(-0.3, 0.3, sites) + 0.5 * (k % 2)) / sites
        reaches = sun * reach * rng.normal(1, 0.045, turns.size)
        rings.append(np.stack([sun_x + reaches * np.cos(turns), sun_y + reaches * np.sin(turns)], axis=1))
    dawn = palette("ffd23e ff9a1f f2551d d81f4a a3166e 5b1f8f 2a2fa6 1746b8 0d3aa0 0a2a80")
    sky = ramp(dawn, (far - 1) / 7.2 + 0.03 * np.sin(9 * theta))
    window.shatter(far > 0, np.concatenate(rings), sky)
    window.add(far < 1.0, whole(12 * theta / (2 * np.pi)) + 12, rgb("ffc21a") + 0 * sky)
    window.add(far < 0.6, whole(6 * theta / (2 * np.pi) + 0.3) + 6, rgb("fff08a") + 0 * sky, new=False)

    hills = [
        (530 + 60 * np.sin(X / 150 + 1.0) + 20 * np.sin(X / 60), "5a2a9a 3a3fb5 6b2f8f", 92.0),
        (610 + 50 * np.sin(X / 200 + 3.4), "0f7f8f 12a08a 0c5f9a", 86.0),
        (690 + 46 * np.sin(X / 170 + 5.3), "1fa04a 0f7a3c 7fc02f", 80.0),
    ]
    for crest, codes, spacing in hills:
        sites_xy = np.stack(scattered(rng, spacing), axis=1)
        design = ramp(palette(codes), 0.5 + 0.35 * noise(rng, 300, 200, 2))
        window.shatter(crest < Y, sites_xy, design)

    bank = 560 + 250 * np.sin((Y - 620) / 150) * step(600, 960, Y) + 30
    half = 12 + 0.42 * np.clip(Y - 640, 0, None)
    wave = whole((Y - 640 + 22 * np.sin(X / 62)) / (16 + 0.07 * np.clip(Y - 640, 0, None)))
    water = ramp(palette("ffd060 43c8e8 1a86d8 1455c0 1fb0e0"), (Y - 640) / 320 + 0.1 * np.sin(X / 50))
    window.add((np.abs(X - bank) < half) & (Y > 648), np.clip(wave, 0, 60), water)

    green = ramp(palette("0c6b3a 2fae4f 9ad23a"), 0.5 + 0.35 * noise(rng, 200, 200, 2))
    for x, heading, length, bend in [
        (120, -1.9, 380, 0.4),
        (210, -1.25, 420, -0.35),
        (60, -1.4, 300, 0.3),
        (330, -0.9, 300, 0.4),
        (1130, -1.9, 430, 0.35),
        (1210, -1.3, 380, -0.4),
        (1030, -2.2, 320, -0.3),
        (940, -1.5, 210, 0.3),
    ]:
        window.leaf(x, 985, heading, length, 0.11, bend, green)
    red = ramp(palette("b3122a e8253a ff5a3c"), 0.5 + 0.3 * noise(rng, 90, 90, 2))
    rose = ramp(palette("a01870 e23a9a ff7ab8"), 0.5 + 0.3 * noise(rng, 90, 90, 2))
    window.flower(150, 660, 128, 7, 0.3, red, rgb("ffc832"))
    window.flower(330, 850, 104, 6, 0.9, rose, rgb("ffe070"))
    window.flower(1120, 620, 138, 8, 0.1, rose, rgb("ffd23e"))
    window.flower(975, 835, 100, 6, 0.5, red, rgb("ffb020"))
    window.flower(1215, 850, 92, 7, 0.7, red, rgb("ffd23e"))
    return window.lighted(rng)


# ---------------------------------------------------------------------------------------------------- woodcut


# A breaking wave seen from the side, from the trough behind it over the lip to the trough in front.
BREAKER_X = [-1.0, -0.72, -0.45, -0.2, 0.08, 0.36, 0.58, 0.66, 0.52, 0.34, 0.17, 0.16, 0.32, 0.62, 1.0]
BREAKER_Y = [0.0, 0.1, 0.36, 0.72, 0.95, 0.99, 0.84, 0.6, 0.72, 0.72, 0.52, 0.28, 0.1, 0.01, 0.0]
BREAKER = np.column_stack([BREAKER_X, BREAKER_Y])
STEPS = 14  # points of a curve from one knot to the next


def spline(knots: Array) -> Array:
    """A smooth curve through the knots (Catmull and Rom's)."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.concatenate([*pieces, knots[-1:]])


def silhouette(curve: Array) -> Mask:
    """Everything below a curve which runs from left to right."""
    image = Image.new("1", (WIDTH, HEIGHT))
    low = [(float(curve[-1, 0]), HEIGHT + 400.0), (float(curve[0, 0]), HEIGHT + 400.0)]
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in curve] + low, fill=1)
    return np.asarray(image)


def depth_in(mask: Mask) -> Array:
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
    way = np.column_stack([np.cumsum(np.cos(turn)), np.cumsum(np.sin(turn))]) * length / 26
    return np.column_stack([np.array([x, y]) + way, thick * (1 - t) ** 0.8 + 1.2])


def foam(rng: Rng, image: Image.Image, curve: Array, size: float, cream: Array, line: Array, blue: Array) -> None:
    """The foam on a breaking lip: fringe, claws and flying drops."""
    lip = curve[2 * STEPS + 8 : 10 * STEPS + 4]
    along = np.gradient(lip, axis=0)
    heading = np.arctan2(along[:, 1], along[:, 0])
    swell = np.sin(np.linspace(0.12, np.pi - 0.1, len(lip))) ** 0.8
    normal = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    for inward in (0.045, 0.0):
        place = lip + normal * (inward * size * swell[:, None]) + rng.normal(0, 0.004 * size, lip.shape)
        radius = size * 0.03 * swell * rng.uniform(0.6, 1.2, len(lip))
        fringe = np.column_stack([place, radius])[::2]
        shapes = [fringe]
        for k in range(int(rng.integers(4, 9)), len(lip) - 6, 5):
            outward = heading[k] + rng.uniform(-1.35, -0.75)
            length, bend = size * swell[k] * rng.uniform(0.1, 0.2), rng.uniform(1.4, 2.3)
            shapes.append(claw(lip[k, 0], lip[k, 1], outward, length, bend, size * 0.02))
        blobs(image, np.concatenate(shapes), cream, line, 2.6)
        draw = ImageDraw.Draw(image)
        for x, y, r in fringe[1::2]:
            start, reach = rng.uniform(100, 200), 0.7 * r
            draw.arc((x - reach, y - reach, x + reach, y + reach), start, start + 150, fill=ink(blue), width=3)
    tip = lip[48]
    n = int(size / 10)
    away, turn = size * rng.uniform(0.05, 0.5, n), rng.uniform(-1.1, 0.9, n)
    x, y = tip[0] + away * np.cos(turn), tip[1] + away * np.sin(turn)
    drops = np.column_stack([x, y, size * rng.uniform(0.004, 0.014, n)])
    blobs(image, drops, cream, line, 2.2)


def cloud(image: Image.Image, x: float, y: float, length: float, fill: Array, line: Array) -> None:
    """A bank of mist: rounded bars, with a few lines carved along them."""
    ends, rows, t = list[tuple[float, float]](), [], np.linspace(0, 1, 80)
    for shift, share in ((-0.08, 1.0), (0.1, 0.72), (-0.2, 0.4)):
        a, b = x + length * (shift - share / 2), x + length * (shift + share / 2)
        rows.append(np.column_stack([a + (b - a) * t, 0 * t + y + 25 * len(ends), 0 * t + 16]))
        ends.append((a, b))
    blobs(image, np.concatenate(rows), fill, line, 2.6)
    draw = ImageDraw.Draw(image)
    for k, (a, b) in enumerate(ends):
        for row in (-7, 0, 7):
            trim, level = (0.1 + 0.07 * ((k + row) % 3)) * (b - a), y + 25 * k + row
            draw.line((a + trim, level, b - 0.7 * trim, level), ink(mix(fill, line, 0.35)), 2)


def woodcut_waves() -> Array:
    """Breakers under a red sun, as in a Japanese woodcut: bands and lines carved along every wave."""
    rng = np.random.default_rng(29)
    cream, black, red = rgb("efe3c6"), rgb("141d3a"), rgb("c4402b")
    indigo, blue, pale = rgb("1e3566"), rgb("3f709c"), rgb("a9c6c8")

    drift = Y + 9 * noise(rng, 700, 260, 3)
    dusk = ramp(palette("31507f 7fa0ae d9d4bd efe3c6 efcfa6 e5a27c"), np.clip(drift / 640, 0, 1))
    tone = np.interp(drift, [0, 120, 330, 520, 640], [0.62, 0.4, 0.17, 0.2, 0.34])
    lines = step(-0.1, 0.1, tone - np.abs(2 * (drift / 13 % 1) - 1))
    sky = mix(dusk, mix(indigo, red, 0.75 * step(330, 560, drift)), 0.85 * lines)
    sun = np.hypot(X - 905, Y - 300)
    cuts = step(-0.12, 0.12, np.abs(2 * (drift / 17 % 1) - 1) - 1.0 + 0.62 * step(200, 450, Y))
    sky = mix(sky, mix(red, rgb("eda27a"), cuts), step(158, 155, sun))
    sky = mix(sky, black, step(2.6, 1.0, np.abs(sun - 157)))
    image = to_image(sky)
    peach = rgb("edbe98")
    cloud(image, 1060, 150, 330, cream, black)
    cloud(image, 690, 215, 230, pale, black)
    cloud(image, 1120, 405, 300, cream, black)
    cloud(image, 850, 425, 250, peach, black)
    cloud(image, 110, 330, 300, cream, black)
    cloud(image, 60, 480, 200, peach, black)

    waves = [  # the level, then the middle, half width and height of each breaker
        (600, [(-90, 240, 90), (330, 220, 70), (760, 240, 85), (1180, 230, 80)]),
        (665, [(120, 200, 120), (560, 260, 110), (1010, 260, 170)]),
        (800, [(300, 460, 620)]),
        (815, [(-60, 260, 160), (960, 330, 300)]),
        (930, [(120, 330, 210), (760, 330, 150), (1290, 300, 230)]),
    ]
    bands = np.stack([indigo, pale, blue, indigo, cream, blue, pale, indigo, blue, black, pale, indigo])
    widths = np.cumsum([6, 9, 13, 5, 5, 15, 7, 12, 9, 4, 12, 18])
    for base, breakers in waves:
        crests = [
            spline(np.array([middle, base]) + BREAKER * np.array([half, -height])) for middle, half, height in breakers
        ]
        curve = np.concatenate([[[-400.0, base + 10.0]], *crests, [[WIDTH + 400.0, base + 10.0]]])
        mask = silhouette(curve)
        depth = depth_in(mask) * (1 + 0.05 * noise(rng, 200, 200, 2)) + 2.5 * noise(rng, 120, 120, 2)
        carved = bands[np.searchsorted(widths, np.clip(depth, 0, 339) % widths[-1])]
        image = to_image(np.where(mask[..., None], carved, to_array(image)))
        ImageDraw.Draw(image).line([(float(x), float(y)) for x, y in curve], ink(black), 6)
        for (_, half, height), crest in zip(breakers, crests, strict=True):
            if height > 100:
                foam(rng, image, crest, (half + height) / 2, cream, black, blue)

    picture = to_array(image)
    grain = noise(rng, 900, 5, 3) + 0.7 * noise(rng, 300, 14, 3)
    inked = 1 - picture.mean(axis=-1)
    picture = mix(picture, cream, np.clip(0.07 + 0.1 * grain, 0, 0.45) * step(0.1, 0.6, inked))
    return picture * (1 + 0.018 * noise(rng, 6, 6, 1) + 0.025 * noise(rng, 240, 240))[..., None]


# ------------------------------------------------------------------------------------------------ pointillism


def hue_turned(colours: Array, angle: Array, gain: Array) -> Array:
    """Turn colours about the grey axis by an angle (pi: the complement) and multiply their purity by gain."""
    grey: Array = colours.mean(axis=1, keepdims=True)
    chroma = colours - grey
    side = np.cross(np.full(3, 1 / np.sqrt(3)), chroma)
    turned: Array = grey + gain[:, None] * (chroma * np.cos(angle)[:, None] + side * np.sin(angle)[:, None])
    return turned


def dab(oil: Oil, rng: Rng, subject: Array, angle: Array, size: float, spacing: float, share: float = 1.0) -> None:
    """Set dots of paint: most near the local colour, some beside it on the colour wheel, some opposite."""
    x, y = scattered(rng, spacing)
    kept = rng.uniform(size=x.size) < share
    x, y = x[kept], y[kept]
    local = at(subject, x, y)
    kind = rng.choice(4, x.size, p=[0.6, 0.24, 0.1, 0.06])
    turn = np.choose(kind, [0.12, 0.55, 0.25, 0.3]) * rng.normal(0, 1, x.size) + np.where(kind == 2, np.pi, 0)
    gain = np.choose(kind, [1.2, 1.35, 0.55, 0.8]) * rng.uniform(0.85, 1.2, x.size)
    colours = hue_turned(local, turn, gain) * rng.normal(1, 0.1, (x.size, 1))
    colours = colours + np.choose(kind, [0.0, 0.0, 0.0, 0.15])[:, None]
    t = np.linspace(0, 2 * np.pi, 11)
    headings = at(angle, x, y) + rng.normal(0, 0.25, x.size)
    for px, py, heading, colour in zip(x, y, headings, colours, strict=True):
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
        px, py = x + wide * reach * np.cos(turn), y + tall * reach * np.sin(turn)
        r = rng.uniform(0.3, 0.48) * wide
        puffs = np.maximum(puffs, 1 - np.hypot(X - px, Y - py) / r)
    return puffs


def pointillism() -> Array:
    """An evening by a river in dots of pure colour, which the eye mixes."""
    rng = np.random.default_rng(17)
    sun_x, sun_y, shore = 470.0, 335.0, 430.0
    far = np.hypot(X - sun_x, 1.25 * (Y - sun_y))
    dusk = palette("fff2a0 ffd75e ffb25a f7936f d98aa8 9f8fd0 6f8fd8 5a7fd0")
    sky = ramp(dusk, far / 780 + 0.035 * noise(rng, 420, 60, 3))
    subject = mix(sky, rgb("fff6c0"), step(58, 50, far))
    ridge = shore - 62 - 34 * np.sin(X / 210 + 1.2) - 14 * np.sin(X / 83)
    hills = ramp(palette("c58fc0 7f78c8 4f62b4 5c86b0"), (Y - ridge) / 95 + 0.1 * noise(rng, 120, 50, 2))
    subject = mix(subject, hills, step(-2, 2, Y - ridge))

    mirrored = np.clip(2 * shore - Y, 0, HEIGHT - 1)
    ripple = 22 * np.sin(Y / 8 + 1.4 * noise(rng, 200, 30, 2)) * (Y - shore) / 300
    water = at(subject, X + ripple, mirrored) * rgb("f4e6ff")
    deep = ramp(palette("4a7fd0 2f62b8 1f4a9c"), (Y - shore) / 300)
    water = mix(water, deep, step(-0.35, -0.05, noise(rng, 200, 24, 3)))
    path = np.abs(X - sun_x + 10 * np.sin(Y / 11)) / (26 + 0.32 * (Y - shore))
    glitter = step(1.1, 0.4, path) * step(-0.5, 0.4, np.sin(Y / 9 + 3 * np.sin(X / 60)))
    water = mix(water, rgb("ffd45a"), 0.9 * glitter)
    subject = mix(subject, water, step(-2, 2, Y - shore))
    angle = np.where(shore < Y, 0.0, np.arctan2(Y - sun_y, X - sun_x) + np.pi / 2)

    for x, y, size in [(250, 500, 1.0), (705, 470, 0.62), (800, 545, 1.35)]:
        up, side = (y - Y) / (150 * size), (X - x) / (62 * size)
        sail = (up > 0.06) & (up < 1) & (side > -0.02) & (side < 0.95 * (1 - up))
        jib = (up > 0.06) & (up < 0.86) & (side < -0.08) & (side > -0.62 * (1 - up / 0.86))
        hull = (np.abs(side) < 0.95 - 1.6 * np.abs(up - 0.03)) & (np.abs(up) < 0.06)
        below = (up < -0.06) & (up > -0.8) & (np.abs(side - 0.2 + 0.12 * np.sin(Y / 6)) < 0.5 * (1 + up))
        subject = mix(subject, rgb("ffe9c4"), 0.55 * below)
        for part, code in ((sail, "fff0d0"), (jib, "f08a5a"), (hull, "5a2a6a")):
            subject = mix(subject, rgb(code), 1.0 * part)

    bank = 735 + 60 * np.sin(X / 330 + 2.6) - 150 * step(760, 1280, X) + 14 * np.sin(X / 41)
    blades = (Y - bank) / 260 + 0.16 * noise(rng, 150, 60, 3)
    grass = ramp(palette("2f8a4a 7fc04a c8d84a 4fa860 2a7a6a 1f5a78"), blades)
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
        trunk &= (y < Y) & (foot + 30 > Y)
        subject = mix(subject, ramp(palette("c8703a 4a2a5a"), (X - x + 20) / 40), 1.0 * trunk)
        inside = crown(rng, x, y, wide, tall)
        light = 0.12 + 0.26 * (x - X) / wide - 0.18 * (Y - y) / tall
        light += 0.5 * np.clip(inside, 0, 1) + 0.12 * noise(rng, 60, 60)
        leaves = ramp(palette("1a2460 174a66 1f7a4a 4fa03a b8cc40 f8c850"), light)
        subject = mix(subject, leaves, step(-0.02, 0.03, inside))
        angle = np.where(inside > 0, np.arctan2(Y - y, X - x) + 1.2, angle)

    weave = 0.03 * np.sin(X * 0.9) * np.sin(Y * 0.9)
    oil = Oil(rgb("efe2c4") * (1 + weave)[..., None])
    dab(oil, rng, soften(np.clip(subject, 0, 1), 4), angle, size=27, spacing=22)
    dab(oil, rng, subject, angle, size=18, spacing=15, share=0.9)
    dab(oil, rng, subject, angle, size=12.5, spacing=11.5, share=0.8)
    return oil.finished(0.24)


# ---------------------------------------------------------------------------------------------- marbled paper


def twisted(x: Array, y: Array, cx: float, cy: float, turn: float, reach: float) -> tuple[Array, Array]:
    """Turn the bath about a point, less and less with the distance."""
    angle = turn * np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / reach**2))
    cos, sin = np.cos(angle), np.sin(angle)
    return cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos


def combed(x: Array, y: Array, cx: float, cy: float, heading: float, pull: float, width: float) -> tuple[Array, Array]:
    """Draw a stylus through the bath along a line; the ink beside it is dragged along."""
    off = np.abs((y - cy) * np.cos(heading) - (x - cx) * np.sin(heading))
    drag = pull * width / (width + off)
    return x - drag * np.cos(heading), y - drag * np.sin(heading)


def floated(x: Array, y: Array, drops: list[tuple[float, float, float, int]], old: Array) -> Labels:
    """Which ink lies where after drops (x, y, radius, ink) fell, each pushing the earlier ones aside.

    Every pixel is followed backwards in time, until it is inside the drop which coloured it: a later drop
    of radius r moved it from the distance sqrt(d^2 - r^2) to the distance d. What no drop reached shows the
    rings of old inks which were on the bath before.
    """
    which = np.zeros(x.size, dtype=np.int64)
    left, x, y = np.arange(x.size), x.ravel().copy(), y.ravel().copy()
    for cx, cy, radius, colour in reversed(drops):
        dx, dy = x - cx, y - cy
        square = dx**2 + dy**2
        inside = square < radius**2
        which[left[inside]] = colour
        keep = ~inside
        squeeze = np.sqrt(1 - radius**2 / square[keep])
        left, x, y = left[keep], cx + dx[keep] * squeeze, cy + dy[keep] * squeeze
    ring = whole(np.hypot(x - 0.4 * WIDTH, y - 0.55 * HEIGHT) / 21)
    which[left] = old[ring % len(old)]
    return which.reshape(HEIGHT, WIDTH)


def ink_and_gold() -> Array:
    """Marbled paper: drops of ink floated on a bath, combed and twisted, with gold leaf in some rings."""
    rng = np.random.default_rng(8)
    inks = palette("f2e7d0 0c1122 1d2f63 d8a032 1b6a74 a93226 0c1122 3d5fa0")
    gold = 3
    grid = [(x, y) for x in (-80, 200, 480, 760, 1040, 1320) for y in (-20, 230, 480, 730, 980)]
    middles = rng.permutation(np.array(grid, dtype=float))
    middles = middles + rng.normal(0, 60, middles.shape)
    order = [1, 3, 2, 6, 0, 4, 1, 3, 7, 2, 6, 5, 1, 3, 2, 6, 0, 4, 1, 7, 3]
    drops = []
    for turn in range(13):
        for k, (cx, cy) in enumerate(middles):
            colour = order[(turn + 3 * k) % len(order)]
            radius = rng.uniform(24, 66) if colour != gold else rng.uniform(18, 36)
            drops.append((cx + rng.normal(0, 14), cy + rng.normal(0, 14), radius, colour))

    x, y = X + 9 * noise(rng, 330, 330, 3), Y + 9 * noise(rng, 330, 330, 3)
    for _ in range(9):
        cx, cy = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        x, y = twisted(x, y, cx, cy, rng.choice([-1, 1]) * rng.uniform(1.0, 2.8), rng.uniform(120, 280))
    for _ in range(6):
        cx, cy = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)
        x, y = combed(x, y, cx, cy, rng.uniform(0, 2 * np.pi), rng.uniform(90, 190), rng.uniform(16, 40))
    which = floated(x, y, drops, np.array(order))

    edge = distance_to(border(which), 12)
    wash = noise(rng, 260, 260, 5)
    granule = noise(rng, 7, 7, 2)
    uneven = np.where(which == 0, 0.06 * wash + 0.012 * granule, 0.15 * wash + 0.05 * granule)
    paint = inks[which] * (1 + uneven)[..., None]
    paint = mix(paint, paint * 0.72, 0.8 * step(8, 0, edge) * (which != gold))
    paint = mix(paint, inks[7], 0.3 * step(0.4, 1.8, wash) * ((which == 1) | (which == 2) | (which == 6)))

    vein_width = 0.8 + 1.0 * noise(rng, 240, 240, 3)
    vein = step(0.6, -0.6, edge - vein_width)
    leaf = np.clip(np.maximum(vein, 1.0 * (which == gold)), 0, 1)
    spatter = step(2.5, 2.75, noise(rng, 13, 13, 1)) * step(0.1, 0.9, noise(rng, 420, 420, 2))
    leaf = np.maximum(leaf, spatter)
    crumple = noise(rng, 90, 90, 6)
    shine = relief(0.9 * crumple + 1.6 * soften(leaf, 3), 1.5)
    metal = ramp(palette("5c3a0c a8741a d9a235 f3d27a fff3c4"), 0.5 + 0.2 * crumple + 0.42 * shine)
    return mix(paint, metal, leaf) * (1 + 0.02 * granule)[..., None]


# ---------------------------------------------------------------------------------------------- expressionism


class Scene:
    """Flat shapes, the later before the earlier: their colours, directions of paint and contours."""

    def __init__(self, background: Array, angle: Array) -> None:
        self.colour = to_image(background)
        self.angle = Image.fromarray(angle.astype(np.float32))
        self.owner = Image.new("I", (WIDTH, HEIGHT))
        self.contours: list[tuple[Corners, float]] = []

    def shape(self, corners: Corners, colour: Array, heading: float, contour: float) -> None:
        """Put a shape in front: its colour, the direction of its strokes, the width of its contour."""
        self.contours.append((corners, contour))
        ImageDraw.Draw(self.colour).polygon(list(corners), fill=ink(colour))
        ImageDraw.Draw(self.angle).polygon(list(corners), fill=heading)
        ImageDraw.Draw(self.owner).polygon(list(corners), fill=len(self.contours))

    def outline(self, oil: Oil, rng: Rng) -> None:
        """Draw the visible pieces of all contours in black, as from a loaded and impatient brush."""
        owner = np.asarray(self.owner)
        for mine, (corners, width) in enumerate(self.contours, start=1):
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                points = max(5, int(np.hypot(b[0] - a[0], b[1] - a[1]) / 9))
                t = np.linspace(-2.5 / points, 1 + 2.5 / points, points)[:, None]
                line = np.array(a) + t * (np.array(b) - np.array(a))
                nearby = ((6, 0), (-6, 0), (0, 6), (0, -6))
                beside = np.stack([at(owner, line[:, 0] + dx, line[:, 1] + dy) for dx, dy in nearby])
                seen = np.flatnonzero((beside == mine).any(axis=0))
                for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
                    if len(run) > 2:
                        black = rgb("17101f") * rng.uniform(0.6, 1.6)
                        path = line[run] + rng.normal(0, 0.9, (len(run), 2))
                        oil.stroke(rng, path, width * rng.uniform(0.8, 1.3), black, black + rgb("120a22"))


def house(scene: Scene, rng: Rng, x: float, y: float, size: float) -> None:
    """A crooked house whose front stands at x, y."""
    wide, tall, deep = size * rng.uniform([0.55, 0.7, 0.5], [0.75, 1.15, 0.9])
    lean, peak = size * rng.normal(0, 0.06), tall + size * rng.uniform(0.35, 0.6)
    side = rng.choice([-1, 1])
    wall = rng.choice(palette("f6a21a e8531f ffcf3a f47a3a f7e3a8 d8386a 2f8a94 f2c14a"))
    roof = rng.choice(palette("8f1420 c8261c d9400f 5a1a4a 1f3f7a a01c3c"))
    dark, lamp = rgb("1c1838"), rgb("ffe27a")
    line = 5.5 + size / 32

    def quad(*spots: tuple[float, float]) -> Corners:
        return [(float(x + side * wide * u + lean * v), float(y - tall * v)) for u, v in spots]

    back, top = 1 + deep / wide, peak / tall
    cap = quad((0.5, top), (1.1, 0.93), (back + 0.08, 0.9), (back - 0.5, top * 0.98))
    pitch = float(np.arctan2(cap[1][1] - cap[0][1], cap[1][0] - cap[0][0]))
    scene.shape(quad((1, 0), (1, 1), (back, 0.97), (back, 0.06)), wall * rgb("a070b0"), 1.57, line)
    scene.shape(quad((0, 0), (0, 1), (0.5, top), (1, 1), (1, 0)), wall, 1.4, line)
    scene.shape(cap, roof, pitch, line)
    scene.shape(quad((0.4, 0), (0.4, 0.36), (0.64, 0.36), (0.64, 0)), dark, 1.57, 0.7 * line)
    for u, v in ((0.14, 0.52), (0.6, 0.52)):
        light = lamp if rng.uniform() < 0.5 else dark
        scene.shape(quad((u, v), (u, v + 0.26), (u + 0.24, v + 0.26), (u + 0.24, v)), light, 1.57, 0.7 * line)


def flame_tree(scene: Scene, rng: Rng, x: float, y: float, size: float) -> None:
    """A dark tree like a flame."""
    t = np.linspace(0, 1, 9)
    half = size * 0.2 * np.sin(np.pi * t**0.7) * (1 - 0.4 * t) + 3
    lean = size * 0.08 * np.sin(4 * t + rng.uniform(0, 6))
    left, right = (
        np.column_stack([x + lean - half, y - size * t]),
        np.column_stack([x + lean + half, y - size * t]),
    )
    corners = [(float(a), float(b)) for a, b in np.concatenate([left, right[::-1]])]
    colour = rng.choice(palette("0f4a4a 1f6a4a 143a6a 4a1a5a"))
    scene.shape(corners, colour, 1.57 + rng.normal(0, 0.1), 5 + size / 45)


def expressionist() -> Array:
    """A crooked village under a burning sky: heavy reds and oranges, held together by black contours."""
    rng = np.random.default_rng(43)
    sun_x, sun_y = 890.0, 190.0
    far = np.hypot(X - sun_x, 1.15 * (Y - sun_y))
    blaze = "ffe34a ffb21a f4761a e23a1a b81a2a ff8a1f d8261f 8a1440 f2581a a8183a 5a1250 c8301f 3a1458"
    sky = ramp(palette(blaze), (far + 34 * noise(rng, 420, 260, 2)) / 1000)
    swirl = np.arctan2(Y - sun_y, X - sun_x) + np.pi / 2 + 0.35 * noise(rng, 300, 200, 2)
    scene = Scene(sky, swirl)
    turns = np.linspace(0, 2 * np.pi, 18)[:-1]
    scene.shape([(sun_x + 84 * np.cos(a), sun_y + 78 * np.sin(a)) for a in turns], rgb("ffd83c"), 0.6, 9)

    west = [(-40, 430), (70, 300), (150, 370), (265, 205), (385, 390), (470, 320), (620, 480)]
    east = [(430, 480), (590, 365), (690, 420), (830, 315), (960, 420), (1100, 262), (1210, 380), (1330, 300)]
    for code, peaks in (("2a3f8f", west), ("4a1f7a", east)):
        scene.shape([(peaks[0][0], 700), *peaks, (peaks[-1][0], 700)], rgb(code), -0.9, 9)
        for (ax, ay), (bx, by) in pairwise(peaks):
            if ay < by:  # the slopes right of the peaks catch the light
                foot = [
                    (bx - 20, by + 160),
                    (0.55 * ax + 0.45 * bx, ay + 210),
                    (0.9 * ax + 0.1 * bx, ay + 90),
                ]
                light = rng.choice(palette("d8386a f4761a 1f7f8f e8a01f"))
                scene.shape([(ax, ay), (bx, by), *foot], light, 1.0, 7)

    fields = palette("d8432a f4a01f 2f8a6a c8261c e8701a")
    rows = [(505, 66, 98), (585, 92, 132), (690, 128, 186), (825, 176, 262), (1000, 240, 360)]
    for row, (y, size, gap) in enumerate(rows):
        top = [(x, y - 0.75 * size + 0.18 * size * np.sin(x / 190 + 2 * row)) for x in range(-40, 1360, 100)]
        scene.shape([*top, (1360, 1000), (-40, 1000)], fields[row], 0.1 + 0.12 * (-1) ** row, 8)
        for x in np.arange(-50 + 0.5 * gap * (row % 2), WIDTH + 80, gap):
            if rng.uniform() < 0.55:
                flame_tree(scene, rng, x + 0.5 * gap, y - 0.35 * size, size * rng.uniform(1.2, 1.8))
            dx, dy = rng.normal(0, 0.1 * size), rng.normal(0, 0.1 * size)
            house(scene, rng, x + dx, y + dy, size * rng.uniform(0.85, 1.1))

    subject = to_array(scene.colour) * (1 + 0.1 * noise(rng, 200, 200))[..., None]
    village = np.asarray(scene.owner, dtype=float) - 1  # above 0 wherever neither the sky nor the sun is seen
    angle = np.where(village > 0, np.asarray(scene.angle) + 0.12 * noise(rng, 120, 120, 2), swirl)
    oil = Oil(mix(subject, rgb("1a0f1f"), 0.6))
    cover(oil, rng, subject, angle, width=44, length=120, spacing=30)
    cover(oil, rng, subject, angle, width=25, length=62, spacing=21)
    cover(oil, rng, subject, angle, width=15, length=32, spacing=16, where=village)
    scene.outline(oil, rng)
    return oil.finished(0.6)


STYLES: dict[str, Callable[[], Array]] = {
    "brushstrokes": brushstrokes,
    "stained-glass": stained_glass,
    "woodcut-waves": woodcut_waves,
    "pointillism": pointillism,
    "ink-and-gold": ink_and_gold,
    "expressionist": expressionist,
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

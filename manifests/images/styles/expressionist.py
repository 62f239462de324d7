"""A crooked village under a burning sky, with black contours."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from styles.oil import Oil, cover
from styles.tools import (
    HEIGHT,
    WIDTH,
    Array,
    Corners,
    Rng,
    X,
    Y,
    at,
    ink,
    mix,
    noise,
    palette,
    ramp,
    rgb,
    to_array,
    to_image,
)


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

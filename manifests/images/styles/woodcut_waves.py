"""Breakers under a red sun, in the manner of a Japanese woodcut."""

import numpy as np
from PIL import Image, ImageDraw

from styles.tools import (
    HEIGHT,
    WIDTH,
    Array,
    Mask,
    Rng,
    X,
    Y,
    distance_to,
    ink,
    mix,
    noise,
    palette,
    ramp,
    resized,
    rgb,
    soften,
    step,
    to_array,
    to_image,
)

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

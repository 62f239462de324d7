"""Marbled paper with gold leaf."""

import numpy as np

from styles.tools import (
    HEIGHT,
    WIDTH,
    Array,
    Labels,
    X,
    Y,
    border,
    distance_to,
    mix,
    noise,
    palette,
    ramp,
    relief,
    soften,
    step,
    whole,
)


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

"""An evening by a river, in dots of pure colour."""

import numpy as np

from styles.oil import Oil
from styles.tools import HEIGHT, Array, Rng, X, Y, at, ink, mix, noise, palette, ramp, rgb, scattered, soften, step


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

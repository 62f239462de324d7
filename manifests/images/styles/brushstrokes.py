"""A windy night over a wheat field, in thick short strokes of oil."""

import numpy as np

from styles.oil import Oil, cover
from styles.tools import Array, X, Y, mix, noise, palette, ramp, rgb, step


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

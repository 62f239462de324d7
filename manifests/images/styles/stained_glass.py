"""A sunrise, hills, a river and flowers in a leaded window."""

import numpy as np

from styles.tools import (
    HEIGHT,
    WIDTH,
    Array,
    Labels,
    Mask,
    Rng,
    X,
    Y,
    border,
    distance_to,
    lit,
    mix,
    noise,
    palette,
    ramp,
    relief,
    rgb,
    scattered,
    soften,
    step,
    whole,
)


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

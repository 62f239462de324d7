"""Images that are no photographs, drawn with numpy and Pillow from fixed seeds.

poster      flat graphic: few colours, hard edges
townscape   line drawing: black on white
dusk        dark, smooth and of low contrast: the hardest for every optimizer
chalk       pastel: light and soft, with the paper's grain
hatching    line work: ink strokes that follow light and shade
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Array = npt.NDArray[np.float64]

SIDE = 1024
PAPER, INK = (244, 238, 222), (24, 22, 30)


def drawn(name: str) -> Image.Image:
    """The image of a name, of mode RGB, `SIDE` pixels square."""
    return PICTURES[name]()


def poster() -> Image.Image:
    """A sun behind mountains over a lake."""
    image = Image.new("RGB", (SIDE, SIDE), (240, 200, 130))
    draw = ImageDraw.Draw(image)
    draw.ellipse((560, 130, 860, 430), fill=(220, 70, 50))
    for peak, base, colour in ((300, 520, (60, 90, 120)), (700, 460, (40, 60, 90)), (480, 400, (90, 130, 140))):
        draw.polygon([(peak - base, 700), (peak, 700 - base // 1.3), (peak + base, 700)], fill=colour)
    draw.rectangle((0, 700, SIDE, SIDE), fill=(30, 110, 130))
    for row in range(720, SIDE, 60):
        draw.rectangle((560 - row // 4, row, 860 - row // 4, row + 18), fill=(235, 150, 90))
    draw.polygon([(150, 860), (400, 860), (340, 930), (200, 930)], fill=(120, 40, 40))
    draw.polygon([(270, 560), (270, 840), (420, 840)], fill=(245, 240, 225))
    return image


def townscape() -> Image.Image:
    """Houses with windows and gables, trees as spirals, a street towards a point."""
    random = np.random.default_rng(1)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for left in range(20, SIDE - 120, 125):
        wide, top = int(random.integers(90, 120)), int(random.integers(180, 420))
        draw.rectangle((left, top, left + wide, 700), outline=INK, width=4)
        draw.line([(left, top), (left + wide // 2, top - 80), (left + wide, top)], fill=INK, width=4)
        for row in range(top + 30, 640, 70):
            for column in (left + 16, left + wide // 2 + 8):
                draw.rectangle((column, row, column + 24, row + 38), outline=INK, width=3)
                draw.line([(column + 12, row), (column + 12, row + 38)], fill=INK, width=2)
    for x in range(60, SIDE, 180):
        turn = np.linspace(0, 16 * np.pi, 400)
        reach = 4.0 * turn / np.pi
        draw.line([*zip(x + reach * np.cos(turn), 720 + reach * np.sin(turn), strict=True)], fill=INK, width=3)
        draw.line([(x, 780), (x, 840)], fill=INK, width=6)
    for end in range(-800, SIDE + 801, 120):
        draw.line([(SIDE // 2, 700), (end, SIDE)], fill=INK, width=3)
    return image


def dusk() -> Image.Image:
    """A dark sea under fog, one light low in the sky."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = _clouds(random, 200, 26) * (y > 0.55)
    glow = np.exp(-(((x - 0.62) / 0.3) ** 2) - ((y - 0.45) / 0.16) ** 2)
    value = 0.16 + 0.05 * _clouds(random, 420, 180) + 0.05 * waves + 0.24 * glow * (1 + 0.2 * waves)
    value = value + 0.012 * _clouds(random, 14, 10)
    return _picture(value[..., None] * np.array([1.0, 0.86, 0.62]) + np.array([0.02, 0.025, 0.03]))


def chalk() -> Image.Image:
    """Soft fields of light colour, rubbed over rough paper."""
    random = np.random.default_rng(3)
    colours = np.array([[0.95, 0.80, 0.78], [0.78, 0.86, 0.94], [0.97, 0.93, 0.76], [0.80, 0.91, 0.82]])
    fields = np.stack([np.exp(2.5 * _clouds(random, 380, 240)) for _ in colours], axis=-1)
    soft = (fields / fields.sum(axis=-1, keepdims=True)) @ colours
    grain = 0.5 + 0.5 * np.tanh(2.0 * _clouds(random, 9, 5) + 1.2 * _clouds(random, 160, 12))
    return _picture(soft + (0.985 - soft) * 0.55 * grain[..., None])


def hatching() -> Image.Image:
    """Up to three layers of strokes where a cloudy field is dark, each at its own angle."""
    random = np.random.default_rng(4)
    shade, bend = _clouds(random, 420, 420), 0.35 * _clouds(random, 600, 600)
    image = Image.new("RGB", (SIDE, SIDE), PAPER)
    draw = ImageDraw.Draw(image)
    for angle, darkness in ((0.7, -0.7), (2.2, 0.1), (1.45, 0.8)):
        for x, y in random.uniform(0, SIDE - 1, (5200, 2)):
            if shade[int(y), int(x)] < darkness:
                continue
            turned, half = angle + bend[int(y), int(x)], random.uniform(14, 34)
            across, down = half * np.cos(turned), half * np.sin(turned)
            draw.line([(x - across, y - down), (x + across, y + down)], fill=INK, width=int(random.integers(2, 4)))
    return image


def _clouds(random: np.random.Generator, across: float, down: float) -> Array:
    """Noise of mean 0 and deviation 1 whose largest blobs measure about across by down pixels."""
    total = np.zeros((SIDE, SIDE))
    for octave in range(4):
        size = max(2, round(SIDE * 2**octave / across)), max(2, round(SIDE * 2**octave / down))
        coarse = Image.fromarray(random.normal(size=size[::-1]).astype(np.float32))
        total += np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float) / 2**octave
    return np.asarray((total - total.mean()) / total.std(), dtype=float)


def _picture(colours: Array) -> Image.Image:
    return Image.fromarray((np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8))


PICTURES: dict[str, Callable[[], Image.Image]] = {
    one.__name__: one for one in (poster, townscape, dusk, chalk, hatching)
}

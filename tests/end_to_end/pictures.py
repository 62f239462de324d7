"""Small synthetic images, so that tests need no files."""

import numpy as np
from PIL import Image


def gradient(width: int, height: int, seed: int) -> Image.Image:
    """Return smooth colours with a little noise, in place of a photograph."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    angles = random.uniform(0, 6, 3)
    waves = [np.sin(4 * across + 3 * down + angle) for angle in angles]
    noise = random.normal(0, 0.05, (height, width, 3))
    return Image.fromarray(np.uint8(np.clip((np.stack(waves, axis=2) + 1) / 2 + noise, 0, 1) * 255))


def stripes(width: int, height: int, seed: int) -> Image.Image:
    """Return strong slanted stripes, in place of a painting."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    index = ((across + (2 + seed) * down) // 5) % 4
    return Image.fromarray(np.uint8(random.integers(0, 256, (4, 3)))[index])

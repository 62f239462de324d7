"""Small Pillow images for tests: soft noise, and a mask of the left half."""

import numpy as np
from PIL import Image, ImageDraw

SIZE = (48, 32)


def noise(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an image of soft blobs of colour."""
    levels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


def half(size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a mask that is white on the left half and black on the right."""
    mask = Image.new("RGB", size, "black")
    ImageDraw.Draw(mask).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill="white")
    return mask

"""The images for the comparisons: square PNG files, made once, so that every tool reads the same pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from nst_core.scene.pixels import to_tensor
from tests.benchmarks.machine import ROOT

IMAGES = ROOT / "manifests" / "images"
Part = Literal["left", "centre", "right"]
_PLACE = {"left": 0.0, "centre": 0.5, "right": 1.0}


def sample(name: str) -> Path:
    """The path of one of the project's sample images."""
    return IMAGES / f"{name}.jpg"


def opened(path: Path) -> Image.Image:
    """The image of a file, of mode RGB."""
    with Image.open(path) as file:
        return file.convert("RGB")


def square(picture: Image.Image, size_px: int, part: Part = "centre") -> Image.Image:
    """The largest square of an image (its left or upper, middle, or right or lower part), resized."""
    side = min(picture.size)
    left, top = (round((length - side) * _PLACE[part]) for length in picture.size)
    return picture.resize((size_px, size_px), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


def save_square(path: Path, size_px: int, folder: Path, part: Part = "centre") -> Path:
    """Save the square of an image as a PNG in a folder, unless it exists; return its path."""
    target = folder / f"{path.stem}-{part}-{size_px}.png"
    if not target.exists():
        square(opened(path), size_px, part).save(target)
    return target


def read_tensor(path: Path) -> Tensor:
    """A PNG's pixels, shape (1, 3, H, W), in [0, 1]."""
    return to_tensor(opened(path))


def contents_of_size(
    size_px: int, count: int, names: Sequence[str] = ("astronaut", "chelsea", "coffee", "rocket")
) -> list[Tensor]:
    """Different content images of one size: photographs, repeated mirrored and then darker and darker."""
    made: list[Tensor] = []
    for index in range(count):
        pixels = to_tensor(square(opened(sample(names[index % len(names)])), size_px))
        again = index // len(names)
        pixels = pixels.flip(3) if again % 2 else pixels
        made.append((pixels * 0.97 ** (again // 2)).contiguous())
    return made


def style_of_size(size_px: int, name: str = "expressionist") -> Tensor:
    """A sample style image as a square of one size."""
    return torch.clone(to_tensor(square(opened(sample(name)), size_px)))

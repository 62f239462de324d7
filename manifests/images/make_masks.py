"""The sample masks, drawn by hand over the sample pictures: plain shapes with soft edges.

    python manifests/images/make_masks.py

They lie beside this file, at the size of their pictures.
"""

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SOFT_PX = 2.5
FOLDER = Path(__file__).parent


def cup(draw: ImageDraw.ImageDraw) -> None:
    """White: the cup, its saucer and the spoon of `coffee.jpg`."""
    draw.ellipse((66, 58, 410, 336), fill="white")
    draw.ellipse((144, 8, 356, 208), fill="white")
    draw.polygon(((318, 60), (362, 52), (366, 90), (340, 150)), fill="white")


def astronaut(draw: ImageDraw.ImageDraw) -> None:
    """White: the astronaut and her helmet in `astronaut.jpg`; black: flag, rocket and wall."""
    draw.ellipse((150, 10, 292, 190), fill="white")
    draw.ellipse((118, 142, 308, 300), fill="white")
    draw.polygon(
        ((60, 512), (18, 420), (24, 300), (66, 240), (140, 192), (290, 192), (352, 250), (372, 512)), fill="white"
    )
    draw.ellipse((272, 340, 512, 560), fill="white")


def meadow(draw: ImageDraw.ImageDraw) -> None:
    """White: hills and flowers of `stained-glass.jpg`; black: its sky."""
    draw.polygon(
        ((0, 480), (0, 272), (150, 262), (300, 236), (430, 268), (500, 236), (640, 236), (640, 480)), fill="white"
    )


MASKS: dict[str, tuple[str, Callable[[ImageDraw.ImageDraw], None]]] = {
    "coffee-cup": ("coffee", cup),
    "astronaut-person": ("astronaut", astronaut),
    "stained-glass-meadow": ("stained-glass", meadow),
}


def main() -> None:
    """Draw all of them."""
    for name, (picture, shape) in MASKS.items():
        with Image.open(FOLDER / f"{picture}.jpg") as image:
            mask = Image.new("L", image.size, 0)
        shape(ImageDraw.Draw(mask))
        mask.filter(ImageFilter.GaussianBlur(SOFT_PX)).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

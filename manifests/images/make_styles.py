"""Six style pictures, painted from nothing but numpy, Pillow and fixed random seeds.

    python manifests/images/make_styles.py [NAME ...]

writes NAME.jpg beside this file, or all of them when no name is given. Every picture is painted at twice its
final size and then reduced, which smooths the edges.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from styles.brushstrokes import brushstrokes
from styles.expressionist import expressionist
from styles.ink_and_gold import ink_and_gold
from styles.pointillism import pointillism
from styles.stained_glass import stained_glass
from styles.tools import HEIGHT, WIDTH, Array, to_image
from styles.woodcut_waves import woodcut_waves

SHRINK = 2
QUALITY = 88

STYLES: dict[str, Callable[[], Array]] = {
    "brushstrokes": brushstrokes,
    "stained-glass": stained_glass,
    "woodcut-waves": woodcut_waves,
    "pointillism": pointillism,
    "ink-and-gold": ink_and_gold,
    "expressionist": expressionist,
}


def save(name: str, picture: Array) -> Path:
    path = Path(__file__).with_name(f"{name}.jpg")
    image = to_image(picture).resize((WIDTH // SHRINK, HEIGHT // SHRINK), Image.Resampling.LANCZOS)
    image.save(path, quality=QUALITY, subsampling=0, optimize=True)
    return path


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(STYLES))
    if unknown:
        sys.exit(f"no such style: {', '.join(unknown)}; there are {', '.join(STYLES)}")
    for name in names or STYLES:
        began = time.perf_counter()
        path = save(name, STYLES[name]())
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])

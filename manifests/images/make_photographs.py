"""The four sample photographs, taken from the data which the scikit-image package carries in its wheel.

    python manifests/images/make_photographs.py

needs scikit-image (made with 0.26), which the project itself does not depend on, and downloads nothing. The
pictures are at most 512 pixels long, never enlarged, and lie beside this file; CREDITS.md says whose they
are.
"""

from pathlib import Path

from PIL import Image
from skimage import data

LONG_EDGE = 512
QUALITY = 90
PHOTOGRAPHS = {
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "rocket": data.rocket,
}


def main() -> None:
    for name, load in PHOTOGRAPHS.items():
        image = Image.fromarray(load())
        image.thumbnail((LONG_EDGE, LONG_EDGE), Image.Resampling.LANCZOS)
        path = Path(__file__).with_name(f"{name}.jpg")
        image.save(path, quality=QUALITY, optimize=True)
        print(f"{path.name}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

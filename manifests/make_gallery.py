"""A contact sheet of a finished run: content, style and pastiche of every succeeded row, side by side.

python manifests/make_gallery.py OUTPUT GALLERY.jpg [CELL_HEIGHT]      for local outputs of local manifests
"""

import csv
import json
import sys
from pathlib import Path

from PIL import Image

GAP = 6
QUALITY = 80
COLUMNS = 3
"""Pairs beside each other."""


def at_height(path: Path, height: int) -> Image.Image:
    """A picture, cut to 4:3 in its middle and scaled."""
    picture = Image.open(path).convert("RGB")
    width = height * 4 // 3
    scale = max(width / picture.width, height / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def card(content: Path, style: Path, pastiche: Path, height: int) -> Image.Image:
    """One pair: content above style on the left, the pastiche large on the right."""
    small = (height - GAP) // 2
    large = at_height(pastiche, height)
    left = small * 4 // 3
    sheet = Image.new("RGB", (left + GAP + large.width, height), "white")
    sheet.paste(at_height(content, small), (0, 0))
    sheet.paste(at_height(style, small), (0, height - small))
    sheet.paste(large, (left + GAP, 0))
    return sheet


def gallery(output: Path, height: int) -> Image.Image:
    """All cards of a run."""
    manifest = Path(json.loads((output / "summary.json").read_text())["manifest"])
    with (output / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "succeeded"]
    cards = [
        card(manifest.parent / row["content"], manifest.parent / row["style"], output / row["output"], height)
        for row in rows
    ]
    width = cards[0].width
    lines = -(-len(cards) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (width + 3 * GAP) - 3 * GAP, lines * (height + 3 * GAP) - 3 * GAP), "white")
    for place, one in enumerate(cards):
        sheet.paste(one, (place % COLUMNS * (width + 3 * GAP), place // COLUMNS * (height + 3 * GAP)))
    return sheet


if __name__ == "__main__":
    cell_height = int(sys.argv[3]) if len(sys.argv) > 3 else 240
    gallery(Path(sys.argv[1]), cell_height).save(sys.argv[2], quality=QUALITY, subsampling=0, optimize=True)

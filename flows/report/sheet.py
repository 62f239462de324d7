"""A contact sheet for slides: contents down, styles across, the pastiche of both where they meet, in one PNG.

Where few contents meet few of the styles, such a grid would be mostly empty: then each pair is shown as a strip of
content, style and pastiche instead.
"""

import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from flows import storage
from flows.errors import OutputError
from flows.limits import limits_in_force
from flows.report.gather import Pair, Run, gather
from flows.report.thumbnails import READERS, Wanted, small_picture, why_missing
from nst_core.errors import NstError

Layout = Literal["auto", "grid", "strips"]

NAME = "sheet.png"
MOST_SIDE = 36
"""Rows and columns of a sheet: more would be stamps on a slide. What is left out is said below."""
SHEET_PX = 3840
"""Long edge that a sheet is kept below: a 4K slide."""
CELL_PX = (80, 320)
"""Least and most edge of a cell."""
GAP_PX = 8
MARGIN_PX = 24
BACKGROUND, TEXT, SOFT, HOLE = "#ffffff", "#1d1c1a", "#6b6862", "#efeeea"


@dataclass(frozen=True)
class Cell:
    """A place of the sheet: a picture to read, perhaps one that a run has made, or words."""

    address: str | None
    label: str = ""
    words: str = ""
    is_pastiche: bool = False


Table = Sequence[Sequence[Cell]]


def write_sheet(output: str, address: str | None = None, *, layout: Layout = "auto") -> str:
    """Write the contact sheet of an output's latest run; its address, by default `sheet.png` in the output.

    Raises:
        OutputError: if the output has no finished pair.
        StorageError: if it cannot be read or written.
    """
    run = gather(output)
    if not run.succeeded():
        raise OutputError(f"{output}: expected finished pairs for a contact sheet, found none; `nst status` says why")
    table = _grid(run) if layout == "grid" or (layout == "auto" and _is_full(run)) else _strips(run)
    shown = {cell.address for row in table for cell in row} & {
        storage.join(output, str(pair.output)) for pair in run.succeeded()
    }
    left_out = len(run.succeeded()) - len(shown)
    buffer = io.BytesIO()
    drawn(
        table,
        warning="STUB: made up, not stylized" if "stub" in run.backbones else "",
        most_px=max(max(pair.values["width"], pair.values["height"]) for pair in run.succeeded()),  # none larger beside
        foot=f"{len(shown):,} of {len(run.succeeded()):,} pairs" if left_out else "",
    ).save(buffer, "PNG")
    place = address or storage.join(output, NAME)
    storage.replace(place, buffer.getvalue())
    return place


def drawn(table: Table, *, warning: str = "", foot: str = "", most_px: int = CELL_PX[1]) -> Image.Image:
    """A table of cells as a picture; rows are as high as their highest picture."""
    columns = len(table[0])
    room = SHEET_PX - 2 * MARGIN_PX
    edge = max(CELL_PX[0], min(CELL_PX[1], most_px, room // columns - GAP_PX, room // len(table) - GAP_PX - 16))
    pictures = _read(table, edge)
    made = [picture.size for picture in pictures.values() if isinstance(picture, Image.Image)]
    edge = max(CELL_PX[0], *(max(size) for size in made)) if made else edge
    font = _font(max(10, edge // 18))
    line = round(font.size * 1.5)
    heights = [_height(row, pictures, edge) + (line if any(cell.label for cell in row) else 0) for row in table]
    head = 3 * line if warning else 0
    width = 2 * MARGIN_PX + columns * (edge + GAP_PX) - GAP_PX
    below = 2 * line if foot else 0
    size = (width, 2 * MARGIN_PX + head + sum(heights) + GAP_PX * (len(table) - 1) + below)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    if warning:
        draw.rectangle((0, 0, size[0], head), fill="#ffd400")
        draw.text((size[0] / 2, head / 2), warning, fill="#1a1a1a", font=_font(2 * line), anchor="mm")
    top = MARGIN_PX + head
    for row, height in zip(table, heights, strict=True):
        labels = line if any(cell.label for cell in row) else 0
        for column, cell in enumerate(row):
            left = MARGIN_PX + column * (edge + GAP_PX)
            _put(sheet, draw, cell, pictures.get(cell.address or ""), (left, top, edge, height - labels), font)
        top += height + GAP_PX
    if foot:
        draw.text((MARGIN_PX, size[1] - MARGIN_PX), foot, fill=SOFT, font=font, anchor="ls")
    return sheet


def fitted(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """A text that is not wider than some pixels, its middle left out where it would be."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which every machine has."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # its other kind is what comes without a size
    return font


def _put(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    picture: Image.Image | str | None,
    box: tuple[int, int, int, int],
    font: ImageFont.FreeTypeFont,
) -> None:
    left, top, edge, height = box
    if isinstance(picture, Image.Image):
        sheet.paste(picture, (left + (edge - picture.width) // 2, top + (height - picture.height) // 2))
    elif cell.address or cell.words:
        draw.rectangle((left, top, left + edge - 1, top + height - 1), fill=HOLE)
        words = fitted(cell.words or str(picture or ""), edge - 8, font)
        draw.text((left + edge / 2, top + height / 2), words, fill=SOFT, font=font, anchor="mm")
    if cell.label:
        label = fitted(cell.label, edge, font)
        draw.text((left + edge / 2, top + height + font.size * 0.25), label, fill=TEXT, font=font, anchor="ma")


def _height(row: Sequence[Cell], pictures: dict[str, Image.Image | str], edge: int) -> int:
    shown = [picture.height for cell in row if isinstance(picture := pictures.get(cell.address or ""), Image.Image)]
    return max(shown, default=edge // 2)


def _read(table: Table, edge: int) -> dict[str, Image.Image | str]:
    """Address -> picture as it fits a cell, or why there is none."""
    limits = limits_in_force()

    def read(wanted: Wanted) -> Image.Image | str:
        try:
            return small_picture(wanted, limits)
        except NstError as error:
            return why_missing(error)

    cells = [cell for row in table for cell in row]
    wanted = {one.address: Wanted(one.address, edge, is_pastiche=one.is_pastiche) for one in cells if one.address}
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(wanted, pool.map(read, wanted.values()), strict=True))


def _distinct(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    contents = dict.fromkeys(pair.content for pair in pairs if pair.content)
    styles = dict.fromkeys(pair.style for pair in pairs if pair.style)
    return list(contents), list(styles)


def _is_full(run: Run) -> bool:
    """Whether a grid would fit, and at least half of its cells would hold a picture."""
    contents, styles = _distinct(run.succeeded())
    met = {(pair.content, pair.style) for pair in run.succeeded()}
    return max(len(contents), len(styles)) < MOST_SIDE and 2 * len(met) >= len(contents) * len(styles)


def _grid(run: Run) -> Table:
    """Contents x styles with a head row and column; of several pairs of the same two, the first is shown."""
    wanted = [pair for pair in run.pairs if pair.content and pair.style]
    contents, styles = (names[: MOST_SIDE - 1] for names in _distinct(wanted))
    head = [Cell(None), *(Cell(style, _stem(style)) for style in styles)]
    places: dict[tuple[str | None, str | None], list[Pair]] = {}
    for pair in wanted:
        places.setdefault((pair.content, pair.style), []).append(pair)
    body = [
        [Cell(content, _stem(content)), *(_met(places.get((content, style), []), run.output) for style in styles)]
        for content in contents
    ]
    return [head, *body]


def _met(pairs: Sequence[Pair], output: str) -> Cell:
    made = [pair for pair in pairs if pair.output]
    if not made:
        return Cell(None, words=pairs[0].status if pairs else "")
    more = f"first of {len(pairs)}" if len(pairs) > 1 else ""
    return Cell(storage.join(output, str(made[0].output)), more, is_pastiche=True)


def _strips(run: Run) -> Table:
    """Content, style, pastiche; two strips or more side by side, so that the sheet is about as wide as high."""
    strips = [
        [
            Cell(pair.content, _stem(pair.content or "")),
            Cell(pair.style, _stem(pair.style or "")),
            Cell(storage.join(run.output, str(pair.output)), pair.pair_id, is_pastiche=True),
        ]
        for pair in run.succeeded()[: MOST_SIDE * MOST_SIDE // 3]
    ]
    beside = max(1, min(len(strips), math.ceil((len(strips) / 3) ** 0.5)))
    blank = [Cell(None)] * 3
    strips += [blank] * (-len(strips) % beside)
    return [
        [cell for strip in strips[start : start + beside] for cell in strip] for start in range(0, len(strips), beside)
    ]


def _stem(address: str) -> str:
    return storage.name_of(address).rpartition(".")[0] or storage.name_of(address)

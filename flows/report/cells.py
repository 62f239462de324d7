"""A table of cells, pictures with words below them, as one picture."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from flows.limits import limits_in_force
from flows.report.thumbnails import READERS, Wanted, small_picture, why_missing
from nst_core.errors import NstError

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
Box = tuple[int, int, int, int]
"""Left, top, width and height of a cell's picture in pixels."""


def drawn(table: Table, *, warning: str = "", foot: str = "", most_px: int = CELL_PX[1]) -> Image.Image:
    """A table of cells as a picture; rows are as high as their highest picture."""
    edge = _edge(table, most_px)
    pictures = _read(table, edge)
    plan = _planned(table, pictures, edge, has_head=bool(warning), has_foot=bool(foot))
    sheet = Image.new("RGB", (plan.width, plan.height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    if warning:
        draw.rectangle((0, 0, plan.width, plan.head), fill="#ffd400")
        middle = plan.width / 2, plan.head / 2
        draw.text(middle, warning, fill="#1a1a1a", font=_font(2 * plan.line), anchor="mm")
    for cell, box in _placed(table, plan):
        _put(sheet, draw, cell, pictures.get(cell.address or ""), box, plan.font)
    if foot:
        draw.text((MARGIN_PX, plan.height - MARGIN_PX), foot, fill=SOFT, font=plan.font, anchor="ls")
    return sheet


@dataclass(frozen=True)
class _Plan:
    """How a sheet is laid out, in pixels.

    Attributes:
        edge: width of a cell.
        font: of all words but the warning.
        line: of text, its height.
        rows: how high each row's pictures are, without the labels below.
        head: height of the warning above all rows.
        width, height: of the sheet.
    """

    edge: int
    font: ImageFont.FreeTypeFont
    line: int
    rows: tuple[int, ...]
    head: int
    width: int
    height: int


def _edge(table: Table, most_px: int) -> int:
    """The edge that pictures are fitted into, so that the sheet stays below its own."""
    room = SHEET_PX - 2 * MARGIN_PX
    across, down = room // len(table[0]) - GAP_PX, room // len(table) - GAP_PX - 16
    return max(CELL_PX[0], min(CELL_PX[1], most_px, across, down))


def _planned(
    table: Table, pictures: dict[str, Image.Image | str], edge: int, *, has_head: bool, has_foot: bool
) -> _Plan:
    """The plan of a sheet whose pictures are there; cells are no wider than the widest of these."""
    made = [picture.size for picture in pictures.values() if isinstance(picture, Image.Image)]
    edge = max(CELL_PX[0], *(max(size) for size in made)) if made else edge
    font = _font(max(10, edge // 18))
    line = round(font.size * 1.5)
    rows = tuple(_height(row, pictures, edge) for row in table)
    labels = sum(_labels(row, line) for row in table)
    head, below = 3 * line if has_head else 0, 2 * line if has_foot else 0
    columns = len(table[0])
    return _Plan(
        edge,
        font,
        line,
        rows,
        head,
        width=2 * MARGIN_PX + columns * (edge + GAP_PX) - GAP_PX,
        height=2 * MARGIN_PX + head + sum(rows) + labels + GAP_PX * (len(table) - 1) + below,
    )


def _placed(table: Table, plan: _Plan) -> Iterator[tuple[Cell, Box]]:
    """Every cell, and where its picture goes."""
    top = MARGIN_PX + plan.head
    for row, height in zip(table, plan.rows, strict=True):
        for column, cell in enumerate(row):
            yield cell, (MARGIN_PX + column * (plan.edge + GAP_PX), top, plan.edge, height)
        top += height + _labels(row, plan.line) + GAP_PX


def _labels(row: Sequence[Cell], line: int) -> int:
    """The height of what stands below a row."""
    return line if any(cell.label for cell in row) else 0


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
    box: Box,
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

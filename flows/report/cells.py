"""Draw a table of cells, which are images with a label below, as one image."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from flows.limits import limits_in_force
from flows.report.thumbnails import READERS, Wanted, small_picture, why_missing
from nst_core.errors import NstError

SHEET_PX = 3840
"""The longest edge that a sheet should have in pixels: that of a 4K slide."""
CELL_PX = (80, 320)
"""The smallest and the largest edge of a cell in pixels."""
GAP_PX = 8
MARGIN_PX = 24
BACKGROUND, TEXT, SOFT, HOLE = "#ffffff", "#1d1c1a", "#6b6862", "#efeeea"


@dataclass(frozen=True)
class Cell:
    """One cell of a sheet.

    Attributes:
        address: the address of the image; None for a cell without one.
        label: the text below the cell.
        words: the text in place of an image.
        is_pastiche: whether the image was written by a run.
    """

    address: str | None
    label: str = ""
    words: str = ""
    is_pastiche: bool = False


Table = Sequence[Sequence[Cell]]
Box = tuple[int, int, int, int]
"""The left, top, width and height of a cell's image in pixels."""


def drawn(table: Table, *, warning: str = "", foot: str = "", most_px: int = CELL_PX[1]) -> Image.Image:
    """Draw a table of cells as one image; each row is as high as its highest image.

    Args:
        table: the rows of cells, all of the same length.
        warning: a text in a coloured bar above the table.
        foot: a text below the table.
        most_px: the longest edge of the cells' images in pixels.
    """
    edge = _image_edge(table, most_px)
    pictures = _read(table, edge)
    plan = _planned(table, pictures, edge, has_head=bool(warning), has_foot=bool(foot))
    sheet = Image.new("RGB", (plan.width, plan.height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    if warning:
        draw.rectangle((0, 0, plan.width, plan.head), fill="#ffd400")
        middle = plan.width / 2, plan.head / 2
        draw.text(middle, warning, fill="#1a1a1a", font=_font(2 * plan.line), anchor="mm")
    for cell, box in _placed(table, plan):
        _draw_cell(sheet, draw, cell, pictures.get(cell.address or ""), box, plan.font)
    if foot:
        draw.text((MARGIN_PX, plan.height - MARGIN_PX), foot, fill=SOFT, font=plan.font, anchor="ls")
    return sheet


@dataclass(frozen=True)
class _Plan:
    """The layout of a sheet, in pixels.

    Attributes:
        edge: the width of a cell.
        font: the font of all texts except the warning.
        line: the height of a line of text.
        rows: the height of each row's images, without the labels below.
        head: the height of the warning above all rows.
        width, height: the size of the sheet.
    """

    edge: int
    font: ImageFont.FreeTypeFont
    line: int
    rows: tuple[int, ...]
    head: int
    width: int
    height: int


def _image_edge(table: Table, most_px: int) -> int:
    """Return the edge in pixels to which images are shrunk so that the sheet stays below `SHEET_PX`, if possible."""
    room = SHEET_PX - 2 * MARGIN_PX
    across, down = room // len(table[0]) - GAP_PX, room // len(table) - GAP_PX - 16
    return max(CELL_PX[0], min(CELL_PX[1], most_px, across, down))


def _planned(
    table: Table, pictures: dict[str, Image.Image | str], edge: int, *, has_head: bool, has_foot: bool
) -> _Plan:
    """Return the layout of a sheet whose images have been read; cells are no wider than the longest edge of these."""
    sizes = [picture.size for picture in pictures.values() if isinstance(picture, Image.Image)]
    edge = max(CELL_PX[0], *(max(size) for size in sizes)) if sizes else edge
    font = _font(max(10, edge // 18))
    line = round(font.size * 1.5)
    rows = tuple(_images_height(row, pictures, edge) for row in table)
    labels = sum(_labels_height(row, line) for row in table)
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
    """Yield every cell with the box of its image."""
    top = MARGIN_PX + plan.head
    for row, height in zip(table, plan.rows, strict=True):
        for column, cell in enumerate(row):
            yield cell, (MARGIN_PX + column * (plan.edge + GAP_PX), top, plan.edge, height)
        top += height + _labels_height(row, plan.line) + GAP_PX


def _labels_height(row: Sequence[Cell], line: int) -> int:
    """Return the height in pixels of the labels below a row."""
    return line if any(cell.label for cell in row) else 0


def fitted(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """Return a text that fits a width in pixels, with its middle replaced by an ellipsis if it is too long."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(short) <= width:
            return short
    return ""


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in font, which every machine has."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # it returns another class only if called without a size
    return font


def _draw_cell(
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


def _images_height(row: Sequence[Cell], pictures: dict[str, Image.Image | str], edge: int) -> int:
    shown = [picture.height for cell in row if isinstance(picture := pictures.get(cell.address or ""), Image.Image)]
    return max(shown, default=edge // 2)


def _read(table: Table, edge: int) -> dict[str, Image.Image | str]:
    """Read the images of a table. Return by address each image, shrunk to a cell, or the reason why there is none."""
    limits = limits_in_force()

    def read(wanted: Wanted) -> Image.Image | str:
        try:
            return small_picture(wanted, limits)
        except NstError as error:
            return why_missing(error)

    cells = [cell for row in table for cell in row]
    wanted = {cell.address: Wanted(cell.address, edge, is_pastiche=cell.is_pastiche) for cell in cells if cell.address}
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(wanted, pool.map(read, wanted.values()), strict=True))

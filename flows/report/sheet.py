"""Write a contact sheet for slides: one PNG with a row per content, a column per style and their pastiches as cells.

If most combinations of content and style have no pair, such a grid would be mostly empty: then each pair is shown as a
strip of content, style and pastiche instead.
"""

import io
import math
from collections.abc import Sequence
from typing import Literal

from flows import storage
from flows.errors import OutputError
from flows.records.layout import SHEET
from flows.report.cells import Cell, Table, drawn
from flows.report.gather import Pair, Run, gather

Layout = Literal["auto", "grid", "strips"]

MOST_SIDE = 36
"""The most rows and columns of a sheet, as more would be too small on a slide. A foot line counts what is left out."""


def write_sheet(output: str, address: str | None = None, *, layout: Layout = "auto") -> str:
    """Write the contact sheet of an output's latest run and return its address, by default `sheet.png` in the output.

    Raises:
        OutputError: the output has no finished pair.
        StorageError: the output cannot be read or the sheet not written.
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
    largest = max(max(pair.values["width"], pair.values["height"]) for pair in run.succeeded())
    drawn(
        table,
        warning="STUB: made up, not stylized" if "stub" in run.backbones else "",
        most_px=largest,  # so that originals are not shown larger than the pastiches next to them
        foot=f"{len(shown):,} of {len(run.succeeded()):,} pairs" if left_out else "",
    ).save(buffer, "PNG")
    place = address or storage.join(output, SHEET)
    storage.replace(place, buffer.getvalue())
    return place


def _distinct(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    contents = dict.fromkeys(pair.content for pair in pairs if pair.content)
    styles = dict.fromkeys(pair.style for pair in pairs if pair.style)
    return list(contents), list(styles)


def _is_full(run: Run) -> bool:
    """Return whether a grid would fit, and at least half of its cells would have an image."""
    contents, styles = _distinct(run.succeeded())
    combinations = {(pair.content, pair.style) for pair in run.succeeded()}
    return max(len(contents), len(styles)) < MOST_SIDE and 2 * len(combinations) >= len(contents) * len(styles)


def _grid(run: Run) -> Table:
    """Return the grid of contents x styles with a header row and column; a cell shows the first of its pairs."""
    wanted = [pair for pair in run.pairs if pair.content and pair.style]
    contents, styles = (names[: MOST_SIDE - 1] for names in _distinct(wanted))
    head = [Cell(None), *map(_original, styles)]
    places: dict[tuple[str | None, str | None], list[Pair]] = {}
    for pair in wanted:
        places.setdefault((pair.content, pair.style), []).append(pair)
    body = [
        [_original(content), *(_grid_cell(places.get((content, style), []), run.output) for style in styles)]
        for content in contents
    ]
    return [head, *body]


def _original(address: str | None) -> Cell:
    """Return the cell of a content or style."""
    return Cell(address, storage.stem_of(address or ""))


def _grid_cell(pairs: Sequence[Pair], output: str) -> Cell:
    finished = [pair for pair in pairs if pair.output]
    if not finished:
        return Cell(None, words=pairs[0].status if pairs else "")
    more = f"first of {len(pairs)}" if len(pairs) > 1 else ""
    return Cell(storage.join(output, str(finished[0].output)), more, is_pastiche=True)


def _strips(run: Run) -> Table:
    """Return the strips of content, style and pastiche, arranged so that the sheet is about as wide as high."""
    strips = [
        [
            _original(pair.content),
            _original(pair.style),
            Cell(storage.join(run.output, str(pair.output)), pair.pair_id, is_pastiche=True),
        ]
        for pair in run.succeeded()[: MOST_SIDE * MOST_SIDE // 3]
    ]
    per_row = max(1, min(len(strips), math.ceil((len(strips) / 3) ** 0.5)))
    blank = [Cell(None)] * 3
    strips += [blank] * (-len(strips) % per_row)
    return [
        [cell for strip in strips[start : start + per_row] for cell in strip]
        for start in range(0, len(strips), per_row)
    ]

"""Write the sheet of a ladder: one pair over a grid of settings, each image with its settings below."""

import io
from collections.abc import Mapping, Sequence

from flows import storage
from flows.manifest.ladder import Rung, VariedOption
from flows.records import layout
from flows.report.cells import Cell, drawn
from flows.report.gather import Pair, gather


def write_ladder_sheet(output: str, varied: Sequence[VariedOption], rungs: Sequence[Rung]) -> str:
    """Write the sheet of a ladder that was run into an output, and return its address.

    The first row has content and style. Below there is a row for each combination of all options but the last, and a
    column for each value of the last.
    """
    run = gather(output)
    pairs = {pair.pair_id: pair for pair in run.pairs}
    cells = [_cell(rung, pairs, output) for rung in rungs]
    columns = max(2, len(varied[-1].values))
    first = pairs[rungs[0].pair_id]
    head = [Cell(first.content, "content"), Cell(first.style, "style"), *[Cell(None)] * (columns - 2)]
    width = len(varied[-1].values)
    body = [cells[start : start + width] for start in range(0, len(cells), width)]
    table = [head, *([*row, *[Cell(None)] * (columns - len(row))] for row in body)]
    largest = max((max(pair.values["width"], pair.values["height"]) for pair in run.succeeded()), default=256)
    buffer = io.BytesIO()
    drawn(table, warning="STUB: made up" if "stub" in run.backbones else "", most_px=largest).save(buffer, "PNG")
    address = storage.join(output, layout.LADDER_SHEET)
    storage.replace(address, buffer.getvalue())
    return address


def _cell(rung: Rung, pairs: Mapping[str, Pair], output: str) -> Cell:
    pair = pairs[rung.pair_id]
    label = ", ".join(f"{name} {value}" for name, value in rung.settings.items())
    if pair.output is None:
        return Cell(None, label, words=pair.status)
    return Cell(storage.join(output, pair.output), label, is_pastiche=True)

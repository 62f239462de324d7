"""Rows of the results table in an order, and columns of it by their names. Conditions are in `conditions`."""

import math
from collections.abc import Sequence
from typing import Any

from flows.output.outcomes import Row
from flows.records.columns import REAL_NUMBERS, WHOLE_NUMBERS
from flows.wording import meant
from nst_core.errors import OptionsError

OTHER_NAMES = {"id": "pair_id"}
"""What a manifest calls a column that the results table calls otherwise."""


def column_named(name: str, columns: Sequence[str]) -> str:
    """The column of a name.

    Raises:
        OptionsError: there is none; with the near one.
    """
    column = name if name in columns else OTHER_NAMES.get(name, name)
    if column not in columns:
        raise OptionsError(f"there is no column {name!a}{meant(name, [*columns, *OTHER_NAMES])}")
    return column


def sorted_rows(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
    """Rows by one column after the other; `-seconds` is from the largest down. Rows without a value come last.

    A column of text whose cells are all numbers goes by number.

    Raises:
        OptionsError: a column that is not there; with the near one.
    """
    ordered = list(rows)
    for key in reversed(keys):  # the order that rows have already decides between equals
        is_down = key.startswith("-") and key not in columns
        column = column_named(key[1:] if is_down else key, columns)
        cells = [row[column] for row in ordered]
        values = _comparable(cells)
        known = [index for index, value in enumerate(values) if value is not None]
        known.sort(key=values.__getitem__, reverse=is_down)
        unknown = [index for index, value in enumerate(values) if value is None]
        ordered = [ordered[index] for index in (*known, *unknown)]
    return ordered


def is_number_column(column: str) -> bool:
    """Whether the results table has numbers in a column of its own."""
    return column in WHOLE_NUMBERS or column in REAL_NUMBERS


def number_of(cell: Any) -> float | None:
    """The number that a cell is or says; None where it does not."""
    try:
        number: float | None = _number_in(cell) if isinstance(cell, str) else cell
    except ValueError:
        return None
    # Of a whole number beyond all real ones `isnan` cannot be asked.
    return None if isinstance(number, float) and math.isnan(number) else number


def _number_in(text: str) -> float:
    return int(text) if text.strip().isdecimal() else float(text)


def _comparable(cells: Sequence[Any]) -> list[Any]:
    """Values that can be compared with one another, None where there is none."""
    filled = [cell for cell in cells if cell not in (None, "")]
    numbers = [number_of(cell) for cell in filled]
    if None not in numbers:
        return [None if cell in (None, "") else number_of(cell) for cell in cells]
    return [None if cell in (None, "") else str(cell) for cell in cells]

"""Sorts rows of the results table, and looks its columns up by name. Conditions are in `conditions`."""

import math
from collections.abc import Sequence
from typing import Any

from flows.output.outcomes import Row
from flows.records.columns import REAL_NUMBERS, WHOLE_NUMBERS
from flows.wording import did_you_mean
from nst_core.errors import OptionsError

OTHER_NAMES = {"id": "pair_id"}
"""Name of a column in a manifest -> its name in the results table, where they differ."""


def find_column(name: str, columns: Sequence[str]) -> str:
    """Return the column with a name, which may be the one that a manifest uses.

    Raises:
        OptionsError: if there is no such column; the message suggests a similar one.
    """
    column = name if name in columns else OTHER_NAMES.get(name, name)
    if column not in columns:
        raise OptionsError(f"there is no column {name!a}{did_you_mean(name, [*columns, *OTHER_NAMES])}")
    return column


def sorted_rows(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str]) -> list[Row]:
    """Return the rows sorted by several columns, the most significant first. Rows without a value come last.

    A text column whose cells are all numbers is sorted by number.

    Args:
        rows: the rows to sort.
        keys: names of columns; one with a `-` in front, such as `-seconds`, is sorted in descending order.
        columns: all columns of the rows.

    Raises:
        OptionsError: if there is no such column; the message suggests a similar one.
    """
    ordered = list(rows)
    for key in reversed(keys):  # the sort is stable, so the most significant key goes last
        is_down = key.startswith("-") and key not in columns
        column = find_column(key[1:] if is_down else key, columns)
        cells = [row[column] for row in ordered]
        values = _comparable(cells)
        known = [index for index, value in enumerate(values) if value is not None]
        known.sort(key=values.__getitem__, reverse=is_down)
        unknown = [index for index, value in enumerate(values) if value is None]
        ordered = [ordered[index] for index in (*known, *unknown)]
    return ordered


def is_number_column(column: str) -> bool:
    """Tell whether a column is one of the results table's own columns of numbers."""
    return column in WHOLE_NUMBERS or column in REAL_NUMBERS


def number_of(cell: Any) -> float | None:
    """Return the number in a cell, which may be text; None if it is no number or NaN."""
    try:
        number: float | None = _number_in(cell) if isinstance(cell, str) else cell
    except ValueError:
        return None
    # Only for floats: `isnan` raises for an int that is too large for a float.
    return None if isinstance(number, float) and math.isnan(number) else number


def _number_in(text: str) -> float:
    return int(text) if text.strip().isdecimal() else float(text)


def _comparable(cells: Sequence[Any]) -> list[Any]:
    """Return the cells as values of one type, so that they can be compared; None for an empty cell."""
    filled = [cell for cell in cells if cell not in (None, "")]
    numbers = [number_of(cell) for cell in filled]
    if None not in numbers:
        return [None if cell in (None, "") else number_of(cell) for cell in cells]
    return [None if cell in (None, "") else str(cell) for cell in cells]

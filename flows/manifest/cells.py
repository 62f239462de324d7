"""A value of a typed table -> the cell that says it in CSV."""

import os
from decimal import Decimal
from typing import Any

MOST_EXACT = 2.0**53
"""Beyond it a real number does not tell which whole one was meant."""


def cell_of(value: Any) -> str:
    """The text of a value; nothing where there is none, and no zeros behind a number that it goes without.

    A column of whole numbers with a gap in it is one of real numbers to pandas, and a database has 1.5 as 1.500.

    >>> cell_of(512.0), cell_of(True), cell_of(float("nan")), cell_of(0.1), cell_of(Decimal("1.500"))
    ('512', 'true', '', '0.1', '1.5')
    """
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType") or _is_nan(value):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's
        return str(bool(value)).lower()
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float):
        return _number(float(value))  # one of numpy's is shown as such
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # one that signals may not even be compared
    return bool(value != value)  # noqa: PLR0124  # NaN, NaT of any library


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < MOST_EXACT else repr(value)

"""Format a value of a typed table as the text of a CSV cell."""

import os
from decimal import Decimal
from typing import Any

MOST_EXACT = 2.0**53
"""From this value on, a float does not represent every integer, so it is not written as one."""


def cell_of(value: Any) -> str:
    """Return the text of a value: empty for a missing value, and a number without redundant trailing zeros.

    pandas turns a column of integers with a missing value into floats, and a database may return 1.5 as 1.500.

    >>> cell_of(512.0), cell_of(True), cell_of(float("nan")), cell_of(0.1), cell_of(Decimal("1.500"))
    ('512', 'true', '', '0.1', '1.5')
    """
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType") or _is_nan(value):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # the second is numpy's own type
        return str(bool(value)).lower()
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float):
        return _number(float(value))  # the repr of a numpy float would name its type
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # comparing a signalling NaN raises
    return bool(value != value)  # noqa: PLR0124  # true for NaN and NaT of any library


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < MOST_EXACT else repr(value)

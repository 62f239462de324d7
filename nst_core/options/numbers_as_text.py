r"""Parse numbers as tables and people write them: return unambiguous text, or refuse and say what to write instead.

The decimal separator is a dot. Decimal commas and thousands separators, as other countries' spreadsheets write them,
are refused: reading `2.000` as 2, or `0,5 0,5` as four numbers, would silently make a different image. `1.500` is one
and a half where decimals are allowed, because programs write numbers with a fixed number of digits.
"""

import functools
import re
import types
import typing
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel

MOST_SHOWN = 80
"""Most characters of a text that a message quotes."""

_DECIMALS = re.compile(r"([+-]?\d{1,20}),(\d{1,20})((?:[eE][+-]?\d{1,4})?)")
_THOUSANDS = re.compile("[+-]?[1-9][0-9]{0,2}(?:[.,'\u2019 \u00a0\u202f][0-9]{3}){1,6}")
_PERCENT = re.compile(r"([+-]?\d{1,9}(?:[.,]\d{1,9})?)\s?%")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4}")
_BOTH = re.compile(
    "[+-]?[0-9]{1,3}(?:(?:[.'\u2019 \u00a0\u202f][0-9]{3})+,[0-9]+|(?:[,'\u2019 \u00a0\u202f][0-9]{3})+[.][0-9]+)"
)


@functools.cache
def reader_of(model: type[BaseModel], name: str) -> Callable[[Any], Any]:
    """Return the function below that reads a field's value from the text of a cell or command line, by its type.

    Values that are not text, and fields of other types, such as names and switches, are left to pydantic.
    """
    kinds = types_of(model.model_fields[name].annotation)
    kind: Any = kinds[0] if len(kinds) == 1 else None
    if typing.get_origin(kind) is Literal and all(isinstance(choice, int) for choice in typing.get_args(kind)):
        return whole_choice
    readers = {int: whole_number, float: real_number, tuple[str, ...]: words, tuple[float, ...]: real_numbers}
    return readers.get(kind, _unchanged)


def types_of(annotation: Any) -> tuple[Any, ...]:
    """Return the types of the values that a field may have, other than None.

    >>> types_of(int | None), types_of(str)
    ((<class 'int'>,), (<class 'str'>,))
    """
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    return tuple(kind for kind in kinds if kind is not types.NoneType)


def _unchanged(value: Any) -> Any:
    return value


def whole_number(value: Any) -> Any:
    """Check a whole number, perhaps as text: `512`, or `512.0` as written by tables with gaps.

    Raises:
        ValueError: if a text contains separators; the message says what to write.

    >>> whole_number(512.0), whole_number("512.0")
    (512.0, '512.0')
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    _check_no_date(text, "a whole number")
    if _THOUSANDS.fullmatch(text):
        first, *more = re.split(r"[^\d+-]", text)
        or_else = f" or {first}" if more == ["000"] else ""
        raise ValueError(f"expected a whole number, got {value!a}: write {_plain(text)}{or_else}, without separators")
    if (found := _DECIMALS.fullmatch(text)) and not found[2].strip("0") and not found[3]:
        raise ValueError(f"expected a whole number, got {value!a}: write {found[1]}")
    if _BOTH.fullmatch(text) and not (parts := _parts(text))[1].strip("0"):
        raise ValueError(f"expected a whole number, got {value!a}: write {parts[0]}")
    return value


def whole_choice(value: Any) -> Any:
    """Convert one of a few whole numbers; pydantic accepts neither text nor `16.0` for them.

    >>> whole_choice("16"), whole_choice("16.0"), whole_choice(16.0), whole_choice("deep")
    (16, 16, 16, 'deep')
    """
    value = whole_number(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*", value)):
        return int(found[1])
    return value


def real_number(value: Any) -> Any:
    """Check a number, perhaps as text, with a dot for decimals.

    Raises:
        ValueError: if a text contains other separators; the message says what to write.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    _check_no_date(text, "a number")
    if found := _PERCENT.fullmatch(text):
        raise ValueError(f"expected a number, got {value!a}: write {_share(found)}")
    meant = []
    if _BOTH.fullmatch(text):
        meant.append(".".join(_parts(text)))
    elif found := _DECIMALS.fullmatch(text):
        meant.append(f"{found[1]}.{found[2].rstrip('0') or '0'}{found[3]}")
    if _THOUSANDS.fullmatch(text) and not re.fullmatch(r"[+-]?\d+\.\d+", text):
        meant.append(_plain(text))
    if meant:
        raise ValueError(f"expected a number, got {value!a}: write {' or '.join(meant)}, with a dot for decimals")
    return value


def _share(percentage: re.Match[str]) -> str:
    """Return a percentage as a number.

    >>> _PERCENT.sub(_share, "62,5 % 30%")
    '0.625 0.3'
    """
    return f"{(Decimal(percentage[1].replace(',', '.')) / 100).normalize():f}"


def words(value: Any) -> Any:
    """Split a list given as one text, such as `relu1_1 relu2_1`, at blanks, commas or semicolons."""
    return tuple(value.replace(",", " ").replace(";", " ").split()) if isinstance(value, str) else value


def real_numbers(value: Any) -> Any:
    """Split a list of numbers given as one text in the same way, unless a comma in it may be a decimal separator.

    Raises:
        ValueError: if a comma may be a decimal separator, or numbers are percentages; the message says what to write.
    """
    if not isinstance(value, str) or not re.search(r"\d,\d|\d\s?%", value):
        return words(value)
    text, wanted = value.strip(), "expected numbers with a dot for decimals, separated by spaces"
    got = repr(value if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]}...")
    if "%" in text:
        raise ValueError(f"{wanted}, got {got}: write {_PERCENT.sub(_share, text[:MOST_SHOWN])}")
    if re.search(r"[\s;]", text):
        dotted = re.sub(r"(?<=\d),(?=\d)", ".", text[:MOST_SHOWN])
        raise ValueError(f"{wanted}, got {got}: write {dotted}, or put a space after each comma")
    parts = text.split(",")
    if "." not in text and (_are_halves(parts) or any(re.match(r"[+-]?0\d", part) for part in parts)):
        numbers = " ".join(f"{a}.{b}" for a, b in zip(parts[::2], parts[1::2], strict=False))
        raise ValueError(f"{wanted}, got {got}: write {numbers[:MOST_SHOWN]}, or {' '.join(parts)[:MOST_SHOWN]}")
    return words(value)


def _are_halves(parts: list[str]) -> bool:
    """Return whether every second part can be the decimals of the 0 before it: `0,7` and `0,5,0,5`, but not `1,0,1`."""
    return len(parts) % 2 == 0 and all(part.lstrip("+-") == "0" for part in parts[::2])


def _check_no_date(text: str, wanted: str) -> None:
    """Refuse a date: a spreadsheet turns both `1.5` and `1.5.3` into one, and the original cannot be recovered."""
    if _DATE.fullmatch(text):
        raise ValueError(f"expected {wanted}, got {text!a}, a date: write the number, in a cell formatted as text")


def _parts(text: str) -> tuple[str, str]:
    """Return the whole part and the decimals of a number that contains both kinds of separators."""
    at = max(text.rfind("."), text.rfind(","))
    return _plain(text[:at]), text[at + 1 :]


def _plain(text: str) -> str:
    return re.sub(r"[^\d+-]", "", text)

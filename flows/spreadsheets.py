"""Protecting cells of a CSV with a leading `'` from being run or rewritten by a spreadsheet.

A spreadsheet runs formulas, so every table that we write protects those. It turns numbers and dates into other text,
depending on the user's locale: `0042` is saved as `42`, `2e5` as `200000`, and in half of Europe `0.003` as `3`. Those
are protected only in files that are made to be edited and handed in again: programs that read a table want `0042`.
"""

import csv
import re
from collections.abc import Callable
from typing import Any, Protocol

from nst_core.printable import is_visible

_FORMULA_SIGNS = frozenset("=+-@＝＋－＠﹦﹢﹣﹫")
"""The characters that spreadsheets treat as the start of a formula, with their full-width and small forms."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
"""A number; it may start with a sign and is no formula even so."""
_CELL_ENDS = re.compile(r"([;\t\r\n])")
"""Where a spreadsheet of some countries ends a cell: Excel there splits a CSV at `;` and not at the comma, so that it
does not see the quotes around a cell with a `;` or a line break either."""
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")
"""A whole number that every spreadsheet saves unchanged; numbers with more digits are rounded."""
_LIKE_A_NUMBER = re.compile(r"[\s(+\-.$€£]*[0-9][0-9\s.,:/'’%()+\-eE$€£]*(?:[AaPp][Mm]?)?")
"""Text that a spreadsheet may read as a number, including amounts, fractions, times and dates in digits."""
_MONTHS = """
    jan january januar januari janvier janv gennaio gen enero ene janeiro
    feb february februar februari février févr fév fevrier fevr fev febbraio febrero fevereiro
    mar march märz mär maerz mars marzo março maart mrt
    apr april avril avr aprile abril abr
    may mai mei maggio mag mayo maio
    jun june juni juin giugno giu junio junho
    jul july juli juillet juil luglio lug julio julho
    aug august août aout augustus agosto ago
    sep sept september septembre settembre set septiembre setembro
    oct october okt oktober octobre ottobre ott octubre outubro out
    nov november novembre noviembre novembro
    dec december dez dezember décembre déc decembre dicembre dic diciembre dezembro
"""
"""The names of months in English, German, French, Italian, Spanish, Portuguese and Dutch."""
_LIKE_A_DATE = re.compile(
    rf"(?=.*[0-9])(?:[0-9]{{1,4}}[\s./-]*)?(?:{'|'.join(_MONTHS.split())})\.?(?:[\s.,/-]*[0-9]{{1,4}}){{0,2}}",
    re.IGNORECASE,
)
"""Text that a spreadsheet may read as a date with the name of a month, such as `sep-1` and `4. Mai`."""


QUOTING_ENDS = "\r\n"
"""The line ends with which a CSV writer is made: it quotes cells that contain one of their characters."""


class Writable(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> Any:
        """Write a text."""


class UnixLines:
    """Takes the rows of a CSV writer that was made with `QUOTING_ENDS`, and writes them with line feeds.

    With line feeds alone, some versions of the writer leave a cell with a carriage return bare, where readers end a
    line.
    """

    def __init__(self, stream: Writable) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        """Write one row, which ends in `QUOTING_ENDS`."""
        self._stream.write(row.removesuffix(QUOTING_ENDS) + "\n")


def csv_writer(stream: Writable) -> Any:
    """Return a writer of CSV with line feeds that quotes every cell with a line end."""
    return csv.writer(UnixLines(stream), lineterminator=QUOTING_ENDS)


def as_plain_text(cell: str) -> str:
    """Return the cell with a `'` in front if a spreadsheet would run it as a formula, else unchanged.

    A formula behind invisible characters counts as one, and so does one after a `;`, a tab or a line break inside the
    cell, which gets the `'` there. A cell that already starts with such a `'` gets another, so that `without_guard`
    always restores the cell.

    >>> as_plain_text("=HYPERLINK(A1)"), as_plain_text("a=b"), as_plain_text("-0.5"), as_plain_text("'0042")
    ("'=HYPERLINK(A1)", 'a=b', '-0.5', "''0042")
    >>> as_plain_text("a; =B1"), as_plain_text("a;b=c;-5")
    ("a;' =B1", 'a;b=c;-5')
    """
    return _plain(_changed_inside(cell, _guarded_part))


def as_fixed_text(cell: str) -> str:
    """Return the cell with a `'` in front if a spreadsheet would run it or save it as other text, else unchanged.

    Numbers and dates are protected as well as formulas.

    >>> as_fixed_text("0042"), as_fixed_text("0.003"), as_fixed_text("1.2.3"), as_fixed_text("sep-1")
    ("'0042", "'0.003", "'1.2.3", "'sep-1")
    >>> as_fixed_text("512"), as_fixed_text("-7"), as_fixed_text("a-1"), as_fixed_text("2026-11-30T01:48:17+00:00")
    ('512', '-7', 'a-1', '2026-11-30T01:48:17+00:00')
    """
    return _fixed(_changed_inside(cell, _guarded_part))


def without_guard(cell: str) -> str:
    """Undo `as_plain_text` and `as_fixed_text`: return the cell without the `'` that they may have put in front.

    >>> without_guard("'=1"), without_guard("'0042"), without_guard("''0042"), without_guard("'quoted'")
    ('=1', '0042', "'0042", "'quoted'")
    """
    is_guarded = cell.startswith("'") and _fixed(cell[1:]) == cell
    return _changed_inside(cell[1:] if is_guarded else cell, _bare_part)


def _plain(cell: str) -> str:
    """Put a `'` in front of a cell that a spreadsheet would run."""
    if cell.startswith("'"):
        return _fixed(cell)
    return f"'{cell}" if _starts_formula(cell) and not _NUMBER.fullmatch(cell) else cell


def _fixed(cell: str) -> str:
    """Put a `'` in front of a cell that a spreadsheet would run or save as other text."""
    if _WHOLE_NUMBER.fullmatch(cell):
        return cell
    text = cell.lstrip("'")
    is_changed = _LIKE_A_NUMBER.fullmatch(text) or _LIKE_A_DATE.fullmatch(text)
    return f"'{cell}" if is_changed or _starts_formula(cell) else cell


def _changed_inside(cell: str, change: Callable[[str], str]) -> str:
    """Change the parts of a cell after its first `;`, tab or line break, at which a cell of a spreadsheet may begin."""
    first, *rest = _CELL_ENDS.split(cell)
    return first + "".join(map(change, rest)) if rest else cell


def _guarded_part(part: str) -> str:
    # Quotes are doubled in CSV, so that a part which begins with one begins with an empty quoted text.
    is_formula = _first_of(part, besides="' \"") in _FORMULA_SIGNS and not _NUMBER.fullmatch(part)
    return f"'{part}" if is_formula else part


def _bare_part(part: str) -> str:
    return part[1:] if part.startswith("'") and _guarded_part(part[1:]) == part else part


def _starts_formula(cell: str) -> bool:
    return cell.lstrip("'")[:1] in ("\t", "\r", "\n") or _first_of(cell, besides="' ") in _FORMULA_SIGNS


def _first_of(text: str, besides: str) -> str | None:
    """Return the first visible character of a text besides some; None if there is none."""
    return next((letter for letter in text if letter not in besides and is_visible(letter)), None)

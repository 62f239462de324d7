"""Protecting cells of a CSV with a leading `'` from being run or rewritten by a spreadsheet.

A spreadsheet runs formulas, so every table that we write protects those. It turns numbers and dates into other text,
depending on the user's locale: `0042` is saved as `42`, `2e5` as `200000`, and in half of Europe `0.003` as `3`. Those
are protected only in files that are made to be edited and handed in again: programs that read a table want `0042`.
"""

import re

from nst_core.printable import is_visible

_FORMULA_SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
"""The characters that spreadsheets treat as the start of a formula, with their full-width and small forms."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
"""A number; it may start with a sign and is no formula even so."""
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


def as_plain_text(cell: str) -> str:
    """Return the cell with a `'` in front if a spreadsheet would run it as a formula, else unchanged.

    A formula behind invisible characters counts as one. A cell that already starts with such a `'` gets another, so
    that `without_guard` always restores the cell.

    >>> as_plain_text("=HYPERLINK(A1)"), as_plain_text("a=b"), as_plain_text("-0.5"), as_plain_text("'0042")
    ("'=HYPERLINK(A1)", 'a=b', '-0.5', "''0042")
    """
    if cell.startswith("'"):
        return as_fixed_text(cell)
    return f"'{cell}" if _starts_formula(cell) and not _NUMBER.fullmatch(cell) else cell


def as_fixed_text(cell: str) -> str:
    """Return the cell with a `'` in front if a spreadsheet would run it or save it as other text, else unchanged.

    Numbers and dates are protected as well as formulas.

    >>> as_fixed_text("0042"), as_fixed_text("0.003"), as_fixed_text("1.2.3"), as_fixed_text("sep-1")
    ("'0042", "'0.003", "'1.2.3", "'sep-1")
    >>> as_fixed_text("512"), as_fixed_text("-7"), as_fixed_text("a-1"), as_fixed_text("2026-11-30T01:48:17+00:00")
    ('512', '-7', 'a-1', '2026-11-30T01:48:17+00:00')
    """
    if _WHOLE_NUMBER.fullmatch(cell):
        return cell
    text = cell.lstrip("'")
    is_changed = _LIKE_A_NUMBER.fullmatch(text) or _LIKE_A_DATE.fullmatch(text)
    return f"'{cell}" if is_changed or _starts_formula(cell) else cell


def without_guard(cell: str) -> str:
    """Undo `as_plain_text` and `as_fixed_text`: return the cell without the `'` that they may have put in front.

    >>> without_guard("'=1"), without_guard("'0042"), without_guard("''0042"), without_guard("'quoted'")
    ('=1', '0042', "'0042", "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and as_fixed_text(cell[1:]) == cell else cell


def _starts_formula(cell: str) -> bool:
    if cell.lstrip("'")[:1] in ("\t", "\r", "\n"):
        return True
    first = next((letter for letter in cell if letter not in "' " and is_visible(letter)), None)
    return first is not None and first in _FORMULA_SIGNS

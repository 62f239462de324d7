"""What a spreadsheet makes of a cell of a CSV, and the `'` in front that keeps it the text that it is.

A formula is run, which is why every table that is written guards those. A number or a date becomes another text, by
the country of whoever opens it: `0042` is saved as `42`, `2e5` as `200000`, and in half of Europe `0.003` as `3`. Those
are guarded only in what is made to be opened and handed in again: programs that read a table want `0042`.
"""

import re

from nst_core.printable import is_seen

_FORMULA_SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
"""What spreadsheets take for the start of a formula, the full-width and the small forms too."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")
"""What every spreadsheet saves as it was: of more digits they round."""
_LIKE_A_NUMBER = re.compile(r"[\s(+\-.$€£]*[0-9][0-9\s.,:/'’%()+\-eE$€£]*(?:[AaPp][Mm]?)?")
"""Amounts, fractions, times and dates in figures too."""
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
"""In English, German, French, Italian, Spanish, Portuguese and Dutch."""
_LIKE_A_DATE = re.compile(
    rf"(?=.*[0-9])(?:[0-9]{{1,4}}[\s./-]*)?(?:{'|'.join(_MONTHS.split())})\.?(?:[\s.,/-]*[0-9]{{1,4}}){{0,2}}",
    re.IGNORECASE,
)
"""`sep-1` and `4. Mai`."""


def as_plain_text(cell: str) -> str:
    """A cell of a table that no spreadsheet runs: one that it would take for a formula gets a `'` in front.

    So does one with a formula behind what is not seen. One that already has such a `'` gets another, so that `as_meant`
    always gives the cell back.

    >>> as_plain_text("=HYPERLINK(A1)"), as_plain_text("a=b"), as_plain_text("-0.5"), as_plain_text("'0042")
    ("'=HYPERLINK(A1)", 'a=b', '-0.5', "''0042")
    """
    if cell.startswith("'"):
        return as_fixed_text(cell)
    return f"'{cell}" if _starts_formula(cell) and not _NUMBER.fullmatch(cell) else cell


def as_fixed_text(cell: str) -> str:
    """A cell that a spreadsheet neither runs nor saves as another: a number or a date gets a `'` in front, too.

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


def as_meant(cell: str) -> str:
    """A cell that one of these has written, without the `'` that it may have put in front.

    >>> as_meant("'=1"), as_meant("'0042"), as_meant("''0042"), as_meant("'quoted'")
    ('=1', '0042', "'0042", "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and as_fixed_text(cell[1:]) == cell else cell


def _starts_formula(cell: str) -> bool:
    if cell.lstrip("'")[:1] in ("\t", "\r", "\n"):
        return True
    first = next((letter for letter in cell if letter not in "' " and is_seen(letter)), None)
    return first is not None and first in _FORMULA_SIGNS

"""flows.spreadsheets: cells are written so that a spreadsheet neither runs nor changes them, and can be read back."""

import csv
import io

import pytest

from flows.spreadsheets import as_fixed_text, as_plain_text, csv_writer, without_guard

CHANGED = (
    *("0042", "00", "1e5", "1E-5", "12e456", "1234567890e12345", "12345678901234567", "+5", ".5", "5.", " 5", "5 "),
    *("1.10", "1.000", "1.598", "0.003", "-0.5", "1,5", "1 000", "1\u202f000", "1'000", "50%", "$5", "5 €", "(5)"),
    *("1/2", "3/4", "1.2.3", "4.3.26", "04.03.", "24.06", "1-2", "1-2-03", "2026-03-04", "1:30", "12:30:05", "1:30 PM"),
    *("1 1/2", "1 a", "gen-1", "ene-1", "1-mrt", "3 out 2026"),
    *("sep-1", "SEPT1", "MAR1", "1-Mar", "4. Mai", "4 mai 2026", "Mai 2026", "Dez-24", "févr. 3", "3 août", "März 5"),
)
"""Cells that a spreadsheet, in some country, saves as another text."""
KEPT = (
    *("", "0", "7", "-7", "512", "123456789012345", "a-1", "cat", "1-waves", "market-1", "may", "octopus-12", "v1.2"),
    *("/in/a.png", "s3://b/1.png", "2026-11-30T01:48:17+00:00", "e", ".", "a", "true", "relu1_1 relu2_1"),
)
FORMULAS = ("=1+1", "-x", "+x", "@home", "\u200b=1")


@pytest.mark.parametrize("cell", [*CHANGED, *FORMULAS])
def test_a_cell_that_would_change_is_marked_as_text(cell: str) -> None:
    """A cell that a spreadsheet would run or change gets a `'` in front, as a person would type it."""
    assert as_fixed_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", KEPT)
def test_other_cells_are_not_marked(cell: str) -> None:
    """Other cells, also whole numbers, stay as they are, so that a spreadsheet can compute with them."""
    assert as_fixed_text(cell) == cell


@pytest.mark.parametrize("cell", CHANGED)
def test_plain_text_keeps_numbers(cell: str) -> None:
    """A table for programs keeps such cells, because programs join by its ids and compute with its numbers."""
    assert as_plain_text(cell) == cell


INSIDE = {
    "a;=1+1;b": "a;'=1+1;b",
    "a;b; @home": "a;b;' @home",
    "two lines\n=1+1": "two lines\n'=1+1",
    "a\r\n+x": "a\r\n'+x",
    "a\t-x": "a\t'-x",
    'a;"=A1&"': 'a;\'"=A1&"',
    "a;'=1": "a;''=1",
    "a;\u200b=1": "a;'\u200b=1",
    "=1;=2": "'=1;'=2",
    "\n=1": "'\n'=1",
    "\t=1": "'\t'=1",
}
"""Cells that contain a formula where a spreadsheet that splits a CSV at `;` begins a cell, and how they are written."""


@pytest.mark.parametrize(("cell", "written"), INSIDE.items())
def test_a_formula_inside_a_cell_is_marked_as_text(cell: str, written: str) -> None:
    """A formula behind a `;`, tab or line break gets the `'` too: Excel begins a cell there in half of Europe."""
    assert (as_plain_text(cell), as_fixed_text(cell)) == (written, written)


@pytest.mark.parametrize("cell", ["a;b=c", "x=1; y=2", "a;-5;+0.5", "-5;a", "one\ntwo", "a;b;"])
def test_a_list_in_a_cell_is_not_marked(cell: str) -> None:
    """A `;` before numbers, names or nothing begins no formula."""
    assert as_plain_text(cell).removeprefix("'") == cell


@pytest.mark.parametrize("quotes", ["", "'", "''"])
@pytest.mark.parametrize("cell", [*CHANGED, *KEPT, *FORMULAS, *INSIDE, *INSIDE.values(), "quoted'"])
def test_every_cell_can_be_read_back(cell: str, quotes: str) -> None:
    """A cell can be read back whichever way it was written, and whatever quote marks of its own it has."""
    for written in (as_plain_text, as_fixed_text):
        assert without_guard(written(quotes + cell)) == quotes + cell


@pytest.mark.parametrize("cell", ["one\rtwo", "\r", "one\r\ntwo", "one\ntwo", "one, two", 'a "b"', "plain"])
def test_a_cell_with_any_line_end_is_quoted(cell: str) -> None:
    """A cell keeps its line ends, also a carriage return alone, and the rows themselves end in line feeds."""
    buffer = io.StringIO(newline="")
    csv_writer(buffer).writerows([[cell, "x"], ["y", "z"]])

    assert buffer.getvalue().endswith("x\ny,z\n")
    assert list(csv.reader(io.StringIO(buffer.getvalue(), newline=""), strict=True)) == [[cell, "x"], ["y", "z"]]

"""flows.spreadsheets: no cell is run or changed, and every one can be had back as it was."""

import pytest

from flows.spreadsheets import as_fixed_text, as_plain_text, without_guard

CHANGED = (
    *("0042", "00", "1e5", "1E-5", "12e456", "1234567890e12345", "12345678901234567", "+5", ".5", "5.", " 5", "5 "),
    *("1.10", "1.000", "1.598", "0.003", "-0.5", "1,5", "1 000", "1\u202f000", "1'000", "50%", "$5", "5 €", "(5)"),
    *("1/2", "3/4", "1.2.3", "4.3.26", "04.03.", "24.06", "1-2", "1-2-03", "2026-03-04", "1:30", "12:30:05", "1:30 PM"),
    *("1 1/2", "1 a", "gen-1", "ene-1", "1-mrt", "3 out 2026"),
    *("sep-1", "SEPT1", "MAR1", "1-Mar", "4. Mai", "4 mai 2026", "Mai 2026", "Dez-24", "févr. 3", "3 août", "März 5"),
)
"""What a spreadsheet of one country or another saves as another text."""
KEPT = (
    *("", "0", "7", "-7", "512", "123456789012345", "a-1", "cat", "1-waves", "market-1", "may", "octopus-12", "v1.2"),
    *("/in/a.png", "s3://b/1.png", "2026-11-30T01:48:17+00:00", "e", ".", "a", "true", "relu1_1 relu2_1"),
)
FORMULAS = ("=1+1", "-x", "+x", "@home", "\t=1", "\u200b=1")


@pytest.mark.parametrize("cell", [*CHANGED, *FORMULAS])
def test_a_cell_that_would_become_another_is_a_text(cell: str) -> None:
    """A `'` stands in front, as a person would type it."""
    assert as_fixed_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", KEPT)
def test_any_other_cell_stays_bare(cell: str) -> None:
    """Whole numbers too, with which a spreadsheet may go on to compute."""
    assert as_fixed_text(cell) == cell


@pytest.mark.parametrize("cell", CHANGED)
def test_a_table_for_programs_has_numbers_as_they_are(cell: str) -> None:
    """Its ids are joined with, and its numbers computed with."""
    assert as_plain_text(cell) == cell


@pytest.mark.parametrize("quotes", ["", "'", "''"])
@pytest.mark.parametrize("cell", [*CHANGED, *KEPT, *FORMULAS, "quoted'"])
def test_every_cell_can_be_had_back(cell: str, quotes: str) -> None:
    """Whichever way it was written, and whatever quote marks it had of its own."""
    for written in (as_plain_text, as_fixed_text):
        assert without_guard(written(quotes + cell)) == quotes + cell

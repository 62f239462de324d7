"""flows.manifest.spreadsheet_cells: rows and cells are called as the program calls them that shows the file."""

import gzip
import io

import pandas as pd
import pytest

from flows.manifest.spreadsheet_cells import SpreadsheetCells, as_opened


def opened(data: bytes) -> SpreadsheetCells:
    return as_opened(data, "pairs", 1_000_000)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_spreadsheet_counts_rows_and_letters(packed: type) -> None:
    """A row of two lines is one row, a blank line is one too; a cell is called by letter and row."""
    found = opened(packed(b'id,content,style\n1,"two\nlines",b\n2,c,d\n\n3,e,f\n'))

    assert [found.row(line) for line in (1, 2, 3, 4, 5, 6)] == [1, 2, None, 3, 4, 5]
    assert (found.cell(6, "style"), found.cell(2, "content"), found.cell(6, None)) == ("C5", "B2", "row 5")
    assert (found.word, found.is_sheet, found.letters("style")) == ("row", True, "C")


@pytest.mark.parametrize("first", [b"sep=;\r\n", b'"sep=;"\r\n'])
def test_a_line_that_names_the_separator_is_no_row(first: bytes) -> None:
    """Excel does not show it: the header below it is row 1."""
    found = opened(first + b"content;style\r\na;b\r\n")

    assert (found.row(1), found.row(2), found.cell(3, "style")) == (None, 1, "B2")


def test_tabs_and_blanks_around_names_are_no_matter() -> None:
    """A column is found by its name, whatever blanks the header has around it; pair_id is the id."""
    found = opened(b"pair_id\t content \tstyle\na\tb\tc\n")

    assert [found.cell(2, title) for title in ("id", "content", " content ", "style", "none")] == [
        "A2",
        "B2",
        "B2",
        "C2",
        "row 2",
    ]


def test_what_a_spreadsheet_has_within_another_row_is_called_by_its_line() -> None:
    """An open quote swallows the lines below it there, which a reader of manifests does not let it."""
    found = opened(b'content,style\n"a,b\nc,d\n')

    assert (found.cell(2, None), found.cell(3, "style")) == ("row 2", "line 3")


def test_other_files_have_no_letters() -> None:
    """JSON lines are called by line, the rows of Parquet by number, each with the column's name left to the reader."""
    lines = opened(b'{"content": "a", "style": "b"}\n\n{"content": "c"}\n')
    buffer = io.BytesIO()
    pd.DataFrame({"content": ["a"], "style": ["b"]}).to_parquet(buffer)
    parquet = opened(buffer.getvalue())

    assert (lines.cell(3, "content"), lines.letters("content"), lines.is_sheet) == ("line 3", None, False)
    assert (parquet.cell(1, "style"), parquet.is_sheet) == ("row 1", False)


def test_a_cell_beyond_all_bounds_ends_the_count() -> None:
    """What follows a cell that no reader takes has no number of its own, and is called by its line."""
    found = opened(b"content,style\na,b\n" + b"x" * 200_000 + b",y\nc,d\n")

    assert (found.cell(2, "style"), found.cell(4, "style")) == ("B2", "line 4")

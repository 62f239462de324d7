"""flows.manifest.spreadsheet_cells: rows and cells are named as the program that shows the file names them."""

import gzip
import io

import pandas as pd
import pytest

from flows.manifest.spreadsheet_cells import SpreadsheetCells, as_opened


def opened(data: bytes) -> SpreadsheetCells:
    """Return the names of the rows and cells of a file."""
    return as_opened(data, "pairs", 1_000_000)


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_cells_of_a_csv_are_named_by_letter_and_row(packed: type) -> None:
    """A row of two lines is one row, and so is a blank line; a cell is named by its column's letter and its row."""
    found = opened(packed(b'id,content,style\n1,"two\nlines",b\n2,c,d\n\n3,e,f\n'))

    assert [found.row(line) for line in (1, 2, 3, 4, 5, 6)] == [1, 2, None, 3, 4, 5]
    assert (found.cell(6, "style"), found.cell(2, "content"), found.cell(6, None)) == ("C5", "B2", "row 5")
    assert (found.word, found.is_sheet, found.letters("style")) == ("row", True, "C")


@pytest.mark.parametrize("first", [b"sep=;\r\n", b'"sep=;"\r\n'])
def test_a_line_that_names_the_separator_is_not_a_row(first: bytes) -> None:
    """Excel does not show the line, so the header below it is row 1."""
    found = opened(first + b"content;style\r\na;b\r\n")

    assert (found.row(1), found.row(2), found.cell(3, "style")) == (None, 1, "B2")


def test_a_column_is_found_whatever_blanks_surround_its_name() -> None:
    """Blanks around the names in the header are ignored, and pair_id is the id."""
    found = opened(b"pair_id\t content \tstyle\na\tb\tc\n")

    assert [found.cell(2, title) for title in ("id", "content", " content ", "style", "none")] == [
        "A2",
        "B2",
        "B2",
        "C2",
        "row 2",
    ]


def test_a_row_inside_another_is_named_by_its_line() -> None:
    """In a spreadsheet an unclosed quote swallows the lines below it, so the rows there are named by their lines."""
    found = opened(b'content,style\n"a,b\nc,d\n')

    assert (found.cell(2, None), found.cell(3, "style")) == ("row 2", "line 3")


def test_cells_of_other_formats_have_no_letters() -> None:
    """Rows of JSON lines are named by line, those of Parquet by number, and their columns have no letters."""
    lines = opened(b'{"content": "a", "style": "b"}\n\n{"content": "c"}\n')
    buffer = io.BytesIO()
    pd.DataFrame({"content": ["a"], "style": ["b"]}).to_parquet(buffer)
    parquet = opened(buffer.getvalue())

    assert (lines.cell(3, "content"), lines.letters("content"), lines.is_sheet) == ("line 3", None, False)
    assert (parquet.cell(1, "style"), parquet.is_sheet) == ("row 1", False)


def test_rows_after_a_cell_that_is_too_long_are_named_by_line() -> None:
    """A CSV reader refuses a cell that is too long, so the rows after it have no number."""
    found = opened(b"content,style\na,b\n" + b"x" * 200_000 + b",y\nc,d\n")

    assert (found.cell(2, "style"), found.cell(4, "style")) == ("B2", "line 4")

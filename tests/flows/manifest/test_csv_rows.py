"""flows.manifest.csv_rows: bytes become numbered rows, and a stray quote affects one line only."""

import csv
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import ManifestError
from flows.manifest.csv_rows import MAX_LINE_CHARS, MAX_ROW_LINES, STRAY_QUOTE, read_csv
from flows.manifest.table import TableRow

SECONDS = 60.0
"""A limit on CPU time, several times what a slow machine needs; a quadratic algorithm takes many minutes."""


def rows(text: str, one_line: tuple[int, ...] = ()) -> list[TableRow]:
    """Return the rows below the header of a text."""
    return list(read_csv(text.encode(), "pairs.csv").rows(one_line))


def outcomes(text: str, one_line: tuple[int, ...] = ()) -> list[tuple[int, list[str] | str]]:
    """Return the line and the cells of every row, or its line and its problem."""
    return [(row.line, row.problem or row.cells) for row in rows(text, one_line)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_ending_and_a_byte_order_mark_are_read(line_end: str, mark: bytes) -> None:
    """LF, CRLF and a lone CR end a line, and a UTF-8 byte order mark is not part of the first name."""
    file = read_csv(mark + line_end.join(["a,b", "1,2", "", '"3,3","4""4"', ""]).encode(), "pairs.csv")

    assert (file.header.line, file.header.cells) == (1, ["a", "b"])
    assert list(file.rows(())) == [TableRow(2, ["1", "2"]), TableRow(4, ["3,3", '4"4'])]


def test_blank_lines_are_skipped_but_counted() -> None:
    """Blank lines, also before the header, make no rows; line numbers are those of the file."""
    file = read_csv(b"\n \t\na,b\n\n1,2\n   \n3,4\n\n", "pairs.csv")

    assert file.header == TableRow(3, ["a", "b"], text="a,b\n")
    assert [row.line for row in file.rows(())] == [5, 7]


def test_other_unicode_line_breaks_end_no_line() -> None:
    """Form feed, U+0085 and U+2028 are ordinary characters, not line endings."""
    assert outcomes("a,b\n1\f,2\x85\u2028\n3,4\n") == [(2, ["1\f", "2\x85\u2028"]), (3, ["3", "4"])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a,b\n1,"two\nlines"\n3,4', [(2, ["1", "two\nlines"]), (4, ["3", "4"])]),
        ('a,b\n1,"\n\n\r\n"\n3,4', [(2, ["1", "\n\n\r\n"]), (6, ["3", "4"])]),
        ('a,b\n1,7" disc\n3,4', [(2, ["1", '7" disc']), (3, ["3", "4"])]),
        ("a,b\n1\n3,4", [(2, "expected 2 cells, found 1"), (3, ["3", "4"])]),
        ('a,b\n"",""\n""\n"","",""\n" ",\n3,4', [(6, ["3", "4"])]),
        ('a,b\n"\n",""\n"\n', [(2, ["\n", ""]), (4, STRAY_QUOTE)]),
        ('a,b\n1,"never closed\n3,4\n5,6', [(2, STRAY_QUOTE), (3, ["3", "4"]), (4, ["5", "6"])]),
        ('a,b\n1,"x"y\n3,4', [(2, STRAY_QUOTE), (3, ["3", "4"])]),
        ('a,b\n"1,2\n3,"4"\n5,6', [(2, STRAY_QUOTE), (3, ["3", "4"]), (4, ["5", "6"])]),
        ('a,b\n"1,2\n3,4"\n5,6', [(2, STRAY_QUOTE), (3, ["3", '4"']), (4, ["5", "6"])]),
    ],
    ids=[
        "line break in quotes",
        "blank lines in quotes",
        "quote as inch mark",
        "too few cells",
        "quoted and empty",
        "quoted line end",
        "unclosed quote",
        "text after a quote",
        "closed by the next line",
        "closed at another width",
    ],
)
def test_rows_are_read_around_stray_quotes(text: str, expected: list[tuple[int, list[str] | str]]) -> None:
    """Line breaks in quotes belong to their cell; a stray quote makes only its own line a row with a problem."""
    assert outcomes(text) == expected


def test_a_row_with_too_many_cells_has_a_hint_and_its_cells() -> None:
    """The problem of a row with too many cells suggests quotes, and the row keeps its cells."""
    (row,) = rows("a,b\n1,2,3\n")

    assert row == TableRow(
        2,
        ["1", "2", "3"],
        "expected 2 cells, found 3; put quotes around a cell that holds a comma",
        "1,2,3\n",
    )


@pytest.mark.parametrize(
    "text",
    ['a,b\n1,"x\n2,y"\n3,z', 'a,b\n1,x"\n2,y"\n3,z'],
    ids=["quotes at the start", "quotes at the end"],
)
def test_one_line_columns_reveal_stray_quotes_that_pair_up(text: str) -> None:
    """Two stray quotes that happen to pair up across lines are found in columns whose cells have one line."""
    assert outcomes(text, one_line=(0, 1)) == [(2, STRAY_QUOTE), (3, STRAY_QUOTE), (4, ["3", "z"])]


def test_a_doubled_quote_is_text_in_one_line_columns() -> None:
    """A doubled quote in a quoted cell is accepted in columns whose cells have one line, too."""
    assert outcomes('a,b\n"x""y","""z"""\n', one_line=(0, 1)) == [(2, ['x"y', '"z"'])]


@pytest.mark.parametrize(("breaks", "is_row"), [(MAX_ROW_LINES - 1, True), (MAX_ROW_LINES, False)])
def test_a_row_has_at_most_fifty_lines(breaks: int, is_row: bool) -> None:
    """A row of 50 lines is read; one of more lines is taken for an unclosed quote."""
    first = rows('a,b\n1,"' + "\n" * breaks + '"\n')[0]

    assert (first.problem is None) == is_row


def test_a_line_that_is_too_long_is_a_bad_row() -> None:
    """A line longer than the csv module reads is a row with a problem, and the next line is read."""
    first, second = rows("a,b\n1," + "x" * MAX_LINE_CHARS + "\n3,4\n")

    assert first.problem == "expected a line of at most 131,072 characters, found 131,075"
    assert second.cells == ["3", "4"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^pairs.csv: expected a header line and rows, found an empty file"),
        (b"\xef\xbb\xbf", "found an empty file"),
        (b"\n \r\n", "found an empty file"),
        ("a,b\n".encode("utf-16")[:-1], "^pairs.csv: expected UTF-16 text, found a damaged one; save it as UTF-8"),
        (b"\xfe\xff\0a\xdc\0", "found a damaged one"),
        (
            b"a,b\r\n1,2\rcaf\xe9,3\n",
            "^pairs.csv line 3: expected UTF-8 text, found byte 0xE9 at byte offset 12, ",
        ),
        (
            b"\xef\xbb\xbfa,b\ncaf\xe9,3\n",
            r"line 2: .* offset 10, as in Latin-1 .*\(in Excel: 'CSV UTF-8'; in LibreOffice: .*\)$",
        ),
    ],
    ids=["no bytes", "only a byte order mark", "blank lines", "utf-16-le", "utf-16-be", "latin-1", "latin-1 with mark"],
)
def test_files_that_are_not_utf8_text_are_refused(data: bytes, message: str) -> None:
    """An error on an empty file or another encoding says where the problem is and how to save the file."""
    with pytest.raises(ManifestError, match=message):
        read_csv(data, "pairs.csv")


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are limited, so that a file of blank lines cannot fill the memory."""
    monkeypatch.setattr("flows.manifest.csv_text.MAX_LINES", 10)

    with pytest.raises(ManifestError, match=r"^pairs.csv: expected at most 10 lines, found more"):
        read_csv(b"a,b" + b"\n" * 11, "pairs.csv")


@pytest.mark.parametrize(
    "line",
    ['1,"2,3', '"1,2,3', '1,2,"3', '1,2,"', '"', '"""', '1,2,3"', f'1,2,"{"x" * 1000}'],
    ids=["middle", "start", "end", "empty", "alone", "three", "bare", "long"],
)
def test_many_stray_quotes_take_no_quadratic_time(line: str) -> None:
    """20,000 lines with a stray quote each are read within the time limit."""
    started = time.process_time()
    found = rows("a,b,c\n" + f"{line}\n" * 20_000)

    assert len(found) >= 10_000
    assert time.process_time() - started < SECONDS


def is_empty_row(line: str) -> bool:
    """Return whether a line is by itself a row of empty cells, quoted or not."""
    try:
        return not any(cell.strip() for cells in csv.reader([line], strict=True) for cell in cells)
    except csv.Error:
        return False


@settings(max_examples=300, derandomize=True)
@given(st.text(alphabet='",\n\r ab;\t\0é', max_size=200))
def test_any_text_is_read_to_its_end(text: str) -> None:
    """Rows of any text start on increasing, non-empty lines, and rows without a problem have the header's width."""
    file = read_csv(f"a,b,c\n{text}".encode(), "pairs.csv")
    found = list(file.rows((0, 1)))
    starts = [row.line for row in found]
    filled = [number for number, line in enumerate(file.lines, start=1) if not is_empty_row(line)]

    assert starts == sorted(set(starts))
    assert set(starts) <= set(filled)
    assert bool(starts) == (len(filled) > 1)
    assert all(len(row.cells) == 3 for row in found if row.problem is None)

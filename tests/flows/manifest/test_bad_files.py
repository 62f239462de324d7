"""flows.manifest: a file that is bad throughout is refused in little time and few words, whatever is wrong with it."""

import time
from collections.abc import Callable

import pytest

from flows.errors import ManifestError
from flows.manifest import parse_manifest
from flows.manifest.columns import MAX_COLUMNS, MAX_TITLE_CHARS
from flows.wording import MOST_NAMED
from nst_core.options import StylizeOptions

SECONDS = 60.0
"""A limit on CPU time, several times what a slow machine needs; a quadratic algorithm takes many minutes."""

MANY = 300_000
SHAPES: dict[str, Callable[[], bytes]] = {
    "columns": lambda: b"content,style," + b",".join(b"c%d" % n for n in range(MANY)) + b"\n1,2\n",
    "columns of one name": lambda: b"content,style," + b"x," * MANY + b"x\n1,2\n",
    "columns without a name": lambda: b"content,style" + b"," * MANY + b"\n1,2\n",
    "bad columns": lambda: b",".join(b"style_%d\x01" % n for n in range(900)) + b"\n1,2\n",
    "misspelt columns": lambda: b",".join(b"contnet%d" % n for n in range(900)) + b"\n1,2\n",
    "long names": lambda: b",".join(b"style%d" % n + b"e" * 10_000 for n in range(12)) + b"\n1,2\n",
    "one long name": lambda: b"x" * MANY * 10,
    "commas": lambda: b"," * MANY * 10,
    "quotes": lambda: b'"' * MANY,
    "NULs": lambda: b"\0" * MANY * 10,
    "a long line of NULs and commas": lambda: b"\0," * 40_000,
    "blank lines": lambda: b"\n" * 5_000_001,
    "mixed line endings": lambda: b"\r\n\r" * 2_000_000,
    "not UTF-8": lambda: b"content,style\n" + b"a,b\n" * MANY + b"\xe9,b\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bad_file_is_refused_in_few_words(shape: str) -> None:
    """The message is one short, printable line and takes seconds, however large the file is."""
    data = SHAPES[shape]()
    began = time.process_time()
    with pytest.raises(ManifestError) as refused:
        parse_manifest(data, "/in/pairs.csv", StylizeOptions())

    assert time.process_time() - began < SECONDS
    assert len(str(refused.value)) < 200 * MOST_NAMED
    assert str(refused.value).startswith("pairs.csv")
    assert str(refused.value).isprintable()


ROWS: dict[str, Callable[[int], bytes]] = {
    "stray quotes": lambda n: b'a%d"b,c,1\n' % n,
    "unclosed quotes": lambda _: b'"a,b,1\n',
    "a lone quote": lambda _: b'"\n',
    "repeated pairs": lambda _: b"a,b,1\n",
    "bad options": lambda n: b"a%d,b,x%d\n" % (n, n),
    "NULs": lambda _: b"\0,\0,\0\n",
    "empty cells": lambda _: b",,1\n",
    "too few cells": lambda _: b"a\n",
    "too many cells": lambda _: b"a,b,1,1,1\n",
    "mixed line endings": lambda n: b"a,b\r" if n % 2 else b"a,b\r\n",
    "long cells": lambda _: b"x" * 5000 + b",b,1\n",
    "no address": lambda _: b"a::b,http://x,1\n",
}


@pytest.mark.parametrize("row", ROWS)
def test_every_bad_row_is_rejected_with_a_short_reason(row: str) -> None:
    """Each row of a file of bad rows is rejected, and its reason and values quote only a part of the row."""
    number = 3000
    data = b"content,style,steps\n" + b"".join(map(ROWS[row], range(number)))
    manifest = parse_manifest(data, "/in/pairs.csv", StylizeOptions())

    assert len(manifest.rejected) in (number, number - 1)  # the first of the repeated pairs is valid
    for one in manifest.rejected[1:3]:
        assert len(one.reason()) < 400
        assert all(len(error.value) < 100 for error in one.errors)


def test_too_many_lines_are_refused_without_parsing() -> None:
    """In a file without quotes each line is a row, so the first row over the limit is named without parsing any."""
    data = b"\ncontent,style\n" + b"a,b\n\n" * MANY
    began = time.process_time()
    with pytest.raises(ManifestError, match="line 400003: expected 200,000 rows at most"):
        parse_manifest(data, "/in/pairs.csv", StylizeOptions(), max_rows=200_000)

    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("quote", [b"", b'"a","b"\n'])
def test_the_row_over_the_limit_is_the_same_with_quotes(quote: bytes) -> None:
    """With quotes, rows are parsed to be counted: the limit and the line in the message are the same."""
    rows = [quote, *(b"a%d,b\n" % n for n in range(5 - bool(quote)))]
    data = b"content,style\n\n" + b"".join(rows)

    assert len(parse_manifest(data, "/in/pairs.csv", StylizeOptions(), max_rows=5).pairs) == 5
    with pytest.raises(ManifestError, match="line 7: expected 4 rows at most"):
        parse_manifest(data, "/in/pairs.csv", StylizeOptions(), max_rows=4)


def test_lines_inside_a_cell_are_not_counted_as_rows() -> None:
    """A row whose note has several lines counts as one row."""
    data = b'content,style,note\na,b,"one\ntwo\nthree"\n'

    assert len(parse_manifest(data, "/in/pairs.csv", StylizeOptions(), max_rows=1).pairs) == 1


def test_too_many_bad_rows_refuse_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is refused at the first rejected row over the limit, unless it has no limit on rows."""
    monkeypatch.setattr("flows.manifest.parse.MAX_BAD_ROWS", 3)
    data = b"content,style\na,b\n" + b",b\n" * 3
    parse_manifest(data, "/in/pairs.csv", StylizeOptions())
    with pytest.raises(
        ManifestError, match="line 6: more than 3 rows cannot be used; the first, line 3: column 'content'"
    ):
        parse_manifest(data + b",b\n", "/in/pairs.csv", StylizeOptions())
    taken_once = parse_manifest(data + b",b\n", "/in/pairs.csv", StylizeOptions(), max_rows=None)
    assert len(taken_once.rejected) == 4


def test_of_many_bad_columns_the_first_are_named() -> None:
    """The message on a header names the first bad columns and counts the others."""
    header = ",".join(["content", "style", *(f"c\x1b{n}" for n in range(200))])
    with pytest.raises(ManifestError) as refused:
        parse_manifest(f"{header}\na,b\n".encode(), "/in/pairs.csv", StylizeOptions())

    assert str(refused.value).count("holds a control character") == MOST_NAMED
    assert str(refused.value).endswith(f"; and {200 - MOST_NAMED} more")


@pytest.mark.parametrize(
    ("columns", "name", "message"),
    [
        (MAX_COLUMNS + 1, "x", f"expected at most 1,000 columns, found {MAX_COLUMNS + 1:,}"),
        (3, "y" * (MAX_TITLE_CHARS + 1), "has more than 200 characters"),
    ],
)
def test_columns_and_their_names_have_limits(columns: int, name: str, message: str) -> None:
    """One column, or one letter of a name, over the limit is refused; exactly as many as the limit are accepted."""
    titles = ["content", "style", name, *(f"c{n}" for n in range(columns - 3))]
    data = f"{','.join(titles)}\n{','.join(['a', 'b', *['1'] * (columns - 2)])}\n".encode()
    with pytest.raises(ManifestError, match=message):
        parse_manifest(data, "/in/pairs.csv", StylizeOptions())

    fewer = data.replace(f",{titles[-1]}\n".encode(), b"\n").replace(b",1\n", b"\n") if columns > 3 else data
    taken = fewer.replace(b"y" * (MAX_TITLE_CHARS + 1), b"y" * MAX_TITLE_CHARS)
    assert len(parse_manifest(taken, "/in/pairs.csv", StylizeOptions()).pairs) == 1


def test_a_header_line_that_is_too_long_is_refused() -> None:
    """The message has the length of the line, and says nothing about the names in it."""
    with pytest.raises(ManifestError, match="expected a line of at most 131,072 characters, found 300,013"):
        parse_manifest(b"content,style" + b"," * MANY, "/in/pairs.csv", StylizeOptions())


def test_of_many_bad_cells_of_a_row_the_first_are_named() -> None:
    """The reason names the first bad cells by their columns and counts the others."""
    titles = ",".join(f"c{n}" for n in range(500))
    data = f"content,style,{titles}\na,b,{','.join(['x' * 4097] * 20 + ['1'] * 480)}\n".encode()
    (row,) = parse_manifest(data, "/in/pairs.csv", StylizeOptions()).rejected

    assert row.reason().count("expected at most 4,096 characters, got 4,097") == 10
    assert row.reason().endswith("; and 10 more cells like it")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (
            b"PK\x03\x04\x14\x00",
            "an Excel or LibreOffice workbook, or another zip archive; save its sheet as CSV in UTF-8",
        ),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<office:document', "an XML document, such as a workbook"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n\n<html>", "a web page with a table at best; save its sheet as CSV"),
        (b"<html xmlns:x='urn:schemas-microsoft-com:office:excel'>", "a web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (b"BZh91AY", "a bzip2 file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
    ],
)
def test_files_of_other_formats_are_recognised(start: bytes, told: str) -> None:
    """A workbook, archive or image in place of a CSV is named as what it is, and not as text in Latin-1."""
    with pytest.raises(ManifestError, match=r"pairs\.csv: expected CSV text, found") as refused:
        parse_manifest(start + b"\x00\xe9" * 100, "/in/pairs.csv", StylizeOptions())

    assert told in str(refused.value)

"""flows.manifest: files from spreadsheets, notebooks and other programs are read, and what was passed over is said."""

import gzip
import io
import sys
import time
import uuid
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as parquet_file

from flows.errors import ManifestError
from flows.manifest import parse_manifest
from flows.manifest.csv_rows import BLANK_BEFORE_QUOTE
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions

ROWS = [
    {"content": "c.jpg", "style": "s.jpg", "steps": 7, "note": "one, two"},
    {"content": "d é.jpg", "style": "s.jpg", "steps": None, "note": None},
]
PLAIN = 'content,style,steps,note\nc.jpg,s.jpg,7,"one, two"\nd é.jpg,s.jpg,,\n'


def parsed(data: bytes, **bounds: int) -> Manifest:
    return parse_manifest(data, "/in/pairs.csv", StylizeOptions(), **bounds)


def said(manifest: Manifest) -> list[tuple[str, str, int | None, dict[str, str]]]:
    return [(pair.content, pair.style, pair.options.steps, pair.extra) for pair in manifest.pairs]


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def json_lines(frame: pd.DataFrame) -> bytes:
    return frame.to_json(orient="records", lines=True).encode()


WAYS = {
    "semicolons": PLAIN.replace(",", ";").replace("one; two", "one, two").encode(),
    "tabs": PLAIN.replace(",", "\t").replace("one\t two", "one, two").encode(),
    "a line that says the separator": b"sep=;\r\n" + PLAIN.replace(",", ";").replace("one; two", "one, two").encode(),
    "Excel's Unicode text": PLAIN.replace(",", "\t").replace("one\t two", "one, two").encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "marks glued together": b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN.encode(),
    "an end mark": PLAIN.encode() + b"\x1a\r\n",
    "empty columns": b"\n".join(line + b",," for line in PLAIN.encode().splitlines()),
    "empty columns, short rows": PLAIN.replace("note\n", "note,,\n").encode(),
    "an empty column first": b"\n".join(b"," + line for line in PLAIN.encode().splitlines()),
    "empty cells at the end": PLAIN.replace(',"one, two"\n', ',"one, two",,\n').encode(),
    "empty rows": PLAIN.encode() + b",,,\n , ,\t,\n",
    "empty rows of quoted cells": PLAIN.encode() + b'"","","",""\n"",,"",\n"",""\n" ","","",""\n',
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip in parts": gzip.compress(PLAIN[:30].encode()) + gzip.compress(PLAIN[30:].encode()),
    "Parquet": parquet(pd.DataFrame(ROWS)),
    "Parquet of categories": parquet(pd.DataFrame(ROWS).astype({"content": "category", "style": "category"})),
    "JSON lines": json_lines(pd.DataFrame(ROWS)),
    "JSON lines in UTF-16": ("\ufeff\r\n" + json_lines(pd.DataFrame(ROWS)).decode()).encode("utf-16-le"),
    "JSON lines in UTF-16, big end first": ("\ufeff" + json_lines(pd.DataFrame(ROWS)).decode()).encode("utf-16-be"),
    "JSON lines with an empty row": json_lines(pd.DataFrame(ROWS)) + b'{"content": " ", "style": null}\n',
    "packed JSON lines": gzip.compress(b"\xef\xbb\xbf\n" + json_lines(pd.DataFrame(ROWS))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_manifest_means_the_same_in_every_way(way: str) -> None:
    """Whatever program wrote it, a table of the same cells is the same manifest, ids included."""
    manifest, plain = parsed(WAYS[way]), parsed(PLAIN.encode())

    assert said(manifest) == said(plain)
    assert [pair.pair_id for pair in manifest.pairs] == [pair.pair_id for pair in plain.pairs]
    assert manifest.rejected == ()
    assert manifest.extra_columns == ("note",)


def test_what_is_passed_over_is_said() -> None:
    """An empty column without a name is noted; one with a cell in it is refused, as it may be an option."""
    assert parsed(b"content,style,,\na,b,,\n").notes == ("passed over: empty columns without a name",)
    assert parsed(b"content,style\na,b\n").notes == ()
    with pytest.raises(ManifestError, match="line 1: column 1 has no name; name it or remove it"):
        parsed(b",content,style\n0,a,b\n")
    with pytest.raises(ManifestError, match="column 3 has no name"):
        parsed(b"content,style,\na,b,\na,c,x\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("content;style\na;b;c\n", "expected 2 cells, found 3; put quotes around a cell that holds a semicolon"),
        ("content\tstyle\na\tb\tc\n", "put quotes around a cell that holds a tab"),
        ("content;style;steps;note\na;b;5\n", "expected 4 cells, found 3"),
        ('content, style\n"a", "b"\n', BLANK_BEFORE_QUOTE),
        ('content;style\n"a";b"\n', "unclosed or stray quote"),
    ],
)
def test_rows_stay_strict(text: str, reason: str) -> None:
    """A row of another length and a stray quote are refused with their line, whatever the separator is."""
    (row,) = parsed(text.encode()).rejected

    assert row.row == 2
    assert reason in row.reason()


def test_a_separator_in_doubt_is_a_comma() -> None:
    """Where a header could be read by two separators, nothing is guessed."""
    manifest = parsed(b"content,style,a;content;style\na,b,c\n")

    assert manifest.extra_columns == ("a;content;style",)
    with pytest.raises(ManifestError, match="expected commas, found ';' as the separator"):
        parsed(b"content;style;x\tcontent\tstyle\na;b;c\td\te\n")


def test_a_bomb_ends_at_the_limit() -> None:
    """What is packed counts unpacked; no more than the limit is ever unpacked."""
    bomb = gzip.compress(b"content,style\n" + b"\n" * 300_000_000)
    with pytest.raises(ManifestError, match="expected at most 1,000,000 bytes when unpacked, found more"):
        parsed(bomb, max_bytes=1_000_000)
    assert len(parsed(gzip.compress(PLAIN.encode()), max_bytes=sys.maxsize).pairs) == 2
    with pytest.raises(ManifestError, match="expected a gzip file, found a damaged one"):
        parsed(gzip.compress(PLAIN.encode())[:-9])


# ---------------------------------------------------------------- JSON lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"content": "a", "style": ["b"]}', "'style': expected a text or a number, found a list"),
        ('{"content": "a", "style": {"b": 1}}', "'style': expected a text or a number, found an object"),
        ('{"content": "a", "content": "c", "style": "b"}', "'content' is there twice: keep one of the two"),
        ('{"content": "a", "style": "b"', "found no JSON"),
        ('["a", "b"]', "found a list"),
        ("7", "found a single value"),
        ('{"content": "a", "style": "b", "note": "\\ud800"}', "half of a letter"),
        ("[" * 100_000, "found no JSON"),
        ('{"content": "a"}', "column 'style': expected a local path or s3://bucket/key, the cell is empty"),
        ('{"content": "a", "style": "b", "steps": 1.5}', "column 'steps': expected a whole number, got '1.5'"),
    ],
)
def test_a_bad_object_costs_its_line(line: str, reason: str) -> None:
    """Each line that is no flat object is rejected with its number, and those around it are pairs."""
    manifest = parsed(
        f'{{"content": "x", "style": "y", "steps": 3}}\n\n{line}\n{{"content": "z", "style": "y"}}\n'.encode()
    )

    assert [pair.row for pair in manifest.pairs] == [1, 4]
    assert [row.row for row in manifest.rejected] == [3]
    assert reason in manifest.rejected[0].reason()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (9_990, "'a' is there twice: keep one of the two"),
        (50_000, "expected at most 10,000 names on a line, found 50,004"),
    ],
)
def test_a_line_of_very_many_names_is_refused_at_once(names: int, reason: str) -> None:
    """A name that is there twice is found in one pass, however many there are before it."""
    many = "".join(f'"n{n}": 1, ' for n in range(names))
    line = f'{{"content": "a", "style": "b", {many}"a": 1, "a": 2}}'
    began = time.monotonic()
    (row,) = parsed(f'{{"content": "x", "style": "y"}}\n{line}\n'.encode()).rejected

    assert reason in row.reason()
    assert time.monotonic() - began < 2


def test_numbers_of_json_keep_their_digits() -> None:
    """A seed has all its digits, a number the form it was written in; true and null are cells too."""
    line = b'{"content": "a", "style": "b", "seed": 9223372036854775807, "enlarge": true, "x": 1.50, "y": null}\n'
    (pair,) = parsed(line).pairs

    assert (pair.options.seed, pair.options.enlarge) == (2**63 - 1, True)
    assert (pair.extra["x"], pair.extra["y"]) == ("1.50", "")


def test_a_misspelt_option_in_json_refuses_the_file() -> None:
    """Whichever line it is on."""
    with pytest.raises(ManifestError, match="column 'stpes' looks like 'steps'"):
        parsed(b'{"content": "a", "style": "b"}\n{"content": "a", "style": "c", "stpes": 3}\n')


def test_a_list_of_objects_is_told_from_lines() -> None:
    """One JSON value over the whole file is refused with what to write."""
    with pytest.raises(ManifestError, match="found a list of them; write each on a line of its own"):
        parsed(b'[{"content": "a", "style": "b"}]')


def test_few_bytes_do_not_become_many_cells() -> None:
    """A file whose cells would outnumber the bytes that it may have is refused before they are made."""
    names = ",".join(f'"c{n}": 1' for n in range(900))
    data = b'{"content": "a", "style": "b", %s}\n' % names.encode() + b'{"content": "a", "style": "b"}\n' * 1000
    with pytest.raises(ManifestError, match="expected at most 100,000 cells, found more"):
        parsed(data, max_bytes=100_000)
    frame = pd.DataFrame({"content": ["a"] * 2000, "style": ["b"] * 2000} | {f"c{n}": [None] * 2000 for n in range(90)})
    with pytest.raises(ManifestError, match="expected at most 100,000 bytes and cells when unpacked"):
        parsed(parquet(frame), max_bytes=100_000)


def test_a_text_that_is_there_once_counts_in_every_row() -> None:
    """A Parquet file keeps a text of many rows once; what it says is bounded all the same."""
    data = parquet(pd.DataFrame({"content": ["a"] * 1000, "style": ["b"] * 1000, "note": ["x" * 4000] * 1000}))
    assert len(data) < 20_000
    with pytest.raises(ManifestError, match="expected at most 1,000,000 letters, found more"):
        parsed(data, max_bytes=1_000_000)


def test_an_empty_object_is_an_empty_row() -> None:
    """It is passed over, and counted as a line."""
    manifest = parsed(b'{}\n{"content": "", "style": null}\n{"content": "a", "style": "b"}\n')

    assert ([pair.row for pair in manifest.pairs], manifest.rejected) == ([3], ())


# ---------------------------------------------------------------- Parquet


def test_the_types_of_a_parquet_file() -> None:
    """Whole numbers with gaps, truth, dates and categories become the cells that a CSV would have."""
    frame = pd.DataFrame(
        {
            "content": pd.Categorical(["a", "b", "b"]),
            "style": ["s", "s", "t"],
            "size_px": [64.0, None, 128.0],
            "enlarge": [True, False, True],
            "style_weight": [0.5, 1e10, None],
            "taken": pd.to_datetime(["2026-01-02", None, "2026-01-03"]),
        }
    )
    pairs = parsed(parquet(frame)).pairs

    assert [pair.row for pair in pairs] == [1, 2, 3]
    assert [pair.options.size_px for pair in pairs] == [64, 512, 128]
    assert [pair.options.enlarge for pair in pairs] == [True, False, True]
    assert [pair.options.style_weight for pair in pairs][:2] == [0.5, 1e10]
    assert [pair.extra["taken"][:10] for pair in pairs] == ["2026-01-02", "", "2026-01-03"]


def test_a_parquet_file_of_a_database() -> None:
    """Decimals lose the zeros that they are kept with, and which look like thousands; UUIDs are texts."""
    name = uuid.UUID("12345678-1234-5678-1234-567812345678")
    table = pa.table(
        {
            "content": ["a"],
            "style": ["s"],
            "steps": pa.array([Decimal("80.000")], pa.decimal128(6, 3)),
            "style_weight": pa.array([Decimal("1.500")], pa.decimal128(6, 3)),
            "key": pa.array([name.bytes], pa.uuid()),
        }
    )
    buffer = io.BytesIO()
    parquet_file.write_table(table, buffer)
    (pair,) = parsed(buffer.getvalue()).pairs

    assert (pair.options.steps, pair.options.style_weight, pair.extra["key"]) == (80, 1.5, str(name))


def test_bad_rows_of_a_parquet_file_have_numbers() -> None:
    """The n-th row is named as n; a row without any content is passed over and counted."""
    frame = pd.DataFrame({"content": ["a", None, "", "c"], "style": ["s", None, "s", "s"], "steps": [1, None, 2, 0]})
    manifest = parsed(parquet(frame))

    assert [pair.row for pair in manifest.pairs] == [1]
    assert {row.row: row.errors[0].column for row in manifest.rejected} == {3: "content", 4: "steps"}


def test_a_parquet_file_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are numbered through all parts, the last one too, and their letters are counted together."""
    monkeypatch.setattr("flows.manifest.parquet_rows.ROWS_AT_ONCE", 2)
    contents = [f"{n}.jpg" for n in range(1, 100)]
    data = parquet(pd.DataFrame({"content": contents, "style": ["s"] * 99, "note": ["x" * 100] * 99}))

    assert [(pair.row, pair.content_cell) for pair in parsed(data).pairs] == list(enumerate(contents, start=1))
    assert len(data) < 9000
    with pytest.raises(ManifestError, match="expected at most 9,000 letters, found more"):
        parsed(data, max_bytes=9000)


def test_what_parquet_cannot_say() -> None:
    """A column of lists, and a damaged file, are refused as a whole."""
    frame = pd.DataFrame({"content": ["a"], "style": ["s"], "tags": [["x"]]})
    with pytest.raises(ManifestError, match="column 'tags': expected texts or numbers, found list"):
        parsed(parquet(frame))
    with pytest.raises(ManifestError, match="column 'raw': expected texts or numbers, found binary that is no text"):
        parsed(parquet(pd.DataFrame({"content": ["a"], "style": ["s"], "raw": [b"\xff"]})))
    with pytest.raises(ManifestError, match="expected a Parquet file, found what cannot be read as one"):
        parsed(parquet(frame)[:-20])
    with pytest.raises(ManifestError, match="expected 2 rows at most"):
        parsed(parquet(pd.DataFrame({"content": ["a"] * 3, "style": list("xyz")})), max_rows=2)


# ---------------------------------------------------------------- a results table


RESULTS = (
    "run_id,pair_id,row,content,style,status,error,total_loss,steps,seed,size_px,my note\n"
    "r1,done,2,c.jpg,s.jpg,succeeded,,0.5,37,3,64,'=x\n"
    "r1,left,3,'-d.jpg,s.jpg,failed,\"no\nsuch file\",,,4,96,''-y\n"
    "r1,more,4,e.jpg,s.jpg,failed,bad,,500,4,96,'z\n"
)


def test_a_results_table_is_a_manifest() -> None:
    """Its ids stay, what a run found out is left alone, and what a spreadsheet was kept from running is undone."""
    manifest = parsed(RESULTS.encode())

    assert [(pair.row, pair.pair_id, pair.content) for pair in manifest.pairs] == [
        (2, "done", "/in/c.jpg"),
        (3, "left", "/in/-d.jpg"),
        (5, "more", "/in/e.jpg"),
    ]
    assert [(pair.options.steps, pair.options.seed, pair.options.size_px) for pair in manifest.pairs] == [
        (StylizeOptions().resolved().steps, 3, 64),
        (StylizeOptions().resolved().steps, 4, 96),
        (500, 4, 96),
    ]
    assert [pair.extra["my note"] for pair in manifest.pairs] == ["=x", "'-y", "'z"]
    assert manifest.extra_columns == ("size_px", "my note")
    (note,) = manifest.notes
    assert note.endswith("of a results table (run_id, row, status, error, total_loss); steps where a pair is done")


def test_a_results_table_stays_strict() -> None:
    """A misspelt option in it is refused, and a lone column of a table's is one that somebody named so by chance."""
    with pytest.raises(ManifestError, match="column 'stpes' looks like 'steps'"):
        parsed(RESULTS.replace("my note", "stpes").encode())
    with pytest.raises(ManifestError, match="column 'status' is written by the results table itself; rename"):
        parsed(b"content,style,status\na,b,x\n")
    with pytest.raises(ManifestError, match="column 'width' is written by the results table itself"):
        parsed(b"content,style,width,height\na,b,1,2\n")


def test_a_filtered_results_table_without_ids() -> None:
    """Some of its columns are enough to tell it."""
    (pair,) = parsed(b"content,style,status,seconds\na,b,,\n").pairs

    assert (pair.content, pair.extra) == ("/in/a", {})


def test_an_exact_table_keeps_its_apostrophes() -> None:
    """Only a CSV has one in front of what a spreadsheet would run: Parquet holds every text exactly."""
    frame = pd.DataFrame({"content": ["'-a"], "style": ["s"], "status": ["failed"], "run_id": ["r"], "x": ["'=1"]})
    (pair,) = parsed(parquet(frame)).pairs

    assert (pair.content, pair.extra) == ("/in/'-a", {"x": "'=1"})


def test_a_file_that_was_packed_twice_is_refused() -> None:
    """It is unpacked once, and called by its name."""
    with pytest.raises(ManifestError, match="found a gzip file in a gzip file; unpack it"):
        parsed(gzip.compress(gzip.compress(PLAIN.encode())))

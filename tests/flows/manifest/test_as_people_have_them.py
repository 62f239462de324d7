"""flows.manifest: files of spreadsheets, notebooks and other programs are read, and notes say what was ignored."""

import gzip
import io
import resource
import sys
import time
import uuid
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as parquet_file

from flows.errors import ManifestError, WorkerDied
from flows.manifest import parquet_rows, parse_manifest
from flows.manifest.csv_rows import BLANK_BEFORE_QUOTE
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions

ROWS = [
    {"content": "c.jpg", "style": "s.jpg", "steps": 7, "note": "one, two"},
    {"content": "d é.jpg", "style": "s.jpg", "steps": None, "note": None},
]
PLAIN = 'content,style,steps,note\nc.jpg,s.jpg,7,"one, two"\nd é.jpg,s.jpg,,\n'


def parsed(data: bytes, **bounds: int) -> Manifest:
    """Return the manifest parsed from these bytes."""
    return parse_manifest(data, "/in/pairs.csv", StylizeOptions(), **bounds)


def contents_of(manifest: Manifest) -> list[tuple[str, str, int | None, dict[str, str]]]:
    """Return what the pairs of a manifest have, apart from their ids."""
    return [(pair.content, pair.style, pair.options.steps, pair.extra) for pair in manifest.pairs]


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a frame as a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def json_lines(frame: pd.DataFrame) -> bytes:
    """Return a frame as JSON lines."""
    return frame.to_json(orient="records", lines=True).encode()


FORMATS = {
    "semicolons": PLAIN.replace(",", ";").replace("one; two", "one, two").encode(),
    "tabs": PLAIN.replace(",", "\t").replace("one\t two", "one, two").encode(),
    "a line with the separator": b"sep=;\r\n" + PLAIN.replace(",", ";").replace("one; two", "one, two").encode(),
    "Excel's Unicode text": PLAIN.replace(",", "\t").replace("one\t two", "one, two").encode("utf-16"),
    "UTF-16, big-endian": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN.encode(),
    "an end-of-file character": PLAIN.encode() + b"\x1a\r\n",
    "empty columns": b"\n".join(line + b",," for line in PLAIN.encode().splitlines()),
    "empty columns, short rows": PLAIN.replace("note\n", "note,,\n").encode(),
    "an empty column first": b"\n".join(b"," + line for line in PLAIN.encode().splitlines()),
    "empty cells at the end": PLAIN.replace(',"one, two"\n', ',"one, two",,\n').encode(),
    "empty rows": PLAIN.encode() + b",,,\n , ,\t,\n",
    "empty rows of quoted cells": PLAIN.encode() + b'"","","",""\n"",,"",\n"",""\n" ","","",""\n',
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip of several members": gzip.compress(PLAIN[:30].encode()) + gzip.compress(PLAIN[30:].encode()),
    "Parquet": parquet(pd.DataFrame(ROWS)),
    "Parquet of categories": parquet(pd.DataFrame(ROWS).astype({"content": "category", "style": "category"})),
    "JSON lines": json_lines(pd.DataFrame(ROWS)),
    "JSON lines in UTF-16": ("\ufeff\r\n" + json_lines(pd.DataFrame(ROWS)).decode()).encode("utf-16-le"),
    "JSON lines in UTF-16, big-endian": ("\ufeff" + json_lines(pd.DataFrame(ROWS)).decode()).encode("utf-16-be"),
    "JSON lines with an empty row": json_lines(pd.DataFrame(ROWS)) + b'{"content": " ", "style": null}\n',
    "gzipped JSON lines": gzip.compress(b"\xef\xbb\xbf\n" + json_lines(pd.DataFrame(ROWS))),
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_manifest_means_the_same_in_every_format(form: str) -> None:
    """Whatever program wrote it, a table with the same cells gives the same pairs with the same ids."""
    manifest, plain = parsed(FORMATS[form]), parsed(PLAIN.encode())

    assert contents_of(manifest) == contents_of(plain)
    assert [pair.pair_id for pair in manifest.pairs] == [pair.pair_id for pair in plain.pairs]
    assert manifest.rejected == ()
    assert manifest.extra_columns == ("note",)


def test_ignored_columns_are_noted() -> None:
    """An empty column without a name is ignored with a note; with a filled cell it is refused: it may be an option."""
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
def test_bad_rows_are_rejected_with_any_separator(text: str, reason: str) -> None:
    """A row of the wrong width, or with a stray quote, is rejected with its line, whatever the separator is."""
    (row,) = parsed(text.encode()).rejected

    assert row.row == 2
    assert reason in row.reason()


def test_an_ambiguous_separator_is_taken_for_a_comma() -> None:
    """If two separators would fit the header, it is read with commas and no other separator is guessed."""
    manifest = parsed(b"content,style,a;content;style\na,b,c\n")

    assert manifest.extra_columns == ("a;content;style",)
    with pytest.raises(ManifestError, match="expected commas, found ';' as the separator"):
        parsed(b"content;style;x\tcontent\tstyle\na;b;c\td\te\n")


def test_a_gzip_bomb_is_refused_at_the_limit() -> None:
    """Decompression ends at the limit on bytes, before it reaches the damaged end of the file."""
    bomb = gzip.compress(b"content,style\n") + gzip.compress(b"\n" * 3_000_000) * 100
    with pytest.raises(ManifestError, match="expected at most 1,000,000 bytes when unpacked, found more"):
        parsed(bomb[:-9], max_bytes=1_000_000)
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
def test_a_bad_object_is_rejected_with_its_line(line: str, reason: str) -> None:
    """A line with a bad value, or without a flat object, is rejected with its number; the lines around it are pairs."""
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
def test_a_line_of_very_many_names_is_rejected_quickly(names: int, reason: str) -> None:
    """A repeated name is found in one pass, however many names precede it; a line of too many names is rejected."""
    many = "".join(f'"n{n}": 1, ' for n in range(names))
    line = f'{{"content": "a", "style": "b", {many}"a": 1, "a": 2}}'
    began = time.monotonic()
    (row,) = parsed(f'{{"content": "x", "style": "y"}}\n{line}\n'.encode()).rejected

    assert reason in row.reason()
    assert time.monotonic() - began < 2


def test_numbers_of_json_keep_their_digits() -> None:
    """A seed keeps all of its digits and a number the form in which it was written; true and null become cells too."""
    line = b'{"content": "a", "style": "b", "seed": 9223372036854775807, "enlarge": true, "x": 1.50, "y": null}\n'
    (pair,) = parsed(line).pairs

    assert (pair.options.seed, pair.options.enlarge) == (2**63 - 1, True)
    assert (pair.extra["x"], pair.extra["y"]) == ("1.50", "")


def test_a_misspelt_option_in_json_refuses_the_file() -> None:
    """A misspelt option is an error of the whole file, even if it is on a later line only."""
    with pytest.raises(ManifestError, match="column 'stpes' looks like 'steps'"):
        parsed(b'{"content": "a", "style": "b"}\n{"content": "a", "style": "c", "stpes": 3}\n')


def test_a_json_list_is_refused() -> None:
    """A JSON list over the whole file is refused with the advice to write each object on a line of its own."""
    with pytest.raises(ManifestError, match="found a list of them; write each on a line of its own"):
        parsed(b'[{"content": "a", "style": "b"}]')


def test_a_file_of_too_many_cells_is_refused() -> None:
    """JSON lines and Parquet files with more cells than the limit on bytes are refused, however few bytes they have."""
    names = ",".join(f'"c{n}": 1' for n in range(900))
    data = b'{"content": "a", "style": "b", %s}\n' % names.encode() + b'{"content": "a", "style": "b"}\n' * 1000
    with pytest.raises(ManifestError, match="expected at most 100,000 cells, found more"):
        parsed(data, max_bytes=100_000)
    frame = pd.DataFrame({"content": ["a"] * 2000, "style": ["b"] * 2000} | {f"c{n}": [None] * 2000 for n in range(90)})
    with pytest.raises(ManifestError, match="expected at most 100,000 bytes and cells when unpacked"):
        parsed(parquet(frame), max_bytes=100_000)


def test_a_repeated_text_of_parquet_counts_in_every_row() -> None:
    """A text that a Parquet file stores once for many rows counts towards the limit once for each row."""
    data = parquet(pd.DataFrame({"content": ["a"] * 1000, "style": ["b"] * 1000, "note": ["x" * 4000] * 1000}))
    assert len(data) < 20_000
    with pytest.raises(ManifestError, match="expected at most 1,000,000 letters, found more"):
        parsed(data, max_bytes=1_000_000)


def test_an_empty_object_is_an_empty_row() -> None:
    """An object without any text is skipped, and counts as a line."""
    manifest = parsed(b'{}\n{"content": "", "style": null}\n{"content": "a", "style": "b"}\n')

    assert ([pair.row for pair in manifest.pairs], manifest.rejected) == ([3], ())


# ---------------------------------------------------------------- Parquet


def test_types_of_a_parquet_file_become_cells() -> None:
    """Integers with gaps, booleans, dates and categories become the cells that a CSV would have."""
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


def test_decimals_and_uuids_of_a_parquet_file_become_cells() -> None:
    """Decimals lose their trailing zeros, and UUIDs become text."""
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


def test_rows_of_a_parquet_file_are_numbered() -> None:
    """A rejected row is named by its number; a row without any text is skipped, and counts."""
    frame = pd.DataFrame({"content": ["a", None, "", "c"], "style": ["s", None, "s", "s"], "steps": [1, None, 2, 0]})
    manifest = parsed(parquet(frame))

    assert [pair.row for pair in manifest.pairs] == [1]
    assert {row.row: row.errors[0].column for row in manifest.rejected} == {3: "content", 4: "steps"}


def test_a_parquet_file_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are numbered across the parts in which the file is read, and the limit is for the letters of all parts."""
    monkeypatch.setattr("flows.manifest.parquet_rows.ROWS_AT_ONCE", 2)
    contents = [f"{n}.jpg" for n in range(1, 100)]
    data = parquet(pd.DataFrame({"content": contents, "style": ["s"] * 99, "note": ["x" * 100] * 99}))

    assert [(pair.row, pair.content_cell) for pair in parsed(data).pairs] == list(enumerate(contents, start=1))
    assert len(data) < 9000
    with pytest.raises(ManifestError, match="expected at most 9,000 letters, found more"):
        parsed(data, max_bytes=9000)


def test_an_unusable_parquet_file_is_refused() -> None:
    """A column of lists or of binary data, a damaged file, and a file of too many rows are refused as a whole."""
    frame = pd.DataFrame({"content": ["a"], "style": ["s"], "tags": [["x"]]})
    with pytest.raises(ManifestError, match="column 'tags': expected texts or numbers, found list"):
        parsed(parquet(frame))
    with pytest.raises(ManifestError, match="column 'raw': expected texts or numbers, found binary that is no text"):
        parsed(parquet(pd.DataFrame({"content": ["a"], "style": ["s"], "raw": [b"\xff"]})))
    with pytest.raises(ManifestError, match="expected a Parquet file, found what cannot be read as one"):
        parsed(parquet(frame)[:-20])
    with pytest.raises(ManifestError, match="expected 2 rows at most"):
        parsed(parquet(pd.DataFrame({"content": ["a"] * 3, "style": list("xyz")})), max_rows=2)


def test_a_parquet_file_that_unpacks_to_very_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file whose rows share one long binary value declares little, and takes a gigabyte: it is refused once it
    has taken the memory that reading may take, which is not that of this process.
    """
    monkeypatch.setattr("flows.manifest.parquet_rows.MEMORY_BYTES", 300_000_000)
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([b"a" * 500_000]))
    buffer = io.BytesIO()
    table = pa.table({"content": ["c"] * 2000, "style": ["s"] * 2000, "note": value})
    parquet_file.write_table(table, buffer, store_schema=False)
    assert len(buffer.getvalue()) < 50_000

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ManifestError, match=r"expected a Parquet file that is read in 0\.3 GB of memory"):
        parsed(buffer.getvalue(), max_bytes=1_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_parquet_file_with_a_wrong_index_is_refused() -> None:
    """A file whose rows name a text that it does not have is damaged, and refused as such."""
    buffer = io.BytesIO()
    parquet_file.write_table(pa.table({"content": ["a", "b"], "style": ["s", "s"]}), buffer, compression="none")
    two_words, one_word = b"L\x15\x04\x15\x00", b"L\x15\x02\x15\x00"  # the header of a page with texts
    data = buffer.getvalue()
    assert two_words in data

    with pytest.raises(ManifestError, match="expected a Parquet file, found what cannot be read as one"):
        parsed(data.replace(two_words, one_word, 1))


ENDS = {
    "crashes": ("SIGSEGV", ManifestError, r"found what cannot be read as one \(its reader ends with SIGSEGV\)"),
    "takes too long": ("SIGXCPU", ManifestError, "expected a Parquet file that is read in 300 s, found one that takes"),
    "is killed": ("SIGKILL", WorkerDied, "the process that reads it was killed; there may be too little memory"),
    "is stopped": ("SIGTERM", WorkerDied, r"the process that reads it was stopped, or could not start \(SIGTERM\)"),
}


@pytest.mark.parametrize(("name", "kind", "message"), ENDS.values(), ids=ENDS)
def test_the_end_of_the_reading_process_is_named(
    name: str, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the process that reads a Parquet file dies, the error says of what; a kill or stop is no fault of the file."""
    dying = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    monkeypatch.setattr("flows.manifest.parquet_rows._PROGRAM", dying)
    with pytest.raises(kind, match=message):
        parsed(parquet(pd.DataFrame(ROWS)))


def test_a_process_that_cannot_start_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the reading process ends with an error of its own, as where a package is missing, the file may be intact."""
    monkeypatch.setattr("flows.manifest.parquet_rows._PROGRAM", "import a_package_that_is_missing")
    with pytest.raises(WorkerDied, match=r"was stopped, or could not start \(exit code 1\)"):
        parsed(parquet(pd.DataFrame(ROWS)))


def test_a_process_that_dies_while_it_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process that reads a Parquet file is killed in the middle of a line, the half line is not read."""
    dying = 'import os, sys, signal; os.write(1, b\'{"titles": ["con\'); os.kill(os.getpid(), signal.SIGKILL)'
    monkeypatch.setattr("flows.manifest.parquet_rows._PROGRAM", dying)
    with pytest.raises(WorkerDied, match="the process that reads it was killed"):
        parsed(parquet(pd.DataFrame(ROWS)))


BUSY = """
from flows.manifest import parquet_process

def never_ending(*_):
    while True:
        pass

parquet_process._opened = never_ending
parquet_process.main()
"""


def test_a_parquet_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes more processor time than it may is at fault itself; nothing says that memory was short."""
    monkeypatch.setattr("flows.manifest.parquet_rows._PROGRAM", BUSY)
    monkeypatch.setattr("flows.manifest.parquet_rows.SECONDS", 1)
    with pytest.raises(ManifestError, match="expected a Parquet file that is read in 1 s, found one that takes longer"):
        parsed(parquet(pd.DataFrame(ROWS)))


def test_a_parquet_file_is_read_under_a_lower_limit_on_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processes of a user may take less time than a reader, as by `ulimit -t`, their own limit applies."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (100, 100))\n"
    monkeypatch.setattr("flows.manifest.parquet_rows._PROGRAM", limited + parquet_rows._PROGRAM)

    assert [pair.content_cell for pair in parsed(parquet(pd.DataFrame(ROWS))).pairs] == ["c.jpg", "d é.jpg"]


# ---------------------------------------------------------------- results tables


RESULTS = (
    "run_id,pair_id,row,content,style,status,error,total_loss,steps,seed,size_px,my note\n"
    "r1,done,2,c.jpg,s.jpg,succeeded,,0.5,37,3,64,'=x\n"
    "r1,left,3,'-d.jpg,s.jpg,failed,\"no\nsuch file\",,,4,96,''-y\n"
    "r1,more,4,e.jpg,s.jpg,failed,bad,,500,4,96,'z\n"
)


def test_a_results_table_is_a_manifest() -> None:
    """Ids of a results table are kept, its results are ignored, and the `'` before possible formulas is removed."""
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


def test_misspelt_and_reserved_columns_are_refused_in_results_tables() -> None:
    """A misspelt option is refused in a results table; in any other table its columns are refused."""
    with pytest.raises(ManifestError, match="column 'stpes' looks like 'steps'"):
        parsed(RESULTS.replace("my note", "stpes").encode())
    with pytest.raises(ManifestError, match="column 'status' is written by the results table itself; rename"):
        parsed(b"content,style,status\na,b,x\n")
    with pytest.raises(ManifestError, match="column 'width' is written by the results table itself"):
        parsed(b"content,style,width,height\na,b,1,2\n")


def test_a_filtered_results_table_is_recognised() -> None:
    """A few of its columns are enough to recognise a results table, even if it has no ids."""
    (pair,) = parsed(b"content,style,status,seconds\na,b,,\n").pairs

    assert (pair.content, pair.extra) == ("/in/a", {})


def test_a_results_table_in_parquet_keeps_its_apostrophes() -> None:
    """A `'` before a possible formula is removed from CSV only, because Parquet stores every text as it is."""
    frame = pd.DataFrame({"content": ["'-a"], "style": ["s"], "status": ["failed"], "run_id": ["r"], "x": ["'=1"]})
    (pair,) = parsed(parquet(frame)).pairs

    assert (pair.content, pair.extra) == ("/in/'-a", {"x": "'=1"})


def test_a_file_compressed_twice_is_refused() -> None:
    """A gzip file in a gzip file is not decompressed further; the message says what was found."""
    with pytest.raises(ManifestError, match="found a gzip file in a gzip file; unpack it"):
        parsed(gzip.compress(gzip.compress(PLAIN.encode())))

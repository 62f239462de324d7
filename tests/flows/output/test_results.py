"""flows.output.results: the results table of a run, built from the manifest and the ledger."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import storage
from flows.manifest.parse import parse_manifest
from flows.output.ledger import Ledger
from flows.output.outcomes import outcomes
from flows.output.results import Row, TableFiles, counts, table_rows, write_tables
from flows.records.attempts import PairRecord
from flows.records.columns import REPEATED_TEXTS, RESULT_COLUMNS, TIMES, WHOLE_NUMBERS
from flows.records.pairs import Manifest
from flows.spreadsheets import as_plain_text, without_guard
from nst_core.options import StylizeOptions
from tests.flows.builders import (
    FINGERPRINT,
    OTHER_FINGERPRINT,
    attempt_record,
    commit_with_image,
    pair_record,
    run_record,
)

MANIFEST = (
    "id,content,style,artist,code\n"
    "cat,photos/cat.png,../waves.png,Hokusai,007\n"
    'dog,/abs/dog.png,s3://bucket/waves.png,"1, ""2""",1e5\n'
    ",,waves.png,nobody,NA\n"
    "owl,owl.png,waves.png,,0012\n"
    "fox,fox.png,waves.png, spaced ,true\n"
)
"""Has rows on lines 2 to 6; the one on line 4 is rejected."""


def read(text: str = MANIFEST) -> Manifest:
    return parse_manifest(text.encode(), "/in/pairs.csv", StylizeOptions(size_px=64, steps=20))


@pytest.fixture
def output(tmp_path: Path) -> str:
    """An output in which cat is done, dog has failed twice, and owl and fox are pending."""
    ledger = Ledger(str(tmp_path / "out"))
    commit_with_image(str(tmp_path / "out"), pair_record("cat", run_id="an earlier run"))
    ledger.add_attempt(attempt_record("dog", error="the first reason"))
    ledger.add_attempt(
        attempt_record("dog", attempt=2, error_kind="not_found", error="the latest reason", run_id="the run before")
    )
    return str(tmp_path / "out")


def rows_of(output: str, manifest: Manifest | None = None, fingerprint: str = FINGERPRINT) -> list[Row]:
    manifest = manifest or read()
    run = run_record({pair.pair_id: fingerprint for pair in manifest.pairs}, run_id="this run")
    return table_rows(manifest, run, Ledger(output))


def row_of(output: str, pair_id: str) -> Row:
    (row,) = [row for row in rows_of(output) if row["pair_id"] == pair_id]
    return row


# ---------------------------------------------------------------- rows


def test_the_table_has_one_row_per_manifest_row_in_order(output: str) -> None:
    """Every row of the manifest, rejected or not, has one row of the table, in the same order."""
    rows = rows_of(output)

    assert [(row["row"], row["pair_id"], row["status"]) for row in rows] == [
        (2, "cat", "succeeded"),
        (3, "dog", "failed"),
        (4, "", "rejected"),
        (5, "owl", "pending"),
        (6, "fox", "pending"),
    ]


def test_a_row_that_an_earlier_version_refused_is_pending(output: str) -> None:
    """A row that was rejected when the run started, and is valid in this version, is pending: a run would do it."""
    known = {pair.pair_id: FINGERPRINT for pair in read().pairs if pair.pair_id != "owl"}
    rows = table_rows(read(), run_record(known), Ledger(output))

    assert [row["status"] for row in rows if row["pair_id"] == "owl"] == ["pending"]
    assert [row["status"] for row in rows if row["pair_id"] == "cat"] == ["succeeded"]


def test_the_columns_are_the_documented_ones_then_the_manifest_s_own(output: str) -> None:
    """Each row has RESULT_COLUMNS, followed by the manifest's extra columns, in this order."""
    for row in rows_of(output):
        assert list(row) == [*RESULT_COLUMNS, "artist", "code"]


def test_extra_columns_are_unchanged(output: str) -> None:
    """Cells of the manifest's extra columns keep their text, in rejected rows too."""
    assert [(row["artist"], row["code"]) for row in rows_of(output)] == [
        ("Hokusai", "007"),
        ('1, "2"', "1e5"),
        ("nobody", "NA"),
        ("", "0012"),
        (" spaced ", "true"),
    ]


def test_an_extra_column_may_have_the_name_of_a_record_s_field(tmp_path: Path) -> None:
    """Fields of a record that are not in the table do not replace a manifest's column `timeline` or `notes`."""
    record = pair_record("cat", timeline="timelines/cat-01234567.gif", notes=("a note",))
    commit_with_image(str(tmp_path), record)
    manifest = read("id,content,style,timeline,notes\ncat,cat.png,waves.png,spring,mine\n")
    (row,) = rows_of(str(tmp_path), manifest)

    assert (row["status"], row["timeline"], row["notes"]) == ("succeeded", "spring", "mine")


def test_a_table_that_is_written_in_parts_is_one_table(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CSV has one header, and every row once and in order, those of the last part too."""
    monkeypatch.setattr("flows.output.results.ROWS_AT_ONCE", 2)
    written = write_tables(rows_of(output), output)
    titles, *lines = csv.reader(io.StringIO(storage.read(written.csv).decode()))

    assert titles == [*RESULT_COLUMNS, "artist", "code"]
    assert [line[titles.index("row")] for line in lines] == ["2", "3", "4", "5", "6"]


def test_addresses_are_shown_as_the_manifest_has_them(output: str) -> None:
    """`content` and `style` are the manifest's cells, so that the table can be joined with it."""
    assert [(row["content"], row["style"]) for row in rows_of(output)] == [
        ("photos/cat.png", "../waves.png"),
        ("/abs/dog.png", "s3://bucket/waves.png"),
        ("", "waves.png"),
        ("owl.png", "waves.png"),
        ("fox.png", "waves.png"),
    ]


def test_a_succeeded_row_shows_its_record(output: str) -> None:
    """A succeeded row has every value of the record that has a column, and no error."""
    row = row_of(output, "cat")
    record = pair_record("cat", run_id="an earlier run").model_dump()
    shared = set(PairRecord.model_fields) & set(RESULT_COLUMNS) - {"content", "style"}

    assert shared > {"total_loss", "steps", "seconds", "output"}
    assert {name: row[name] for name in shared} == {name: record[name] for name in shared}
    assert (row["status"], row["error_kind"], row["error"]) == ("succeeded", None, None)


@pytest.mark.parametrize("named", ["../../secret.png", "images/../../secret.png", "/etc/secret.png", "images/a/b.png"])
def test_a_file_outside_of_the_output_s_images_is_no_image(output: str, named: str) -> None:
    """A record may be forged, so files outside of the output's images are never linked, read or copied."""
    Ledger(output).commit(pair_record("owl", output=named))
    manifest = read()
    run = run_record({pair.pair_id: FINGERPRINT for pair in manifest.pairs})

    found = {one.row["pair_id"]: one for one in outcomes(manifest, run, Ledger(output)) if one.record}

    assert found["owl"].image is None
    assert found["cat"].image == "images/cat-01234567.png"


def test_versions_of_images_are_one_cell(output: str) -> None:
    """Object versions from S3 buckets with versioning are one cell of JSON by column; other rows have none."""
    versions = {"content": "3sL4kqtJlcpXroDTDmJ", "style_2": "v,2"}
    commit_with_image(output, pair_record("owl", versions=versions))
    written = write_tables(rows_of(output), output)

    assert json.loads(row_of(output, "owl")["version_ids"]) == versions
    assert [row_of(output, pair_id)["version_ids"] for pair_id in ("cat", "dog", "fox")] == [None] * 3
    (cell,) = [
        row["version_ids"]
        for row in csv.DictReader(io.StringIO(Path(written.csv).read_text()))
        if row["pair_id"] == "owl"
    ]
    assert json.loads(cell) == versions


def test_notes_on_images_are_one_cell(output: str) -> None:
    """Notes are joined in their order on one line; pairs that are not done have none."""
    commit_with_image(output, pair_record("owl", notes=("content: several frames", "size_px 512:\n48 px")))

    assert row_of(output, "owl")["picture_warnings"] == "content: several frames; size_px 512:\\n48 px"
    assert row_of(output, "cat")["picture_warnings"] == "content: transparency laid over white"
    assert row_of(output, "dog")["picture_warnings"] is None


def test_a_failed_row_shows_its_latest_attempt(output: str) -> None:
    """A failed row has the reason, run and number of the latest attempt, and no losses."""
    row = row_of(output, "dog")

    assert (row["status"], row["error_kind"], row["error"]) == ("failed", "not_found", "the latest reason")
    assert (row["run_id"], row["attempts"], row["seconds"]) == ("the run before", 2, 0.5)
    assert (row["started_at"], row["finished_at"]) == ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00")
    assert (row["total_loss"], row["output"]) == (None, None)
    assert (row["recipe"], row["seed"]) == ("relative", 0)


def test_a_rejected_row_shows_its_reason(output: str) -> None:
    """A rejected row has the reason from the manifest, and no attempt."""
    (row,) = [row for row in rows_of(output) if row["row"] == 4]

    assert (row["status"], row["error_kind"], row["attempts"]) == ("rejected", "manifest", 0)
    assert row["error"] == "column 'content': expected a local path or s3://bucket/key, the cell is empty"
    assert row["run_id"] == "this run"


def test_a_pending_row_shows_its_options(output: str) -> None:
    """A row without an attempt has the run and the options, and nothing of a result."""
    row = row_of(output, "owl")
    digest = StylizeOptions(size_px=64, steps=20).digest()

    assert (row["run_id"], row["attempts"], row["options_digest"]) == ("this run", 0, digest)
    assert (row["error"], row["total_loss"], row["seconds"]) == (None, None, None)


def test_a_record_counts_more_than_failed_attempts(output: str) -> None:
    """Once a pair has a record, its row is succeeded, whatever failed before."""
    commit_with_image(output, pair_record("dog", attempts=3))
    row = row_of(output, "dog")

    assert (row["status"], row["attempts"], row["error"], row["total_loss"]) == ("succeeded", 3, None, 0.1 + 0.2)


def test_records_with_other_fingerprints_do_not_count(output: str) -> None:
    """A pair that is done or failed under another fingerprint is pending under this one."""
    statuses = [row["status"] for row in rows_of(output, fingerprint=OTHER_FINGERPRINT)]

    assert statuses == ["pending", "pending", "rejected", "pending", "pending"]


@pytest.mark.parametrize(
    "header", ["content,style,steps,seed", " content , style , steps , seed "], ids=["plain", "spaced"]
)
def test_a_rejected_row_has_no_steps_and_seed(tmp_path: Path, header: str) -> None:
    """Its cells appear only in the reason: the columns `steps` and `seed` are numbers of what was done."""
    rows = rows_of(str(tmp_path), read(f"{header}\na.png,b.png,ten,3\nc.png,d.png,5,-1\n"))

    assert [(row["steps"], row["seed"]) for row in rows] == [(None, None)] * 2
    assert [(row["content"], row["style"]) for row in rows] == [("a.png", "b.png"), ("c.png", "d.png")]


def test_a_rejected_row_has_its_id_however_the_header_is_spaced(tmp_path: Path) -> None:
    """Spaces around the names in a header do not change the meaning of the cells."""
    rows = rows_of(str(tmp_path), read("id , content,style \nbad,,b.png\n"))

    assert [(row["pair_id"], row["content"], row["style"]) for row in rows] == [("bad", "", "b.png")]


def test_rows_are_counted_by_status(output: str) -> None:
    """`counts` has every status, also those without rows."""
    assert counts(rows_of(output)) == {"succeeded": 1, "failed": 1, "rejected": 1, "pending": 2}
    assert counts([]) == {"succeeded": 0, "failed": 0, "rejected": 0, "pending": 0}


# ---------------------------------------------------------------- files


def tables(rows: list[Row], output: str) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """Write the table; return the Parquet file and the CSV as pandas reads them, and the CSV's cells as text."""
    written = write_tables(rows, output)
    data = storage.read(written.csv)
    whole = dict.fromkeys(WHOLE_NUMBERS, "Int64")
    text = pd.read_csv(
        io.BytesIO(data), dtype={"artist": str, "code": str} | whole, keep_default_na=False, na_values=[""]
    )
    cells = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    return pd.read_parquet(io.BytesIO(storage.read(written.parquet))), text, cells


def plain(value: Any) -> Any:
    """Return a cell of a frame as a Python value; missing values and empty texts become None."""
    return None if pd.isna(value) or value == "" else value.item() if hasattr(value, "item") else value


def values(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: plain(frame[name].iloc[index]) for name in frame.columns} for index in range(len(frame))]


def test_both_files_have_all_rows(output: str) -> None:
    """CSV and Parquet have every row, every column and every digit of a value."""
    rows = rows_of(output)
    parquet, text, _ = tables(rows, output)
    expected = [{name: None if value == "" else value for name, value in row.items()} for row in rows]

    assert list(parquet.columns) == list(text.columns) == list(rows[0])
    assert values(text) == expected
    in_time = [row | {name: row[name] and pd.Timestamp(row[name]) for name in TIMES} for row in expected]
    assert values(parquet) == in_time


def test_the_files_lie_at_the_top_of_the_output(output: str) -> None:
    """results.csv and results.parquet lie in the output's top folder, and replace those of an earlier run."""
    first = write_tables(rows_of(output), output)
    commit_with_image(output, pair_record("owl"))
    second = write_tables(rows_of(output), output)

    assert first == second == TableFiles(f"{output}/results.csv", f"{output}/results.parquet")
    assert list(pd.read_parquet(second.parquet)["status"]).count("succeeded") == 2


def test_whole_numbers_stay_whole(output: str) -> None:
    """Steps, sizes and seeds are written as 64 and not 64.0, although other rows have none."""
    parquet, _, cells = tables(rows_of(output), output)

    for name in WHOLE_NUMBERS:
        assert str(parquet[name].dtype) == "Int64"
    assert [row["width"] for row in cells] == ["64", "", "", "", ""]
    assert [row["seed"] for row in cells] == ["7", "0", "", "0", "0"]


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1])
def test_no_digit_of_a_seed_is_lost(output: str, seed: int) -> None:
    """A seed that is too large for a float keeps all digits, also next to a rejected row without a seed."""
    commit_with_image(output, pair_record("owl", seed=seed))
    parquet, _, cells = tables(rows_of(output), output)

    assert parquet["seed"].iloc[3] == seed
    assert cells[3]["seed"] == str(seed)


def test_numbers_that_are_text_stay_text(output: str) -> None:
    """007, 1e5, NA and true in an extra column are the same characters in the CSV and in the Parquet file."""
    parquet, _, cells = tables(rows_of(output), output)

    assert list(parquet["code"]) == ["007", "1e5", "NA", "0012", "true"]
    assert [row["code"] for row in cells] == ["007", "1e5", "NA", "0012", "true"]
    assert [row["artist"] for row in cells] == ["Hokusai", '1, "2"', "nobody", "", " spaced "]


def test_line_breaks_and_other_scripts_are_kept(tmp_path: Path) -> None:
    """An extra cell of several lines, in any script, is one cell of one row in both files."""
    note = 'first\nsecond "quoted"\r\n猫, ö'
    escaped = note.replace('"', '""')
    manifest = read(f'content,style,note\na.png,b.png,"{escaped}"\nc.png,d.png,x\n')
    parquet, _, cells = tables(rows_of(str(tmp_path), manifest), str(tmp_path))

    assert list(parquet["note"]) == [note, "x"]
    assert [row["note"] for row in cells] == [note, "x"]


@pytest.mark.parametrize(
    "text",
    [
        "content,style,note\n,,x\n",
        "content,style\na.png,b.png\n",
        "content,style,steps\na.png,b.png,20\nc.png,d.png,ten\n",
        "content,style,seed,steps\na.png,b.png,x,y\n",
        'content,style,note\na.png,"b.png,x\n',
        "content,style,steps\na.png,b.png,20,too many\n",
    ],
    ids=["only rejected", "only pending", "steps in words", "seed in words", "stray quote", "too many cells"],
)
def test_a_table_can_be_written_whatever_was_rejected(tmp_path: Path, text: str) -> None:
    """Rows that are all pending or rejected make a table too, even if cells are missing or are not numbers."""
    rows = rows_of(str(tmp_path), read(text))
    parquet, _, cells = tables(rows, str(tmp_path))

    assert list(parquet["status"]) == [row["status"] for row in cells] == [row["status"] for row in rows]
    assert list(parquet["row"]) == [row["row"] for row in rows]


def test_the_parquet_schema_does_not_depend_on_the_rows(tmp_path: Path, output: str) -> None:
    """Tables of several runs can be read as one: losses are floats even if no row has one."""
    import pyarrow.parquet

    write_tables(rows_of(output), output)
    write_tables(rows_of(str(tmp_path / "new"), fingerprint=OTHER_FINGERPRINT), str(tmp_path / "new"))
    full, empty = (
        pyarrow.parquet.read_schema(Path(folder) / "results.parquet").remove_metadata()
        for folder in (output, tmp_path / "new")
    )

    assert empty == full


def test_times_have_a_time_zone(output: str) -> None:
    """A pair's start and end are timestamps in UTC to the microsecond; pending and rejected rows have none."""
    parquet, _, cells = tables(rows_of(output), output)

    assert {str(parquet[name].dtype) for name in TIMES} == {"datetime64[us, UTC]"}
    assert list(parquet["finished_at"].isna()) == [False, False, True, True, True]
    assert parquet["finished_at"].iloc[0] - parquet["started_at"].iloc[0] == pd.Timedelta(seconds=2)
    assert cells[0]["started_at"] == "2026-01-01T00:00:00+00:00"


def test_repeated_texts_are_dictionaries(output: str) -> None:
    """Repeated texts, such as statuses and styles, are dictionaries in the file and categories in
    pandas; ids are not.
    """
    import pyarrow.parquet

    parquet_address = write_tables(rows_of(output), output).parquet
    schema = pyarrow.parquet.read_schema(parquet_address)
    table = pd.read_parquet(parquet_address)

    shared = {name for name in schema.names if str(schema.field(name).type).startswith("dictionary")}
    assert shared == set(REPEATED_TEXTS)
    assert shared == {name for name in table.columns if str(table[name].dtype) == "category"}
    assert list(table["status"].value_counts()[["pending", "succeeded", "failed", "rejected"]]) == [2, 1, 1, 1]


def test_a_dictionary_has_room_for_a_thousand_texts(tmp_path: Path) -> None:
    """A run with a thousand styles has all of them in its table."""
    manifest = read("content,style\n" + "".join(f"a.png,style-{n}.png\n" for n in range(1000)))
    address = write_tables(rows_of(str(tmp_path), manifest), str(tmp_path)).parquet

    assert list(pd.read_parquet(address)["style"].astype(str)) == [f"style-{n}.png" for n in range(1000)]


def test_tables_of_many_outputs_are_one_data_set(tmp_path: Path) -> None:
    """Outputs below `part=...`, some without a finished pair, are read as one table with the columns run and part."""
    import pyarrow.dataset

    parts = 12
    for part in range(parts):
        output = str(tmp_path / f"part={part:03d}")
        if part % 3:
            commit_with_image(output, pair_record("cat", total_loss=float(part)))
        manifest = read(f"id,content,style,tag\ncat,cat.png,style-{part}.png,x\n")
        run = run_record({"cat": FINGERPRINT}, run_id=f"run {part}")
        write_tables(table_rows(manifest, run, Ledger(output)), output)

    files = sorted(map(str, tmp_path.glob("part=*/results.parquet")))
    text = pyarrow.dataset.partitioning(pyarrow.schema([("part", pyarrow.string())]), flavor="hive")
    table = pyarrow.dataset.dataset(files, partitioning=text).to_table().to_pandas()
    assert list(table["part"].astype(str)) == [f"{part:03d}" for part in range(parts)]
    assert list(table["style"].astype(str)) == [f"style-{part}.png" for part in range(parts)]
    assert list(table["run_id"].astype(str))[::3] == [f"run {part}" for part in range(0, parts, 3)]
    assert list(table["total_loss"].dropna()) == [part for part in range(parts) if part % 3]


# ---------------------------------------------------------------- spreadsheets

FORMULAS = (
    "=1+1",
    "+1+1",
    "-cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
    "﹦1",
    "\u200b=1+1",
    "\ufeff=1",
    "\u202e+1",
    "\xa0@A1",
    "\xad-cmd|x",
    "\u3000\u3164=1",
    " \x00\u2066'=1",
    "\U000e0041=1",
)
HARMLESS = (
    *("a=b", "plain", "", "-0.5", "+4.2e-1", "007", "a@b.example", "'quoted'", "1-2"),
    *("\u200ba=b", "\u0645\u06cc\u200c\u062e", "\u200d", "\xa01"),
)


@pytest.mark.parametrize("cell", [*FORMULAS, *("'" + formula for formula in FORMULAS)])
def test_a_formula_becomes_text_by_a_quote_mark(cell: str) -> None:
    """A cell that a spreadsheet would execute gets one quote mark in front, and one behind a tab or line break in it;
    their removal restores it.
    """
    safe = as_plain_text(cell)

    assert safe == "'" + re.sub(r"([\t\r\n])=", r"\1'=", cell)
    assert without_guard(safe) == cell
    assert safe[0] not in "=+-@\t\r\n＝＋－＠"


@pytest.mark.parametrize("cell", HARMLESS)
def test_harmless_text_is_unchanged(cell: str) -> None:
    """Numbers, minus signs in the middle and ordinary quotes are left alone."""
    assert as_plain_text(cell) == cell


def test_invisible_characters_are_escaped_in_reasons_only(tmp_path: Path) -> None:
    """A rejected row keeps its cells to the letter; the reason is one line of printable characters."""
    note = "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f52c \u202e"
    manifest = read(f'id,content,style,"no\u202ete",note\ncat,s3://b\u200b/x,waves.png,x,"{note}"\n')
    (row,) = rows_of(str(tmp_path), manifest)

    assert (row["note"], row["content"]) == (note, "s3://b\u200b/x")
    assert row["error"].isprintable()


def test_a_failed_row_s_reason_is_one_plain_line(tmp_path: Path) -> None:
    """Line breaks and characters that reverse text are escaped in the error of an attempt."""
    ledger = Ledger(str(tmp_path))
    ledger.add_attempt(attempt_record("cat", FINGERPRINT, error="a\u202egnp.b: no such file\nx"))
    (row, *_) = rows_of(str(tmp_path))

    assert row["error"] == "a\\u202egnp.b: no such file\\nx"


def test_a_row_with_a_carriage_return_in_a_cell_stays_one_row(tmp_path: Path) -> None:
    """A carriage return in a cell ends no row of results.csv: used as a manifest, it has the rows of the first one."""
    manifest = read('id,content,style,note\ncat,cat.png,waves.png,"one\rtwo"\ndog,dog.png,waves.png,\n')
    written = write_tables(rows_of(str(tmp_path), manifest), str(tmp_path))

    again = parse_manifest(storage.read(written.csv), written.csv, StylizeOptions())

    assert again.rejected == ()
    assert [(pair.pair_id, pair.extra["note"]) for pair in again.pairs] == [("cat", "one\rtwo"), ("dog", "")]


def test_no_cell_of_the_csv_is_a_formula_and_the_parquet_is_exact(tmp_path: Path) -> None:
    """Cells, column names and rejected rows of a manifest are no formulas in results.csv; the Parquet file has them
    unchanged.
    """
    manifest = read(
        'id,content,style,"=HYPERLINK(""x"")",note\ncat,cat.png,waves.png,=1+1,-5\n=2+2,=3+3,waves.png,@x,\t=4\n'
    )
    rows = rows_of(str(tmp_path), manifest)
    written = write_tables(rows, str(tmp_path))

    cells = [cell for line in csv.reader(io.StringIO(storage.read(written.csv).decode())) for cell in line]
    assert [cell for cell in cells if cell and cell[0] in "=+-@\t\r" and cell != "-5"] == []
    exact = pd.read_parquet(written.parquet)
    assert list(exact['=HYPERLINK("x")']) == ["=1+1", "@x"]
    assert list(exact["content"]) == ["cat.png", "=3+3"]
    assert list(exact["note"]) == ["-5", "\t=4"]

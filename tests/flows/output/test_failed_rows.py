"""flows.output.failed_rows: a manifest of the failed and rejected rows, which describes the same pairs."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from flows.manifest.parse import parse_manifest
from flows.output.failed_rows import failed_rows_manifest
from flows.output.latest import latest_run
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions
from tests.flows.outputs import Output

MANIFEST = (
    "id,content,style,protect,steps,style_weight,artist, note \n"
    "cat,photos/cat.png,../waves.png,,,,Hokusai,done\n"
    'dog,/abs/dog.png,s3://bucket/waves.png,m.png,7,,"1, ""2""",=1+1\n'
    ",owl.png,waves.png,,,50,007,  x \n"
    "bad,,waves.png,,ten,,nobody,NA\n"
    'stray,"a,b\n'
    "far,https://a/b.png,waves.png,,,,,\n"
)
DEFAULTS = StylizeOptions(size_px=64, style_layers=("relu1_1", "relu2_1"))


def output(folder: Path, uri: str = "/in/sub/pairs.csv", text: str = MANIFEST, **run: Any) -> Output:
    """Make an output in which cat is done, and every other pair that is not rejected has failed."""
    made = Output(str(folder / "out"), text, uri, **({"options": DEFAULTS} | run))
    made.done("cat")
    for pair in made.manifest.pairs:
        if pair.pair_id != "cat":
            made.failed(pair.pair_id)
    return made


def read(data: bytes, uri: str = "/elsewhere/again.csv") -> Manifest:
    return parse_manifest(data, uri, StylizeOptions())


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("place", ["local", "s3"])
def test_the_new_manifest_has_the_same_pairs_in_any_folder(
    tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    """Ids, addresses, options and own columns are the same, whatever folder the new manifest lies in, without any
    option.
    """
    uri = "/in/sub/pairs.csv" if place == "local" else f"{request.getfixturevalue('s3_bucket')}/in/sub/pairs.csv"
    text = MANIFEST.replace("../waves", "waves")
    made = output(tmp_path, uri, text)
    before = {pair.pair_id: pair for pair in made.manifest.pairs if pair.pair_id != "cat"}
    after = {pair.pair_id: pair for pair in read(failed_rows_manifest(made.address).data).pairs}

    assert len(before) == 2
    assert list(after) == list(before)
    for name, pair in before.items():
        assert after[name].pictures == pair.pictures
        assert after[name].options == pair.options
        assert (after[name].extra["artist"], after[name].extra["note"]) == (pair.extra["artist"], pair.extra[" note "])


def test_a_pending_row_is_left_out(tmp_path: Path) -> None:
    """A pending row will be done in its own output: only failed and rejected rows are in the new manifest."""
    made = Output(str(tmp_path / "out"), MANIFEST, "/in/sub/pairs.csv", options=DEFAULTS)
    made.failed("dog")

    found = failed_rows_manifest(made.address)

    assert [row["id"] for row in cells(found.data)] == ["dog", "bad", "far"]
    assert found.rows == 3


def test_rejected_rows_are_included_with_their_reasons(tmp_path: Path) -> None:
    """A rejected row keeps its cells and has its line and reason; it is rejected again until somebody corrects it."""
    again = failed_rows_manifest(output(tmp_path).address)
    rows = {row["row"]: row for row in cells(again.data)}

    assert list(rows) == ["3", "4", "5", "7"]
    assert (rows["5"]["id"], rows["5"]["steps"], rows["5"]["status"]) == ("bad", "ten", "rejected")
    assert rows["5"]["error"].startswith("column 'content': expected a local path or s3://bucket/key, the cell is")
    assert rows["7"]["content"] == "https://a/b.png"
    assert (rows["3"]["error_kind"], rows["3"]["content"], rows["3"]["protect"]) == (
        "bad_image",
        "/abs/dog.png",
        "/in/sub/m.png",
    )
    assert [rejected.row for rejected in read(again.data).rejected] == [4, 5]
    assert again.rows == 4


def test_a_row_that_could_not_be_split_is_named(tmp_path: Path) -> None:
    """A row with a stray quote has no cells to write, so its line is reported, to be corrected in the old manifest."""
    again = failed_rows_manifest(output(tmp_path).address)

    ((line, reason),) = again.left_out
    assert (line, reason[:8]) == (6, "unclosed")


def test_options_of_the_run_are_written_in_each_row(tmp_path: Path) -> None:
    """The run's options fill in where a row has none; those of a retry apply to every row."""
    made = output(tmp_path, overrides={"steps": 9, "enlarge": True})
    dog, owl, *_ = cells(failed_rows_manifest(made.address).data)

    assert (dog["size_px"], dog["style_layers"], dog["steps"], dog["enlarge"]) == ("64", "relu1_1 relu2_1", "9", "true")
    assert (owl["steps"], owl["style_weight"]) == ("9", "50")
    assert read(failed_rows_manifest(made.address).data).pairs[0].options.steps == 9


def test_a_row_with_an_init_image_gets_no_init(tmp_path: Path) -> None:
    """The run's `init` is written only for rows without an `init_image`, as a row with both would be rejected."""
    text = "id,content,style,init_image\ncat,a.png,b.png,\ndog,a.png,b.png,old.png\nowl,c.png,b.png,\n"
    made = Output(str(tmp_path / "out"), text, "/in/pairs.csv", options=DEFAULTS.overridden({"init": "noise"}))
    for pair in made.manifest.pairs:
        made.failed(pair.pair_id)
    again = failed_rows_manifest(made.address).data

    assert [row["init"] for row in cells(again)] == ["noise", "", "noise"]
    assert read(again).rejected == ()


@pytest.mark.parametrize("overrides", [{}, {"strength": 0.2}, {"style_weight": 9.0}])
def test_either_strength_or_style_weight_is_written(tmp_path: Path, overrides: dict[str, float]) -> None:
    """Whichever of the two counted is written, so that the new rows have the same options."""
    text = "id,content,style,strength,style_weight\ncat,a.png,b.png,0.8,\ndog,a.png,b.png,,7\nowl,c.png,b.png,,\n"
    defaults = DEFAULTS.overridden({"style_weight": 5.0})
    made = Output(str(tmp_path / "out"), text, "/in/pairs.csv", options=defaults, overrides=overrides)
    for pair in made.manifest.pairs:
        made.failed(pair.pair_id)
    before = latest_run(made.address).manifest
    after = read(failed_rows_manifest(made.address).data)

    assert after.rejected == ()
    assert [pair.options.digest() for pair in after.pairs] == [pair.options.digest() for pair in before.pairs]


def test_the_strength_of_a_retry_replaces_an_earlier_style_weight(tmp_path: Path) -> None:
    """An option of a retry replaces an earlier retry's option for the same thing, as a row's replaces the run's."""
    made = Output(str(tmp_path / "out"), MANIFEST, "/in/pairs.csv", options=DEFAULTS, overrides={"style_weight": 5.0})

    manifest = latest_run(made.address, {"strength": 0.8}).manifest

    wanted = DEFAULTS.overridden({"strength": 0.8}).resolved().style_weight
    assert {pair.options.style_weight for pair in manifest.pairs} == {wanted}


def test_a_column_named_size_is_kept(tmp_path: Path) -> None:
    """If the manifest names the option `size`, no second column `size_px` is added."""
    text = "content,style,size\na.png,b.png,\nc.png,d.png,32\ncat.png,x.png,\n"
    made = Output(str(tmp_path / "out"), text, "/in/pairs.csv", options=DEFAULTS)
    for pair in made.manifest.pairs:
        made.failed(pair.pair_id)
    rows = cells(failed_rows_manifest(made.address).data)

    assert [row["size"] for row in rows] == ["64", "32", "64"]
    assert "size_px" not in rows[0]
    assert read(failed_rows_manifest(made.address).data).rejected == ()


def test_formulas_are_escaped_and_read_back_unchanged(tmp_path: Path) -> None:
    """A spreadsheet executes no cell, and reading the manifest restores every character."""
    made = output(tmp_path)
    data = failed_rows_manifest(made.address).data

    assert cells(data)[0][" note "] == "'=1+1"
    assert read(data).pairs[0].extra["note"] == "=1+1"
    assert read(data).pairs[0].extra["artist"] == '1, "2"'


def test_a_spreadsheet_in_another_locale_changes_no_cell(tmp_path: Path) -> None:
    """In a German spreadsheet 0.003 would become 3, and 0042 anywhere 42; LibreOffice changes nothing but the
    separator.
    """
    text = (
        "id,content,style,learning_rate,optimizer,tv_weight,sku,when\n"
        "0042,a.png,b.png,0.003,adam,1e-5,007,3/4\n"
        "3e4,c.png,b.png,,,1.598,'8,sep-1\n"
    )
    made = Output(str(tmp_path / "out"), text, "/in/pairs.csv")
    for pair in made.manifest.pairs:
        made.failed(pair.pair_id)
    data = failed_rows_manifest(made.address).data
    after = read(data.replace(b",", b";"))

    assert data.splitlines()[1].startswith(b"'0042,/in/a.png,/in/b.png,'0.003,adam,'1e-5,'007,'3/4,64,20,2,failed,")
    assert data.splitlines()[2].startswith(b"'3e4,/in/c.png,/in/b.png,,,'1.598,''8,'sep-1,64,20,3,failed,")
    assert [pair.pair_id for pair in after.pairs] == ["0042", "3e4"]
    assert [pair.options for pair in after.pairs] == [pair.options for pair in made.manifest.pairs]
    assert [(pair.extra["sku"], pair.extra["when"]) for pair in after.pairs] == [("007", "3/4"), ("'8", "sep-1")]


def test_a_refused_control_character_does_not_spoil_the_file(tmp_path: Path) -> None:
    """A NUL, for which a row was rejected, is written as an escape, so that the other rows can still be read."""
    text = "id,content,style,note\ncat,c.png,s.png,\nnul,a\0b.png,s.png,\ndog,d.png,s.png,x\n"
    again = failed_rows_manifest(output(tmp_path, text=text).address)

    assert b"\0" not in again.data
    assert [pair.pair_id for pair in read(again.data).pairs] == ["nul", "dog"]


@pytest.mark.parametrize("kind", ["json", "parquet", "results"])
def test_manifests_of_every_format_have_failed_rows(tmp_path: Path, kind: str) -> None:
    """Failed rows of JSON lines, of Parquet and of a results table that served as a manifest are written as CSV."""
    import pandas as pd

    rows = [
        {"id": "cat", "content": "c.png", "style": "s.png", "n": 1},
        {"id": "dog", "content": "d.png", "style": "s.png", "n": 2},
    ]
    frame = pd.DataFrame(rows)
    if kind == "json":
        data = frame.to_json(orient="records", lines=True).encode()
    elif kind == "parquet":
        data = frame.to_parquet()
    else:
        data = b"pair_id,content,style,n,status,error\ncat,c.png,s.png,1,failed,x\ndog,d.png,s.png,2,failed,y\n"
    made = Output(str(tmp_path / "out"), "id,content,style\ncat,c.png,s.png\n", "/in/pairs")
    run = made.run.model_copy(
        update={
            "run_id": "20270101T000000Z-000009",
            "fingerprints": dict.fromkeys(("cat", "dog"), "0123456789abcdef0123"),
        }
    )
    made._ledger.start_run(run, data)
    made.failed("dog")
    made.failed("cat")

    told = cells(failed_rows_manifest(made.address).data)
    assert [(row["id"], row["content"], row["n"], row["status"]) for row in told] == [
        ("cat", "/in/c.png", "1", "failed"),
        ("dog", "/in/d.png", "2", "failed"),
    ]

"""flows.manifest.split: every row of a manifest is in exactly one part, and has the same meaning there."""

import csv
import gzip
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows import storage
from flows.cli import app
from flows.errors import ManifestError
from flows.limits import Limits
from flows.manifest.load import load_manifest
from flows.manifest.split import split_manifest
from nst_core.options import StylizeOptions
from tests.flows.fault_proxy import DRIP, FaultProxy


def rows(path: str) -> list[list[str]]:
    """Return the rows of a CSV file, with its header."""
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_the_parts_have_all_rows_in_order(tmp_path: Path) -> None:
    """Seven rows are split into three parts in order, under the same header; parts differ by at most one row."""
    whole = tmp_path / "pairs.csv"
    whole.write_text(
        "\ufeffid,content,style,note\n" + "".join(f'p{n},a.png,s.png,"two\nlines, {n}"\n' for n in range(7))
    )
    parts = split_manifest(str(whole), 3)

    assert [Path(part).name for part in parts] == [f"pairs.part-{n}-of-3.csv" for n in (1, 2, 3)]
    assert [len(rows(part)) - 1 for part in parts] == [3, 2, 2]
    assert {tuple(rows(part)[0]) for part in parts} == {("id", "content", "style", "note")}
    assert [row[0] for part in parts for row in rows(part)[1:]] == [f"p{n}" for n in range(7)]
    assert rows(parts[2])[2][3] == "two\nlines, 6"


def test_relative_addresses_mean_the_same_in_a_part(tmp_path: Path, s3_bucket: str) -> None:
    """A relative address in a part has the same absolute address as in the whole manifest, also on S3."""
    storage.replace(f"{s3_bucket}/in/pairs.csv", b"content,style\na.png,s.png\nb.png,s.png\n")
    first, second = split_manifest(f"{s3_bucket}/in/pairs.csv", 2)
    _, manifest = load_manifest(second, StylizeOptions(), Limits())

    assert first.endswith("in/pairs.part-1-of-2.csv")
    assert [pair.content for pair in manifest.pairs] == [f"{s3_bucket}/in/b.png"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "csv.gz"])
def test_parts_are_csv_whatever_the_format_of_the_manifest(tmp_path: Path, kind: str) -> None:
    """A CSV with semicolons, JSON lines or a gzip file is split into CSV files with the cells of its rows."""
    texts = {
        "csv": b'content;style;note\na.png;s.png;"1;2"\nb.png;s.png;\n',
        "jsonl": b'{"content": "a.png", "style": "s.png", "note": "1;2"}\n{"content": "b.png", "style": "s.png"}\n',
        "csv.gz": gzip.compress(b"content,style,note\na.png,s.png,1;2\nb.png,s.png,\n"),
    }
    (tmp_path / f"pairs.{kind}").write_bytes(texts[kind])
    parts = split_manifest(str(tmp_path / f"pairs.{kind}"), 2)

    stem = "pairs" if kind == "csv" else f"pairs.{kind}"
    assert [Path(part).name for part in parts] == [f"{stem}.part-1-of-2.csv", f"{stem}.part-2-of-2.csv"]
    assert [rows(part) for part in parts] == [
        [["content", "style", "note"], ["a.png", "s.png", "1;2"]],
        [["content", "style", "note"], ["b.png", "s.png", ""]],
    ]


@pytest.mark.parametrize("own", [{}, {"run_id": "r", "status": "failed"}], ids=["a manifest", "a results table"])
def test_a_part_of_a_parquet_file_keeps_apostrophes(tmp_path: Path, own: dict[str, str]) -> None:
    """The parts are parsed to the same texts, although a `'` before formulas is removed from results tables in CSV."""
    notes = ["'=1", "=1", "'0042", "-x"]
    frame = pd.DataFrame({"content": "a.png", "style": ["1.png", "2.png", "3.png", "4.png"], "'=n": notes})
    whole = tmp_path / "pairs.parquet"
    frame.assign(**own).to_parquet(whole)
    parts = [load_manifest(part, StylizeOptions(), Limits())[1] for part in split_manifest(str(whole), 2)]

    assert [pair.extra["'=n"] for part in parts for pair in part.pairs] == notes


def test_manifests_of_one_stem_have_different_parts(tmp_path: Path) -> None:
    """The parts of `pairs.csv` and `pairs.jsonl` in one folder have different names."""
    (tmp_path / "pairs.csv").write_text("content,style\na,b\nc,d\n")
    (tmp_path / "pairs.jsonl").write_text('{"content": "e", "style": "f"}\n{"content": "g", "style": "h"}\n')
    first = split_manifest(str(tmp_path / "pairs.csv"), 2)
    split_manifest(str(tmp_path / "pairs.jsonl"), 2)

    assert [rows(part)[1:] for part in first] == [[["a", "b"]], [["c", "d"]]]
    assert len(list(tmp_path.glob("*.part-*"))) == 4


def test_splitting_needs_no_right_to_list_the_folder(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A user who may read and write objects, but not list them, can split a manifest."""
    whole = f"{s3_bucket}/in/pairs.csv"
    storage.replace(whole, b"content,style\na,b\nc,d\n")
    s3_proxy.rule = lambda _method, path: (403, "AccessDenied") if "list-type" in path else None

    assert [storage.name_of(part) for part in split_manifest(whole, 2)] == [
        "pairs.part-1-of-2.csv",
        "pairs.part-2-of-2.csv",
    ]


@pytest.mark.parametrize("on_s3", [False, True], ids=["local", "S3"])
def test_parts_of_a_different_split_are_not_overwritten(
    tmp_path: Path, on_s3: bool, request: pytest.FixtureRequest
) -> None:
    """Parts of other rows, or of another number of parts, refuse the split; a repeated split adds the missing parts."""
    folder = f"{request.getfixturevalue('s3_bucket')}/in" if on_s3 else str(tmp_path)
    whole = f"{folder}/pairs.csv"
    storage.replace(whole, b"content,style\na,b\nc,d\ne,f\n")
    parts = split_manifest(whole, 3)
    storage.remove(parts[1])
    before = {entry.name: entry for entry in storage.entries(folder)}

    assert split_manifest(whole, 3) == parts  # adds the missing part
    after = {entry.name: entry for entry in storage.entries(folder)}
    assert {name: after[name] for name in before} == before
    assert storage.read(parts[1]) == b"content,style\nc,d\n"
    with pytest.raises(ManifestError, match=r"found parts of another number: pairs\.part-1-of-3\.csv, .*; nothing was"):
        split_manifest(whole, 2)
    storage.replace(whole, b"content,style\na,b\nc,D\ne,f\n")
    storage.remove(parts[0])
    with pytest.raises(ManifestError, match=r"found parts of other rows: pairs\.part-2-of-3\.csv; nothing was written"):
        split_manifest(whole, 3)
    assert storage.names(folder) == ["pairs.csv", "pairs.part-2-of-3.csv", "pairs.part-3-of-3.csv"]


def test_a_row_of_the_wrong_width_is_kept(tmp_path: Path) -> None:
    """A row with too few cells is written as it is, so that a part is as invalid as the whole manifest."""
    (tmp_path / "pairs.csv").write_text("content,style\na\nb,c\n")

    assert [rows(part)[1:] for part in split_manifest(str(tmp_path / "pairs.csv"), 2)] == [[["a"]], [["b", "c"]]]


def test_a_row_that_cannot_be_read_refuses_the_split(tmp_path: Path) -> None:
    """A stray quote refuses the split, with its line."""
    (tmp_path / "pairs.csv").write_text('content,style\na,b\n"c,d\ne,f\n')
    with pytest.raises(ManifestError, match=r"line 3: unclosed or stray quote.*`nst validate` names all such rows"):
        split_manifest(str(tmp_path / "pairs.csv"), 2)


def test_a_manifest_with_too_many_lines_for_a_run_can_be_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose error advises to split it can be split, in every format that has lines."""
    monkeypatch.setattr("flows.manifest.csv_text.MAX_LINES", 10)
    (tmp_path / "a.csv").write_text("content,style\n" + "a,b\n" * 20)
    (tmp_path / "b.jsonl").write_text('{"content": "a", "style": "b"}\n' * 20)
    for name in ("a.csv", "b.jsonl"):
        with pytest.raises(ManifestError, match="expected at most 10 lines, found more; split the file"):
            load_manifest(str(tmp_path / name), StylizeOptions(), Limits())

        assert [len(rows(part)) for part in split_manifest(str(tmp_path / name), 4)] == [6, 6, 6, 6]


def test_reading_a_large_manifest_has_a_longer_deadline(
    s3_bucket: str, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest may take longer to read than the deadline of an object, which is three seconds here."""
    storage.replace(f"{s3_bucket}/pairs.csv", b"content,style\n" + b"a,b\n" * 6)
    monkeypatch.setenv("NST_OBJECT_SECONDS", "3")
    s3_proxy.rule = lambda method, path: DRIP if method == "GET" and path.endswith("pairs.csv") else None

    assert len(split_manifest(f"{s3_bucket}/pairs.csv", 3)) == 3


def test_more_parts_than_rows_are_refused(tmp_path: Path) -> None:
    """Splitting into more parts than rows is refused, and no empty manifest is written."""
    whole = tmp_path / "pairs.csv"
    whole.write_text("content,style\na.png,s.png\n")

    with pytest.raises(ManifestError, match="expected at least 2 rows for 2 parts, found 1"):
        split_manifest(str(whole), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]


def test_the_command_prints_the_parts(tmp_path: Path) -> None:
    """`nst split` prints one address per line; for a file that cannot be read it exits with code 2."""
    whole = tmp_path / "pairs.csv"
    whole.write_text("content,style\na.png,s.png\nb.png,s.png\n")
    outcome = CliRunner().invoke(app, ["split", str(whole), "--parts", "2"])

    assert outcome.exit_code == 0, outcome.output
    assert outcome.output.split() == [str(tmp_path / f"pairs.part-{n}-of-2.csv") for n in (1, 2)]
    whole.write_bytes(b'content,style\n"a,s\n')
    assert CliRunner().invoke(app, ["split", str(whole), "--parts", "2"]).exit_code == 2

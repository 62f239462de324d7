"""flows.manifest.changed_rows and ignored_columns: a results table as a manifest requests what its run requested."""

import io
from pathlib import Path

import pandas as pd
import pytest

from flows import storage
from flows.manifest.parse import parse_manifest
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord
from flows.records.pairs import Manifest
from flows.run.finish import finish_run
from flows.run.prepare import PreparedRun, prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners import Means
from flows.settings import RunSettings
from flows.worker.batch import stylize_pairs
from flows.worker.messages import Message
from nst_core.options import StylizeOptions
from tests.flows.outputs import drawing

MANIFEST = (
    "id,content,style,steps,size_px,quality,seed,style_weight\n"
    "cat,cat.png,waves.png,80,48,,,\n"
    "dog,dog.png,waves.png,,48,draft,3,50\n"
    "owl,owl.png,waves.png,70,48,best,,\n"
    "fox,cat.png,waves.png,,16384,best,,\n"
    "bad,,waves.png,60,48,,,\n"
)
OPTIONS = StylizeOptions(tv_weight=0.5)


def planned(folder: Path, manifest: str, options: StylizeOptions = OPTIONS) -> PreparedRun:
    """Plan a run of a manifest in this folder."""
    settings = RunSettings(backbone="stub", stub="error=owl")
    asked = RunArguments(str(folder / "out"), str(folder / manifest), options, settings)
    return prepare_run(resolve(asked), Means(("cpu",), ("cpu",), "fp32"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run with stub results: two pairs are done, one failed, one is pending, and a row was rejected."""
    for name in ("cat", "dog", "owl", "waves"):
        (tmp_path / f"{name}.png").write_bytes(drawing(name))
    (tmp_path / "pairs.csv").write_text(MANIFEST)
    run = planned(tmp_path, "pairs.csv")

    def keep(message: Message) -> None:
        if isinstance(message, AttemptRecord):
            Ledger(run.job.output).add_attempt(message)

    stylize_pairs(keep, [pair for pair in run.plan.todo if pair.spec.pair_id != "fox"], run.job, "cpu")
    finish_run(run)
    for name in ("results.csv", "results.parquet"):
        storage.replace(str(tmp_path / name), storage.read(storage.join(run.job.output, name)))
    return tmp_path


def parsed(folder: Path, name: str, options: StylizeOptions = OPTIONS) -> Manifest:
    """Return the manifest parsed from a file of this folder."""
    return parse_manifest((folder / name).read_bytes(), str(folder / name), options)


@pytest.mark.parametrize("name", ["results.csv", "results.parquet"])
def test_a_whole_results_table_requests_the_same_options(folder: Path, name: str) -> None:
    """Rows of finished, failed and pending pairs have the same options again, so that no finished pair is repeated."""
    asked, again = parsed(folder, "pairs.csv"), parsed(folder, name)
    table = pd.read_parquet(folder / "results.parquet")
    plan = planned(folder, name).plan

    assert list(table["status"]) == ["succeeded", "succeeded", "failed", "pending", "rejected"]
    assert [pair.options.digest() for pair in again.pairs] == [pair.options.digest() for pair in asked.pairs]
    assert [pair.spec.pair_id for pair in plan.done] == ["cat", "dog"]
    assert [note for note in again.notes if "options_digest" in note] == []
    assert [row.row for row in again.rejected] == [6 if name.endswith("csv") else 5]


def test_a_filtered_results_table_requests_the_same_steps(folder: Path) -> None:
    """With only some rows and columns, and without the column `steps`, the requested steps come from `steps_asked`."""
    table = pd.read_csv(folder / "results.csv")[["pair_id", "content", "style", "status", "steps_asked", "size_px"]]
    table[table["pair_id"].isin(["owl", "fox"])].to_csv(folder / "some.csv", index=False)

    assert [pair.options.steps for pair in parsed(folder, "some.csv").pairs] == [70, None]


def test_steps_written_into_the_row_of_a_failed_pair_count(folder: Path) -> None:
    """They replace the requested steps; in the row of a finished pair, `steps` is what the pair took and is ignored."""
    table = pd.read_csv(folder / "results.csv")
    table.loc[table["pair_id"].isin(["owl", "cat"]), "steps"] = 33
    table.to_csv(folder / "results.csv", index=False)

    assert {pair.pair_id: pair.options.steps for pair in parsed(folder, "results.csv").pairs}["owl"] == 33
    assert {pair.pair_id: pair.options.steps for pair in parsed(folder, "results.csv").pairs}["cat"] == 80


def test_rows_that_request_other_options_are_noted(folder: Path) -> None:
    """Rows parsed with other options of the run, and a rejected row that was corrected, are noted by line."""
    other = parsed(folder, "results.csv", StylizeOptions()).notes
    text = (folder / "results.csv").read_text().replace(",bad,6,,", ",bad,6,cat.png,")
    right = parse_manifest(text.encode(), str(folder / "right.csv"), OPTIONS)

    assert any(
        note.startswith("other options than the table tells (options_digest) at lines 2, 3, 4, 5:") for note in other
    )
    assert len(right.pairs) == 5
    assert any(note.startswith("no options_digest at line 6: what a rejected row asked for") for note in right.notes)


def test_ids_and_digests_changed_by_a_spreadsheet_are_noted(folder: Path) -> None:
    """An id other than that of the row's output is noted, and so is a digest that became a number, which is ignored."""
    table = pd.read_csv(folder / "results.csv")
    table.loc[0, ["pair_id", "options_digest"]] = ["42", "1.2345678E+097"]
    table.to_csv(folder / "changed.csv", index=False)
    changed = parsed(folder, "changed.csv")

    assert [note.partition(":")[0] for note in changed.notes[1:]] == [
        "another id than that of its output, as spreadsheets make of what looks like a number or a date, at line 2",
        "an options_digest that is none, as spreadsheets make of what looks like a number or a date, at line 2",
    ]
    assert [pair.pair_id for pair in changed.pairs] == ["42", "dog", "owl", "fox"]


def test_of_many_changed_rows_the_first_are_noted() -> None:
    """The note names the lines of the first ten rows and counts the others."""
    frame = pd.DataFrame({"content": [f"{n}" for n in range(1200)], "style": "s", "status": ""})
    frame["options_digest"] = "0" * 16
    buffer = io.BytesIO()
    frame.to_csv(buffer, index=False)
    notes = parse_manifest(buffer.getvalue(), "/in/a.csv", OPTIONS).notes
    (note,) = [note for note in notes if note.startswith("other options")]

    assert "at lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,190 more: they are computed again" in note

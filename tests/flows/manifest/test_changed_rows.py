"""flows.manifest.changed_rows and passed_over: a results table handed in again asks for what its run was asked for."""

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
    settings = RunSettings(backbone="stub", stub="error=owl")
    asked = RunArguments(str(folder / "out"), str(folder / manifest), options, settings)
    return prepare_run(resolve(asked), Means(("cpu",), ("cpu",), "fp32"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose pictures are made up: two pairs are done, one failed, one is pending, and a row was rejected."""
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
    return parse_manifest((folder / name).read_bytes(), str(folder / name), options)


@pytest.mark.parametrize("name", ["results.csv", "results.parquet"])
def test_a_whole_results_table_asks_for_the_same(folder: Path, name: str) -> None:
    """Done, failed and pending rows alike: the same options, so that what is done is not done again."""
    asked, again = parsed(folder, "pairs.csv"), parsed(folder, name)
    table = pd.read_parquet(folder / "results.parquet")
    plan = planned(folder, name).plan

    assert list(table["status"]) == ["succeeded", "succeeded", "failed", "pending", "rejected"]
    assert [pair.options.digest() for pair in again.pairs] == [pair.options.digest() for pair in asked.pairs]
    assert [pair.spec.pair_id for pair in plan.done] == ["cat", "dog"]
    assert [note for note in again.notes if "options_digest" in note] == []
    assert [row.row for row in again.rejected] == [6 if name.endswith("csv") else 5]


def test_a_filtered_results_table_asks_for_the_same(folder: Path) -> None:
    """Some rows and columns, as a notebook writes them, with a gap and the column `steps` taken away."""
    table = pd.read_csv(folder / "results.csv")[["pair_id", "content", "style", "status", "steps_asked", "size_px"]]
    table[table["pair_id"].isin(["owl", "fox"])].to_csv(folder / "some.csv", index=False)

    assert [pair.options.steps for pair in parsed(folder, "some.csv").pairs] == [70, None]


def test_what_somebody_writes_into_steps_of_a_failed_row_counts(folder: Path) -> None:
    """It goes before what was asked for; of a pair that is done, `steps` are those that it took."""
    table = pd.read_csv(folder / "results.csv")
    table.loc[table["pair_id"].isin(["owl", "cat"]), "steps"] = 33
    table.to_csv(folder / "results.csv", index=False)

    assert {pair.pair_id: pair.options.steps for pair in parsed(folder, "results.csv").pairs}["owl"] == 33
    assert {pair.pair_id: pair.options.steps for pair in parsed(folder, "results.csv").pairs}["cat"] == 80


def test_rows_that_ask_for_other_options_are_named(folder: Path) -> None:
    """Without the run's own options, and of a rejected row that was put right: by line, and what to do."""
    other = parsed(folder, "results.csv", StylizeOptions()).notes
    text = (folder / "results.csv").read_text().replace(",bad,6,,", ",bad,6,cat.png,")
    right = parse_manifest(text.encode(), str(folder / "right.csv"), OPTIONS)

    assert any(
        note.startswith("other options than the table tells (options_digest) at lines 2, 3, 4, 5:") for note in other
    )
    assert len(right.pairs) == 5
    assert any(note.startswith("no options_digest at line 6: what a rejected row asked for") for note in right.notes)


def test_ids_and_digests_that_a_spreadsheet_has_changed_are_named(folder: Path) -> None:
    """An id other than that of its own picture; a digest that it took for a number is compared with nothing."""
    table = pd.read_csv(folder / "results.csv")
    table.loc[0, ["pair_id", "options_digest"]] = ["42", "1.2345678E+097"]
    table.to_csv(folder / "changed.csv", index=False)
    changed = parsed(folder, "changed.csv")

    assert [note.partition(":")[0] for note in changed.notes[1:]] == [
        "another id than that of its output, as spreadsheets make of what looks like a number or a date, at line 2",
        "an options_digest that is none, as spreadsheets make of what looks like a number or a date, at line 2",
    ]
    assert [pair.pair_id for pair in changed.pairs] == ["42", "dog", "owl", "fox"]


def test_of_many_such_rows_some_are_named() -> None:
    """The others are counted."""
    frame = pd.DataFrame({"content": [f"{n}" for n in range(1200)], "style": "s", "status": ""})
    frame["options_digest"] = "0" * 16
    buffer = io.BytesIO()
    frame.to_csv(buffer, index=False)
    notes = parse_manifest(buffer.getvalue(), "/in/a.csv", OPTIONS).notes
    (note,) = [note for note in notes if note.startswith("other options")]

    assert "at lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,190 more: they are computed again" in note

"""flows.run.finish: the end of a run, which reads every record once; nothing is stylized here."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import pickle
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import storage
from flows.costs.rates import measured_here
from flows.errors import CredentialsExpired, OutputBusy, StorageError
from flows.output import Ledger, lease
from flows.output.lease_file import as_json, new_lease
from flows.records import layout
from flows.records.attempts import LossSample, PairRecord
from flows.records.plans import Batch, RunPlan
from flows.report import run_of, write_page, write_report
from flows.report.at_end import page_at_end
from flows.report.gather import gather
from flows.run.finish import FinishedRun, RunIncomplete, check_credentials, finish_run, finish_stopped_run
from flows.run.prepare import PreparedRun, prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners.runner import Means
from flows.settings import RunSettings, Selection
from flows.storage import mounts
from tests.flows.builders import attempt_record, pair_record
from tests.flows.fault_proxy import FaultProxy
from tests.flows.outputs import drawing

MANIFEST = "id,content,style\nowl,owl.png,waves.png\ncat,cat.png,waves.png\nbad,,waves.png\ndog,dog.png,waves.png\n"
HISTORY = tuple(LossSample(level, n, n + 1, 2.0 - n, 1.0, 0.5, 0.0, n / 8) for level in (1, 0) for n in range(2))


@pytest.fixture
def run(tmp_path: Path) -> PreparedRun:
    """A run of four rows: owl and cat are done, dog failed, and one row is rejected."""
    for name in ("owl", "cat", "dog", "waves"):
        (tmp_path / f"{name}.png").write_bytes(drawing(name))
    (tmp_path / "pairs.csv").write_text(MANIFEST)
    output, settings = str(tmp_path / "out"), RunSettings(backbone="stub")
    asked = RunArguments(output, str(tmp_path / "pairs.csv"), settings=settings)
    run = prepare_run(resolve(asked), Means(("cpu",), ("cpu",), "fp32"))
    ledger = Ledger(output)
    for pair in run.plan.todo:
        names = {"pair_id": pair.spec.pair_id, "fingerprint": pair.fingerprint, "run_id": run.record.run_id}
        if pair.spec.pair_id == "dog":
            ledger.add_attempt(attempt_record(**names))
        else:
            seconds = {"owl": 1.0, "cat": 2.0}[pair.spec.pair_id]
            record = pair_record(**names, options=pair.spec.options, history=HISTORY, seconds=seconds)
            storage.replace(storage.join(output, record.output), drawing(record.pair_id))
            ledger.commit(record)
    return run


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each pair's record is parsed from here on."""
    times: Counter[str] = Counter()
    parse = PairRecord.model_validate_json

    def counted(*arguments: Any, **options: Any) -> PairRecord:
        record = parse(*arguments, **options)
        times[record.pair_id] += 1
        return record

    monkeypatch.setattr(PairRecord, "model_validate_json", counted)
    return times


def page_of(run: PreparedRun, finished: FinishedRun) -> str:
    """Return the address of the page made from the result of `finish_run`."""
    return write_page(run_of(run.job.output, run.record, run.request.manifest, finished.outcomes))


def test_every_record_is_parsed_once(run: PreparedRun, parsed: Counter[str]) -> None:
    """Table, loss histories, summary and page come from one reading of each record."""
    page_of(run, finish_run(run, most_kept=4))

    assert parsed == {"owl": 1, "cat": 1}


def test_the_page_equals_the_one_of_nst_report(run: PreparedRun) -> None:
    """The page that a run makes of its outcomes in memory is byte for byte the one that `nst report` makes of the
    output.
    """
    at_the_end = storage.read(page_of(run, finish_run(run, most_kept=4)))

    assert storage.read(write_report(run.job.output)) == at_the_end


def test_records_of_a_large_run_are_not_kept(run: PreparedRun, parsed: Counter[str]) -> None:
    """With more than `most_kept` rows the records are not kept, because each takes a hundred times the memory of its
    row.
    """
    finished = finish_run(run, most_kept=3)

    assert finished.outcomes == ()
    assert [row["pair_id"] for row in finished.rows] == ["owl", "cat", "bad", "dog"]
    assert parsed == {"owl": 1, "cat": 1}


def test_the_summary_counts_the_rows(run: PreparedRun) -> None:
    """The summary counts every row once, and the pairs that this run stylized."""
    summary = finish_run(run).summary

    assert (summary.succeeded, summary.failed, summary.rejected, summary.pending) == (2, 1, 1, 0)
    assert (summary.rows, summary.stylized_now, summary.done_before, summary.seconds_per_pair) == (4, 2, 0, 1.5)
    assert storage.read(storage.join(run.job.output, "summary.json")).decode() == summary.model_dump_json(indent=1)
    assert storage.identity(storage.join(run.job.output, "_SUCCESS")) is not None


def test_the_summary_has_the_costs_of_the_run_s_own_pairs(run: PreparedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pairs of one style are counted, each with its two coarse evaluations; a run with the stub stores no rates."""
    monkeypatch.setattr("flows.run.finish.usable_cpus", lambda: 4)
    before = measured_here()
    costs = finish_run(run).summary.costs

    assert costs is not None
    assert costs.evaluations == 2 * (23 + 2)
    assert list(costs.by_style) == ["waves.png"]
    assert costs.processor_hours == pytest.approx(4 * (1.0 + 2.0) / 3600, abs=1e-5)
    assert measured_here() == before
    assert gather(run.job.output).costs == costs


def test_a_real_run_stores_its_rates_for_later_estimates(
    run: PreparedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run stores its rates with its workers and precision, and the time beside its pairs; a run on Ray stores
    none.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = dataclasses.replace(
        run,
        job=dataclasses.replace(run.job, stub=None),
        means=Means(("cpu", "cpu", "cpu"), ("a", "b", "c"), "bf16"),
        began=time.monotonic() - 100.0,
    )
    on_ray = dataclasses.replace(run.request, settings=RunSettings(runner="ray", ray_address="ray://head:10001"))

    finish_run(dataclasses.replace(real, request=on_ray))
    assert measured_here() == []
    finish_run(real)
    (measured,) = measured_here()
    assert (measured.device, measured.backbone) == ("cpu", "vgg19")
    assert (measured.workers, measured.precision) == (3, "bf16")
    assert [len(rates) for rates in measured.rates.values()] == [2]
    assert measured.beside == (pytest.approx(100.0 - 2 * 1.25 / 3, abs=30.0),)


def test_histories_are_one_table(run: PreparedRun) -> None:
    """history.parquet has a row per sample, pair after pair in the manifest's order."""
    finish_run(run)
    table = pd.read_parquet(io.BytesIO(storage.read(storage.join(run.job.output, "history.parquet"))))

    assert list(table) == ["pair_id", "fingerprint", *LossSample._fields]
    whole = [name for name in LossSample._fields if pd.api.types.is_integer_dtype(table[name])]
    assert whole == ["level", "step", "evaluation"]
    assert list(table["pair_id"]) == ["owl"] * 4 + ["cat"] * 4
    assert set(table["fingerprint"]) == {pair.fingerprint for pair in run.plan.todo if pair.spec.pair_id != "dog"}
    assert [LossSample(*row) for row in table[list(LossSample._fields)].itertuples(index=False)] == [*HISTORY] * 2


def test_run_incomplete_survives_pickling(run: PreparedRun) -> None:
    """The error keeps its message and the run's summary when it is sent to another process."""
    summary = finish_run(run).summary
    sent = pickle.loads(pickle.dumps(RunIncomplete("1 pending: run again", summary)))

    assert str(sent) == "1 pending: run again"
    assert sent.summary == summary


def test_a_limit_of_the_file_system_is_logged_once_and_summarized(
    run: PreparedRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If a file system does not say when a file is on disk, the log has one line about it, and the summary a note."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    assert finish_run(run).summary.storage_notes == ()
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(mounts, "_noted", set())
    again = prepare_run(run.request, run.means)

    assert caplog.text.count(f"the storage of {run.job.output} has its limits: it does not say when") == 1
    assert finish_run(again).summary.storage_notes == (mounts.NO_FLUSH,)


def test_the_mark_has_the_hashes_of_the_output(run: PreparedRun) -> None:
    """`_SUCCESS` has the `sha256sum` of the tables, and of a list of the images with their hashes, sorted by name."""
    summary = finish_run(run).summary
    marker = json.loads(storage.read(storage.join(run.job.output, "_SUCCESS")))
    records = sorted((f"images/{name}-01234567.png" for name in ("owl", "cat")), key=str)
    listing = "".join(f"{pair_record().output_sha256}  {name}\n" for name in records)

    assert marker["images_sha256"] == hashlib.sha256(listing.encode()).hexdigest()
    for kind, address in (("csv", summary.results_csv), ("parquet", summary.results_parquet)):
        assert address.endswith(f"results.{kind}")
        assert marker[f"results_{kind}_sha256"] == hashlib.sha256(storage.read(address)).hexdigest()
    assert (marker["run_id"], marker["manifest_sha256"]) == (run.record.run_id, run.record.manifest_sha256)
    assert [marker[name] for name in ("rows", "succeeded", "failed", "rejected")] == [4, 2, 1, 1]


def test_an_output_with_pending_rows_is_not_marked(run: PreparedRun) -> None:
    """Rows without an outcome are pending; they count as left if the run had planned to do them."""
    Path(run.job.output, "_nst", "records", _record_of(run, "owl")).unlink()
    finished = finish_run(run)

    assert (finished.summary.pending, finished.left) == (1, 1)
    assert storage.identity(storage.join(run.job.output, "_SUCCESS")) is None
    assert finish_run(dataclasses.replace(run, plan=RunPlan((), (), run.plan.todo, 0))).left == 0


def _record_of(run: PreparedRun, pair_id: str) -> str:
    (fingerprint,) = (pair.fingerprint for pair in run.plan.todo if pair.spec.pair_id == pair_id)
    return f"{pair_id}-{fingerprint}.json"


def test_pairs_of_earlier_runs_count_as_done_before(run: PreparedRun) -> None:
    """Pairs that an earlier run did count as done before, and not towards this run's time and costs."""
    later = dataclasses.replace(
        run,
        record=run.record.model_copy(update={"run_id": "a later run"}),
        plan=RunPlan((), run.plan.todo[:2], run.plan.todo[2:], 0),
    )
    summary = finish_run(later).summary

    assert (summary.run_id, summary.stylized_now, summary.done_before, summary.seconds_per_pair) == (
        "a later run",
        0,
        2,
        None,
    )
    assert summary.costs is None


def test_check_credentials_ignores_unreadable_files(run: PreparedRun) -> None:
    """A missing file, or a folder in place of one, raises nothing: the row's own failure reports it."""
    finished = finish_run(run)
    for name in ("dog", "waves"):
        (Path(run.job.output).parent / f"{name}.png").unlink()
    (Path(run.job.output).parent / "dog.png").mkdir()

    check_credentials(run, dataclasses.replace(finished, left=1))


@pytest.mark.parametrize("column", ["content", "style"])
def test_credentials_are_checked_only_if_pairs_are_left(
    run: PreparedRun, s3_bucket: str, s3_proxy: FaultProxy, column: str
) -> None:
    """If pairs are left and the credentials have expired, the run ends with that error; otherwise nobody needs them."""
    finished = finish_run(run)
    pair = run.plan.todo[-1]
    Path(pair.spec.content).unlink()
    Path(pair.spec.content).mkdir()  # a second unreadable input, which must not hide the error
    spec = dataclasses.replace(pair.spec, **{column: f"{s3_bucket}/there.png"})
    batch = Batch("one pair", (dataclasses.replace(pair, spec=spec),))
    remote = dataclasses.replace(run, plan=RunPlan((batch,), (), (), 0))
    s3_proxy.rule = lambda _method, _path: (400, "ExpiredToken")

    check_credentials(remote, finished)
    with pytest.raises(CredentialsExpired):
        check_credentials(remote, dataclasses.replace(finished, left=1))


def test_the_summary_has_the_time_since_the_run_was_prepared(run: PreparedRun) -> None:
    """The time is in seconds, rounded to a thousandth."""
    summary = finish_run(dataclasses.replace(run, began=time.monotonic() - 100.0)).summary

    assert 100.0 <= summary.seconds < 130.0
    assert summary.seconds == round(summary.seconds, 3)


def test_an_unwritable_table_does_not_hide_why_a_run_was_stopped(
    run: PreparedRun, caplog: pytest.LogCaptureFixture
) -> None:
    """A stopped run ends with its own error; that its table could not be written is logged without a traceback."""
    Path(run.job.output, "results.csv", "in the way").mkdir(parents=True)
    with pytest.raises(StorageError):
        finish_run(run)

    finish_stopped_run(run, KeyboardInterrupt(), lambda: None)

    assert "the table of this run could not be written" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_mark_is_removed_if_rows_are_pending(run: PreparedRun) -> None:
    """A `_SUCCESS` in the output, such as that of a run that ended as this one took it over, is removed if rows are
    pending.
    """
    mark = storage.join(run.job.output, "_SUCCESS")
    storage.replace(mark, b"of another run")
    for name in storage.names(storage.join(run.job.output, "_nst", "attempts")):
        storage.remove(storage.join(run.job.output, "_nst", "attempts", name))

    assert finish_run(run).summary.pending == 1
    assert storage.identity(mark) is None


def test_the_page_of_an_earlier_run_is_removed_if_there_were_pairs_to_do(run: PreparedRun) -> None:
    """A run that stops removes the page, which no longer shows the table; one with the same results leaves it."""
    page = storage.join(run.job.output, "report.html")
    nothing_to_do = dataclasses.replace(run, plan=RunPlan((), run.plan.todo, (), 0))
    finish_run(nothing_to_do)
    storage.replace(page, b"of an earlier run")
    finish_run(nothing_to_do)
    assert storage.read(page) == b"of an earlier run"

    finish_stopped_run(run, KeyboardInterrupt(), lambda: None)

    assert storage.identity(page) is None


def test_the_page_of_other_results_is_removed(run: PreparedRun) -> None:
    """A run with nothing to do removes a page of another manifest, or of fewer finished pairs."""
    page = storage.join(run.job.output, "report.html")
    nothing_to_do = dataclasses.replace(run, plan=RunPlan((), run.plan.todo, (), 0))
    finish_run(nothing_to_do)
    storage.replace(page, b"of another manifest")
    other = nothing_to_do.record.model_copy(update={"manifest_sha256": "0" * 64})
    finish_run(dataclasses.replace(nothing_to_do, record=other))
    assert storage.identity(page) is None

    storage.replace(page, b"of a time when dog had failed")
    finish_run(nothing_to_do)
    dog = next(pair for pair in run.plan.todo if pair.spec.pair_id == "dog")
    record = pair_record("dog", dog.fingerprint, run_id=run.record.run_id)
    storage.replace(storage.join(run.job.output, record.output), drawing("dog"))
    Ledger(run.job.output).commit(record)
    storage.replace(page, b"of a time when dog had failed")
    finish_run(nothing_to_do)

    assert storage.identity(page) is None


def test_a_page_that_cannot_be_removed_fails_no_run(run: PreparedRun, caplog: pytest.LogCaptureFixture) -> None:
    """A page that may not be removed stays, the log says so, and the run ends as it would have."""
    page = Path(run.job.output) / "report.html"
    (page / "a folder, which is not removed as a file").mkdir(parents=True)

    assert finish_run(run).summary.rows == 4
    assert [text for text in caplog.messages if "report.html of an earlier run stays" in text]


def test_an_output_that_was_taken_over_is_not_marked(run: PreparedRun) -> None:
    """Writing tables takes time, so the lease is checked once more: the new owner's output gets no mark, or keeps its
    own.
    """
    mark = storage.join(run.job.output, "_SUCCESS")
    with lease.held(run.job.output) as hold:
        other = new_lease(60.0).model_copy(update={"host": "elsewhere"})
        storage.replace(hold.address, as_json(other))
        with pytest.raises(OutputBusy):
            finish_run(run, check_hold=hold.check)
        assert storage.identity(mark) is None
        storage.replace(mark, b"of the other run")
        finish_stopped_run(run, KeyboardInterrupt(), hold.check)

    assert storage.read(mark) == b"of the other run"


@pytest.mark.parametrize(
    ("checks", "rewritten"),
    [(1, set()), (2, {"history.parquet"}), (3, {"history.parquet", "results.csv", "results.parquet"})],
)
@pytest.mark.parametrize("is_stopped", [False, True], ids=["ends", "is stopped"])
def test_a_run_that_is_taken_over_writes_no_more(
    run: PreparedRun, caplog: pytest.LogCaptureFixture, checks: int, rewritten: set[str], is_stopped: bool
) -> None:
    """The lease is checked before the histories, the tables and the rest; at the check that fails, nothing more is
    written or removed of the files that are the other run's now.
    """
    for name in layout.REWRITTEN:
        storage.replace(storage.join(run.job.output, name), b"of the other run")
    with lease.held(run.job.output) as hold:
        left = checks

        def check_hold() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                other = new_lease(60.0).model_copy(update={"host": "elsewhere"})
                storage.replace(hold.address, as_json(other))
            hold.check()

        if is_stopped:
            finish_stopped_run(run, KeyboardInterrupt(), check_hold)
            assert "the table of this run was not written" in caplog.text
        else:
            with pytest.raises(OutputBusy):
                finish_run(run, check_hold=check_hold)

    contents = {name: storage.read(storage.join(run.job.output, name)) for name in layout.REWRITTEN}
    assert {name for name, data in contents.items() if data != b"of the other run"} == rewritten


def test_the_page_of_a_run_that_took_the_output_over_is_kept(
    run: PreparedRun, caplog: pytest.LogCaptureFixture
) -> None:
    """A run whose output is taken over after its tables are written ends well, and leaves the page to the other."""
    finished = finish_run(run, most_kept=4)
    page = storage.join(run.job.output, "report.html")

    def written(hold: lease.Held) -> str | None:
        manifest, outcomes = run.request.manifest, finished.outcomes
        return page_at_end(run.job.output, run.record, manifest, outcomes, check_hold=hold.check)

    with lease.held(run.job.output) as hold:
        assert written(hold) == page
        storage.replace(page, b"of the other run")
        storage.replace(hold.address, as_json(new_lease(60.0).model_copy(update={"host": "elsewhere"})))
        assert written(hold) is None

    assert storage.read(page) == b"of the other run"
    assert "report.html was not written" in caplog.text


def test_a_pair_that_failed_before_is_left_until_it_has_another_outcome(run: PreparedRun) -> None:
    """A retry without an outcome shows the earlier failure, counts the pair as left and sets no mark; if the pair fails
    again, it is not left.
    """
    finish_run(run)
    asked = RunArguments(run.job.output, settings=run.request.settings, selection=Selection(only_failed=True))
    again = prepare_run(resolve(asked), run.means)
    mark = storage.join(run.job.output, "_SUCCESS")

    interrupted = finish_run(again)
    assert (interrupted.summary.failed, interrupted.summary.pending, interrupted.left) == (1, 0, 1)
    assert storage.identity(mark) is None

    (dog,) = again.plan.todo
    Ledger(run.job.output).add_attempt(attempt_record("dog", dog.fingerprint, attempt=2))
    ended = finish_run(again)
    assert (ended.summary.failed, ended.summary.pending, ended.left) == (1, 0, 0)
    assert storage.identity(mark) is not None

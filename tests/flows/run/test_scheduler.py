"""flows.run.scheduler: batches are handed to workers, and each batch's tally counts the outcomes of its pairs."""

import dataclasses
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flows.errors import CredentialsExpired, DeviceUnusable, ResultsNotKept, WorkerDied
from flows.output.ledger import Ledger
from flows.records.attempts import PairRecord
from flows.records.plans import PlannedPair
from flows.run.dispatch import Patience
from flows.run.finish import finish_run
from flows.run.plan import in_batches
from flows.run.prepare import PreparedRun, prepare_run
from flows.run.request import RunArguments, resolve
from flows.run.scheduler import BatchScheduler, Tally
from flows.runners import Means
from flows.runners.inline import link_here
from flows.runners.pool import Pool
from flows.settings import RunSettings
from flows.visit_inboxes import InboxTroubled
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import LeftPending, Message, StepTaken
from tests.flows.builders import Painter, attempt_record, pair_spec

Prepare = Callable[..., PreparedRun]


@pytest.fixture
def prepared(photo: Painter, style: Painter, tmp_path: Path) -> Prepare:
    """Return a function (stub options, number of pairs) -> a planned run of two styles, with a batch per style."""
    photos, styles = [photo(f"{n}.png", seed=n) for n in range(4)], [style(f"style-{n}.png", seed=n) for n in range(2)]

    def prepare(stub: str = "seconds=0", pairs: int = 4) -> PreparedRun:
        rows = [f"{photos[n % 4]},{styles[n % 2]},pair-{n}" for n in range(pairs)]
        (tmp_path / "pairs.csv").write_text("\n".join(["content,style,id", *rows, ""]))
        settings = RunSettings(backbone="stub", stub=stub, runner="inline")
        request = resolve(RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=settings))
        return prepare_run(request, Means(("cpu",), ("here",), "fp32"))

    return prepare


def pool() -> Pool:
    return Pool((("here", "cpu"),), link_here)


def carried_out(scheduler: BatchScheduler) -> dict[str, Tally]:
    tallies = {}
    while (batch := scheduler.next_batch()) is not None:
        tallies[batch] = scheduler.run_batch(batch)
        scheduler.give_back(batch)
    return tallies


def test_every_pair_is_done_and_reported(prepared: Prepare) -> None:
    """Each style has a batch; `on_message` gets all outcomes with the worker's name, and the table has all pairs."""
    run, heard = prepared(), []
    with pool() as workers:
        scheduler = BatchScheduler(run, workers, lambda worker, message: heard.append((worker, message)))
        tallies = carried_out(scheduler)
        scheduler.raise_error()

    assert [str(tally) for tally in tallies.values()] == ["2 succeeded, 0 failed"] * 2
    outcomes = [message.pair_id for _, message in heard if hasattr(message, "fingerprint")]
    assert (sorted(outcomes), {worker for worker, _ in heard}) == ([f"pair-{n}" for n in range(4)], {"here"})
    assert finish_run(run).summary.succeeded == 4


def test_pairs_that_failed_for_good_do_not_count_as_left(prepared: Prepare) -> None:
    """Of four pairs one failed for good and is skipped; the other three are pending, and counted as left."""
    first = prepared()
    bad = next(pair for pair in first.plan.todo if pair.spec.pair_id == "pair-3")
    Ledger(first.job.output).add_attempt(attempt_record("pair-3", bad.fingerprint))
    run = prepared()
    finished = finish_run(run)

    assert ([pair.spec.pair_id for pair in run.plan.unselected], run.plan.failed_for_good) == (["pair-3"], 1)
    assert (finished.summary.pending, finished.summary.failed, finished.left) == (3, 1, 3)


def test_a_failed_pair_is_counted_in_its_batch_only(prepared: Prepare) -> None:
    """A pair that fails is counted in the tally of its batch, and does not stop the run."""
    run = prepared("error=pair-2")
    with pool() as workers:
        scheduler = BatchScheduler(run, workers, lambda _worker, _message: None)
        tallies = [str(tally) for tally in carried_out(scheduler).values()]
        scheduler.raise_error()

    assert sorted(tallies) == ["1 succeeded, 1 failed", "2 succeeded, 0 failed"]


def test_expired_credentials_stop_the_run(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired credentials are no pair's fault: no further batch is handed out, and the run ends with the error."""
    run = prepared()
    message: Message = LeftPending("pair-0", "the token has expired", CredentialsExpired.kind)

    def expired(report: Callable[[Message], None], *_: object) -> None:
        report(message)

    monkeypatch.setattr("flows.run.dispatch.stylize_pairs", expired)
    with pool() as workers:
        scheduler = BatchScheduler(run, workers, lambda _worker, _message: None)
        batch = scheduler.next_batch()
        assert batch is not None
        with pytest.raises(CredentialsExpired, match="the token has expired"):
            scheduler.run_batch(batch)
        scheduler.give_back(batch)

        assert scheduler.next_batch() is None
        with pytest.raises(CredentialsExpired):
            scheduler.raise_error()


def blocked(run: PreparedRun, folders: Sequence[str]) -> list[Path]:
    """Put files in place of the output's folders, so that nothing can be written there, not even by root."""
    places = [Path(run.job.output, folder) for folder in folders]
    for place in places:
        place.write_text("in the way")
    return places


def one_pair_per_batch(run: PreparedRun) -> PreparedRun:
    """Return the run with a batch per pair, so that pairs are done one after the other."""
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, batches=in_batches(list(run.plan.todo), 1, 1)))


@pytest.mark.parametrize(("workers", "lost"), [(1, 9), (2, 17)])
@pytest.mark.parametrize("folders", [["images"], ["images", "_nst/attempts"]], ids=["failed", "left pending"])
def test_a_run_whose_results_cannot_be_written_is_stopped(
    prepared: Prepare, workers: int, lost: int, folders: list[str]
) -> None:
    """After eight lost results in a row per worker the next one ends the run, whether or not failures can be written.

    No further batch is handed out, the error names the cause, and the other pairs are pending.
    """
    run = one_pair_per_batch(prepared(pairs=20))
    run = dataclasses.replace(run, means=dataclasses.replace(run.means, devices=("cpu",) * workers))
    places, ends = blocked(run, folders), []
    with pool() as workers_of_run:
        scheduler = BatchScheduler(run, workers_of_run, lambda _worker, message: ends.append(type(message).__name__))
        with pytest.raises(ResultsNotKept, match=r"/out/images.*run the same command again to continue"):
            carried_out(scheduler)
        scheduler.give_back(next(iter(scheduler._assigned)))
        assert scheduler.next_batch() is None
        with pytest.raises(ResultsNotKept, match=f"the results of {lost} pairs in a row could not be written"):
            scheduler.raise_error()

    assert (ends.count("AttemptRecord"), ends.count("LeftPending")) == ((lost, 0) if len(folders) == 1 else (0, lost))
    for place in places:
        place.unlink()
    summary = finish_run(run).summary
    assert (summary.succeeded, summary.pending + summary.failed) == (0, 20)
    assert summary.pending >= 20 - lost


def test_a_stored_result_restarts_the_count_of_lost_ones(prepared: Prepare) -> None:
    """A storage that fails eight times in a row, twice, does not stop a run if a result is stored in between."""
    run, lost = one_pair_per_batch(prepared(pairs=20)), 0
    places = blocked(run, ["images", "_nst/attempts"])

    def on_message(_worker: str, message: Message) -> None:
        nonlocal lost
        if isinstance(message, LeftPending):
            lost += 1
            if lost % 8 == 0:
                for place in places:
                    place.unlink()
        elif isinstance(message, PairRecord):
            Path(run.job.output, "images").rename(Path(run.job.output, f"images {lost}"))
            blocked(run, ["images", "_nst/attempts"])

    with pool() as workers:
        scheduler = BatchScheduler(run, workers, on_message)
        tallies = carried_out(scheduler)
        scheduler.raise_error()

    assert (sum(tally.succeeded for tally in tallies.values()), lost) == (2, 18)


def test_unreadable_inputs_do_not_stop_the_run(prepared: Prepare) -> None:
    """Inputs that cannot be read fail their own pairs, however many there are."""
    run = one_pair_per_batch(prepared(pairs=20))
    for pair in run.plan.todo:
        Path(pair.spec.content).unlink(missing_ok=True)
    with pool() as workers:
        scheduler = BatchScheduler(run, workers, lambda _worker, _message: None)
        tallies = carried_out(scheduler)
        scheduler.raise_error()

    assert sum(tally.failed for tally in tallies.values()) == 20


TAKEN = "CUDA-capable device(s) is/are busy or unavailable"


def stylize_but_on(*taken: str) -> Callable[..., None]:
    """Return a substitute for `stylize_pairs` that does one pair and then raises DeviceUnusable on these devices."""

    def stylize(report: Callable[[Message], None], pairs: Sequence[PlannedPair], job: Job, device: str) -> None:
        if device not in taken:
            stylize_pairs(report, pairs, job, device)
            return
        stylize_pairs(report, pairs[:1], job, device)
        raise DeviceUnusable(f"{device}: {TAKEN}")

    return stylize


@pytest.mark.parametrize("at_once", [True, False], ids=["both batches at once", "one after the other"])
def test_an_unusable_device_is_left_out(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    """Another worker does the pairs that an unusable device has not done; that device never gets a batch again."""
    run = prepared("seconds=0.01")
    monkeypatch.setattr("flows.run.dispatch.stylize_pairs", stylize_but_on("taken"))
    with Pool((("first", "taken"), ("second", "cpu")), link_here) as workers:
        heard: list[tuple[str, str]] = []
        scheduler = BatchScheduler(run, workers, lambda worker, message: heard.append((worker, type(message).__name__)))
        tallies = carried_out_at_once(scheduler) if at_once else list(carried_out(scheduler).values())
        scheduler.raise_error()
        assert workers.take().name == "second"

    assert [str(tally) for tally in tallies] == ["2 succeeded, 0 failed"] * 2
    assert [worker for worker, kind in heard if kind == "PairRecord"].count("first") == 1
    assert [one.getMessage() for one in caplog.records] == [f"the run goes on without first: taken: {TAKEN}"]
    assert finish_run(run).summary.succeeded == 4


def carried_out_at_once(scheduler: BatchScheduler) -> list[Tally]:
    """Run as many batches at the same time as there are workers."""
    tallies: list[Tally] = []

    def run_batch(name: str) -> None:
        tallies.append(scheduler.run_batch(name))
        scheduler.give_back(name)

    threads = []
    while (batch := scheduler.next_batch()) is not None:
        threads.append(threading.Thread(target=run_batch, args=(batch,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return tallies


def test_a_run_ends_when_its_last_device_is_unusable(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with the device's error; the pairs done before are kept, and the others are pending."""
    run = prepared()
    monkeypatch.setattr("flows.run.dispatch.stylize_pairs", stylize_but_on("taken", "taken too"))
    with Pool((("first", "taken"), ("second", "taken too")), link_here) as workers:
        scheduler = BatchScheduler(run, workers, lambda _worker, _message: None)
        batch = scheduler.next_batch()
        assert batch is not None
        with pytest.raises(DeviceUnusable, match=r"taken too: CUDA-capable device"):
            scheduler.run_batch(batch)
        scheduler.give_back(batch)

        assert scheduler.next_batch() is None

    summary = finish_run(run).summary
    assert (summary.succeeded, summary.pending, summary.failed) == (2, 2, 0)


def test_a_stopped_pool_leaves_pairs_pending(prepared: Prepare) -> None:
    """An interruption is no error of the run: pairs without an outcome count as pending."""
    run = prepared("seconds=0.05")
    with pool() as workers:
        scheduler = BatchScheduler(
            run, workers, lambda _worker, message: None if isinstance(message, StepTaken) else workers.stop()
        )
        batch = scheduler.next_batch()
        assert batch is not None
        tally = scheduler.run_batch(batch)
        scheduler.raise_error()

    assert tally.pending >= 1
    assert str(tally).endswith(f", {tally.pending} left pending")


def test_errors_with_attributes_survive_pickling() -> None:
    """Errors keep their attributes when Prefect or a worker sends them to another process."""
    troubled = pickle.loads(pickle.dumps(InboxTroubled("inbox: pairs.csv", {})))

    assert (str(troubled), troubled.visits, troubled.retryable) == ("inbox: pairs.csv", {}, True)
    assert isinstance(pickle.loads(pickle.dumps(WorkerDied("killed"))), WorkerDied)


def test_a_worker_continues_with_its_cached_style(prepared: Prepare) -> None:
    """The next batch of a worker has the style of its last batch, as long as there is one."""
    run = prepared()
    plan = dataclasses.replace(run.plan, batches=in_batches(list(run.plan.todo), 1, 1))
    with pool() as workers:
        scheduler = BatchScheduler(dataclasses.replace(run, plan=plan), workers, lambda _worker, _message: None)
        names = list(carried_out(scheduler))
        styles = [batch.pairs[0].spec.style for name in names for batch in plan.batches if batch.name == name]

    assert len(styles) == 4
    assert styles == sorted(styles)


def test_patience_comes_from_the_settings_and_the_size(prepared: Prepare) -> None:
    """The limits per pair and without a message come from the settings; the latter is longer for very large images."""
    run = prepared()
    settings = run.request.settings.model_copy(update={"pair_timeout_seconds": 7.0, "stall_seconds": 70.0})
    scheduler = BatchScheduler(
        dataclasses.replace(run, request=dataclasses.replace(run.request, settings=settings)), pool(), print
    )

    (batch,) = run.plan.batches[:1]
    poster = pair_spec(options={"size_px": 8192})
    of_poster = dataclasses.replace(batch, pairs=(dataclasses.replace(batch.pairs[0], spec=poster),))

    assert scheduler._patience_with(batch) == Patience(pair_seconds=7.0, stall_seconds=70.0)
    # A poster has sixteen times the pixels of 2048 px, so that a step takes sixteen times as long.
    assert scheduler._patience_with(of_poster) == Patience(pair_seconds=7.0, stall_seconds=16 * 70.0)


def test_a_tally_in_words() -> None:
    """A tally states pending pairs, those without an outcome, only if there are any."""
    assert str(Tally(5, succeeded=2, failed=1)) == "2 succeeded, 1 failed, 2 left pending"
    assert str(Tally(3, succeeded=2, failed=1)) == "2 succeeded, 1 failed"

"""flows.run.dispatch: batches on real worker processes that are killed, run out of memory, and are stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.clock import AwakeClock
from flows.errors import HardwareUnknown, PoolStopped, TookTooLong, WorkerDied
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import Batch, PlannedPair
from flows.run import dispatch
from flows.run.dispatch import Patience, regrouped, run_batch
from flows.runners import Pool, Worker
from flows.runners.local import process_pool
from flows.stub import WEIGHTS, Stub
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Message, StepTaken
from tests.flows import pool_jobs
from tests.flows.builders import FINGERPRINT, Painter, pair_record, pair_spec, planned

QUICK = {
    "size_px": 64,
    "steps": 2,
    "style_layers": ("relu1_1", "relu2_1"),
    "content_layers": ("relu2_1",),
}


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool of one process, which has one thread, as the images are small; it is stopped at the end."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", pool_jobs.FOLDER, prepend=os.pathsep)
    with process_pool(("cpu",)) as made:
        yield made


@pytest.fixture
def worker(pool: Pool) -> Worker:
    """The worker of the pool."""
    return pool.take()


def batch_of(contents: list[str], style: str, **options: object) -> Batch:
    specs = [pair_spec(row, content, style, options=QUICK | options) for row, content in enumerate(contents, start=2)]
    return Batch("a batch", tuple(planned(spec) for spec in specs))


def six_pairs(photo: Painter, waves: str, **options: object) -> Batch:
    """Return a batch of six pairs of two sizes."""
    return batch_of([photo(f"{seed}.png", 80, 60 + 10 * (seed % 2), seed=seed) for seed in range(6)], waves, **options)


class Listener:
    """Collects messages, and kills the process whenever one of the `deadly` pairs is on the device, at most `times`
    times.
    """

    def __init__(self, *deadly: str, times: int = 1000) -> None:
        self.deadly, self.times = set(deadly), times
        self.outcomes: list[Message] = []
        self.process_ids: list[int] = []
        self.begun: list[str] = []

    def __call__(self, message: Message) -> None:
        if isinstance(message, StepTaken):
            return
        if not isinstance(message, ChunkStarted):
            self.outcomes.append(message)
            return
        self.process_ids.append(message.process_id)
        self.begun += message.pair_ids
        if self.times and self.deadly & set(message.pair_ids):
            self.times -= 1
            os.kill(message.process_id, signal.SIGKILL)

    def by_id(self) -> dict[str, Message]:
        assert len({one.pair_id for one in self.outcomes}) == len(self.outcomes)
        return {one.pair_id: one for one in self.outcomes}


def test_a_batch_is_done_in_one_process(worker: Worker, photo: Painter, waves: str, job: Job) -> None:
    """Every pair has its outcome, all from one process other than this one."""
    heard = Listener()
    run_batch(six_pairs(photo, waves), job, worker, heard)

    assert {type(one) for one in heard.by_id().values()} == {PairRecord}
    assert len(heard.outcomes) == 6
    assert len(set(heard.process_ids)) == 1
    assert os.getpid() not in heard.process_ids


@pytest.mark.slow
def test_a_process_killed_in_a_chunk_fails_no_pair(
    worker: Worker, photo: Painter, waves: str, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    """If the process is killed with pairs on the device, another one does them, no pair fails, and the log says so."""
    heard = Listener("pair-4", times=1)
    run_batch(six_pairs(photo, waves, steps=20, plateau_tolerance=0.0), job, worker, heard)

    assert [type(one) for one in heard.outcomes] == [PairRecord] * 6
    assert {one.attempts for one in heard.outcomes} == {1}
    assert len(heard.by_id()) == 6
    assert len(set(heard.process_ids)) == 2
    (line,) = caplog.messages
    assert line.startswith(f"the worker process of {worker.name} was killed by SIGKILL; there may have been too little")
    assert "pair-4" in line.partition("Done again from their beginning: ")[2]


@pytest.mark.slow
def test_a_pair_that_kills_its_process_fails_alone(worker: Worker, photo: Painter, waves: str, job: Job) -> None:
    """A pair whose process dies every time fails after it died alone; the other pairs of the batch are done."""
    heard = Listener("pair-5")
    run_batch(six_pairs(photo, waves, steps=20, plateau_tolerance=0.0), job, worker, heard)
    result = heard.by_id()
    attempt = result.pop("pair-5")

    assert isinstance(attempt, AttemptRecord)
    assert (attempt.error_kind, attempt.retryable, attempt.device) == ("worker_died", True, "cpu")
    assert "killed by SIGKILL" in attempt.error
    assert Ledger(job.output).read_attempt(("pair-5", FINGERPRINT), 1) == attempt
    assert [type(one) for one in result.values()] == [PairRecord] * 5
    assert heard.times == 1000 - 2


def test_a_stopped_batch_keeps_its_outcomes(pool: Pool, photo: Painter, waves: str, job: Job) -> None:
    """A batch that is stopped at its first outcome raises PoolStopped; reported outcomes are kept, and none is a
    failure.
    """
    told: list[Message] = []

    def stop_at_once(message: Message) -> None:
        if not isinstance(message, ChunkStarted | StepTaken):
            told.append(message)
            pool.stop()

    with pytest.raises(PoolStopped):
        run_batch(six_pairs(photo, waves, max_seconds=600.0, steps=100), job, pool.take(), stop_at_once)

    index = Ledger(job.output).index()
    assert {(one.pair_id, FINGERPRINT) for one in told} <= index.done
    assert len(index.done) < 6
    assert index.attempts == {}


@pytest.mark.slow
def test_too_little_memory_for_a_chunk_fails_no_pair(worker: Worker, photo: Painter, waves: str, job: Job) -> None:
    """In a process with too little memory for four such pairs, the chunk is halved until all succeed."""
    contents = [photo(f"{seed}.png", 192, 192, seed=seed) for seed in range(4)]
    batch = batch_of(contents, waves, size_px=192, steps=1)
    # One pair needs less than 60 MB, and all four need more than 130 MB.
    failures, results = pool_jobs.done_by(worker, pool_jobs.stylize_in_little_memory, batch.pairs, job, 100_000_000)

    assert failures[0] == (4, "OutOfMemory")
    assert results == ["Stylized"] * 4


# ---------------------------------------------------------------- simulated failures


def stub_job(job: Job, stub: Stub) -> Job:
    return Job(job.output, job.run_id, WEIGHTS, "fp32", stub=stub)


@pytest.mark.parametrize(
    ("stub", "patience", "kind", "words"),
    [
        (Stub(hang=("pair-4",)), Patience(pair_seconds=4.0), "timeout", "4 s per pair are allowed"),
        (
            Stub(hang=("pair-4",)),
            Patience(stall_seconds=8.0),
            "timeout",
            "killed; if it was at work, --stall-seconds allows more",
        ),
        (Stub(exit=("pair-4",)), Patience(), "worker_died", "ended by itself"),
        (Stub(kill=("pair-4",)), Patience(), "worker_died", "killed by SIGKILL"),
        (Stub(lose=("pair-4",)), Patience(), "device_lost", "of no use to its process"),
    ],
    ids=["exceeds its time", "sends no message", "exits", "is killed", "loses its GPU"],
)
def test_a_pair_that_disables_its_process_fails_alone(
    worker: Worker, photo: Painter, waves: str, job: Job, stub: Stub, patience: Patience, kind: str, words: str
) -> None:
    """If one pair of six hangs, ends its process, or loses its GPU, only that pair fails, and its error says why."""
    heard = Listener()
    run_batch(six_pairs(photo, waves), stub_job(job, stub), worker, heard, patience)
    result = heard.by_id()
    attempt = result.pop("pair-4")

    assert isinstance(attempt, AttemptRecord)
    assert (attempt.error_kind, words in attempt.error, attempt.retryable) == (kind, True, True)
    assert [type(one) for one in result.values()] == [PairRecord] * 5


def test_a_pair_that_hangs_alone_is_not_tried_again(worker: Worker, photo: Painter, waves: str, job: Job) -> None:
    """A pair that was alone on the device certainly caused the hang, so it fails at once, unlike after a death."""
    heard = Listener()
    run_batch(six_pairs(photo, waves), stub_job(job, Stub(hang=("pair-2",))), worker, heard, Patience(pair_seconds=4.0))

    assert heard.by_id()["pair-2"].error_kind == "timeout"
    assert heard.begun.count("pair-2") == 1


@pytest.mark.parametrize(("deaths", "outcome", "begun"), [(1, PairRecord, 2), (1000, AttemptRecord, 2)])
def test_the_only_pair_of_a_batch_fails_at_the_second_death(
    worker: Worker, photo: Painter, waves: str, job: Job, deaths: int, outcome: type[Message], begun: int
) -> None:
    """The only pair of a batch is tried once more when its process is killed, and fails if that happens again."""
    heard = Listener("pair-2", times=deaths)
    batch = batch_of([photo("one.png", 80, 60)], waves)
    run_batch(batch, stub_job(job, Stub(seconds=1.0)), worker, heard)

    assert [type(one) for one in heard.outcomes] == [outcome]
    assert heard.begun == ["pair-2"] * begun


def test_an_engine_that_cannot_be_loaded_ends_the_batch(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, photo: Painter, waves: str, job: Job, tmp_path: Path
) -> None:
    """If torch cannot be imported, the batch ends with one error, and no pair fails."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=os.pathsep)
    heard = Listener()

    with pytest.raises(
        HardwareUnknown, match=r"torch cannot be started: libcudart\.so\.12.*; install deploy/requirements\.lock again"
    ):
        run_batch(six_pairs(photo, waves), job, pool.take(), heard)
    assert heard.outcomes == []


# ---------------------------------------------------------------- after a death, and time limits


def pairs(*rows: int) -> tuple[PlannedPair, ...]:
    return tuple(PlannedPair(pair_spec(row), "x", "y", FINGERPRINT) for row in rows)


@pytest.mark.parametrize(
    ("left", "begun", "groups"),
    [
        ((2, 3, 4, 5), (3, 4), [[2, 5], [3], [4]]),
        ((2, 3), (2, 3), [[2], [3]]),
        ((2, 3), (), [[2], [3]]),
        ((2, 3), (9,), [[2], [3]]),
        ((), (2,), []),
    ],
    ids=["a chunk", "all", "before the first chunk", "after the last chunk", "nothing left"],
)
def test_pairs_that_were_on_the_device_are_done_one_by_one(
    left: tuple[int, ...], begun: tuple[int, ...], groups: list[list[int]]
) -> None:
    """After a death, unfinished pairs that had begun are done each alone; the others are done together, and first."""
    made = regrouped(pairs(*left), {f"pair-{row}" for row in begun})

    assert [[pair.spec.row for pair in group] for group in made] == groups


@pytest.mark.parametrize(
    ("left", "on_device", "outlived_one", "too_long", "at_fault"),
    [
        ((2, 3), (2, 3), (), True, []),  # both were on the device: either may be the cause
        ((2, 3), (3,), (), True, [3]),
        ((2,), (2, 3), (), True, [2]),  # the other one is done already
        ((2, 3), (2,), (2,), False, []),  # a death with other pairs in the process is no proof
        ((2,), (2,), (), False, []),
        ((2,), (2,), (2,), False, [2]),
        ((2,), (2,), (3,), False, []),
    ],
)
def test_at_fault_is_a_pair_that_was_certainly_the_cause(
    left: tuple[int, ...],
    on_device: tuple[int, ...],
    outlived_one: tuple[int, ...],
    too_long: bool,
    at_fault: list[int],
) -> None:
    """A hang is the fault of the pair that was alone on the device or in its group.

    A death is the fault of a pair that is alone and has outlived one death already.
    """
    watch = dispatch._Watch(lambda _message: None, Patience())
    watch(ChunkStarted(tuple(f"pair-{row}" for row in on_device), 1))
    error = TookTooLong("hangs") if too_long else WorkerDied("killed")

    found = dispatch._at_fault(pairs(*left), watch, error, {f"pair-{row}" for row in outlived_one})

    assert [pair.spec.row for pair in found] == at_fault


class Clock:
    """Replaces the clock of the watch; a test sets its seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def seconds(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the watch."""
    made = Clock()
    monkeypatch.setattr(dispatch, "awake_seconds", made.seconds)
    return made


def test_the_stall_limit_counts_from_the_first_check_or_last_message(clock: Clock) -> None:
    """The time that a process takes to start does not count; then each message, such as a step, restarts the limit."""
    watch = dispatch._Watch(lambda _message: None, Patience(stall_seconds=60.0))
    clock.now += 500.0
    watch.check()
    clock.now += 60.0
    watch.check()
    watch(StepTaken("pair-2", 0, 1, 2.0))
    clock.now += 60.0
    watch.check()
    clock.now += 1.0

    with pytest.raises(TookTooLong, match="no sign of life for 61 s"):
        watch.check()


def test_the_time_limit_is_shared_by_the_pairs_on_the_device(clock: Clock) -> None:
    """Two pairs have twice the time of one from their start on; once all are done, no limit applies."""
    heard: list[Message] = []
    watch = dispatch._Watch(heard.append, Patience(pair_seconds=10.0, stall_seconds=1e9))
    clock.now += 100.0
    watch.check()
    watch(ChunkStarted(("pair-2", "pair-3"), 1))
    clock.now += 20.0
    watch.check()
    watch(pair_record("pair-2"))
    watch.check()
    clock.now += 1.0
    with pytest.raises(TookTooLong, match=r"not done after 21 s on the device; 10 s per pair are allowed"):
        watch.check()
    watch(pair_record("pair-3"))
    watch.check()
    watch(ChunkStarted(("pair-4",), 1))
    clock.now += 11.0
    with pytest.raises(TookTooLong):
        watch.check()

    assert (watch.begun, watch.finished) == ({"pair-2", "pair-3", "pair-4"}, {"pair-2", "pair-3"})
    assert len(heard) == 4


def test_waits_for_storage_do_not_count_as_a_pair_s_time(clock: Clock) -> None:
    """Neither waits within a chunk nor after it count: a pair that is computed does not take too long."""
    heard: list[Message] = []
    watch = dispatch._Watch(heard.append, Patience(pair_seconds=10.0, stall_seconds=1e9))
    watch(ChunkStarted(("pair-2",), 1))
    clock.now += 8.0
    watch(DeviceWaits())
    clock.now += 500.0
    watch.check()
    watch(DeviceGoesOn())
    clock.now += 2.0
    watch.check()
    watch(DeviceWaits())
    clock.now += 500.0
    watch.check()
    watch(ChunkStarted(("pair-3",), 1))
    clock.now += 10.0
    watch.check()
    clock.now += 1.0
    with pytest.raises(TookTooLong, match="not done after 11 s on the device"):
        watch.check()

    assert heard == [ChunkStarted(("pair-2",), 1), ChunkStarted(("pair-3",), 1)]


def test_a_run_that_was_stopped_kills_no_worker(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the run is stopped for hours, as by Ctrl-Z, and its worker with it, no limit is over when both go on.

    From then on the limits hold as before.
    """
    monkeypatch.setattr(dispatch, "awake_seconds", AwakeClock(clock.seconds).seconds)
    watch = dispatch._Watch(lambda _message: None, Patience(pair_seconds=60.0, stall_seconds=60.0))
    watch(ChunkStarted(("pair-2",), 1))
    clock.now += 0.5
    watch.check()
    clock.now += 7200.0
    watch.check()
    watch(StepTaken("pair-2", 0, 1, 2.0))
    clock.now += 7200.0
    watch.check()

    def check_twice_a_second(seconds: float) -> None:
        for _ in range(int(2 * seconds)):
            clock.now += 0.5
            watch.check()

    check_twice_a_second(50.0)
    with pytest.raises(TookTooLong, match=r"not done after 60 s on the device"):
        check_twice_a_second(10.0)


def test_without_pair_seconds_only_silence_is_limited(clock: Clock) -> None:
    """Without `pair_seconds`, a pair may take any time."""
    watch = dispatch._Watch(lambda _message: None, Patience(stall_seconds=1e9))
    watch(ChunkStarted(("pair-2",), 1))
    clock.now += 1e6

    watch.check()

"""flows.runners.pool and .local: real worker processes that respond, fail, die, are replaced and are stopped."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.errors import HardwareUnknown, PoolStopped, WorkerDied
from flows.runners import Pool, Worker
from flows.runners.inline import link_here
from flows.runners.local import process_pool
from flows.runners.pool import Link
from flows.runners.protocol import CallBegan, CallEnded
from tests.flows import pool_jobs
from tests.flows.pool_jobs import done_by, told_by

PATIENCE = 20.0
"""The time after which a call counts as hanging."""


class Call(threading.Thread):
    """A call in a thread of its own, and its outcome."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.function = function
        self.outcome: object = "still waiting"
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.function()
        except Exception as error:  # noqa: BLE001  # the test checks which error it is
            self.outcome = error

    def wait(self, seconds: float = PATIENCE) -> object:
        self.join(seconds)
        return self.outcome


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# ---------------------------------------------------------------- one worker


def test_a_call_returns_the_function_s_result(worker: Worker) -> None:
    """A function runs in the worker's process with its arguments, and the call returns its result."""
    assert done_by(worker, pool_jobs.add, 2, second=3) == 5


def test_one_process_executes_all_calls(worker: Worker) -> None:
    """All calls of a worker run in one process other than this one, so that the model stays loaded."""
    process_ids = {done_by(worker, pool_jobs.process_id) for _ in range(3)}

    assert len(process_ids) == 1
    assert os.getpid() not in process_ids


def test_a_call_raises_the_function_s_error(worker: Worker) -> None:
    """An error of the function is raised here with its attributes, and the process stays."""
    before = done_by(worker, pool_jobs.process_id)
    with pytest.raises(pool_jobs.TwoPartError, match=r"cat\.png: too small") as caught:
        done_by(worker, pool_jobs.raise_two_parts)

    assert (caught.value.name, caught.value.reason) == ("cat.png", "too small")
    assert done_by(worker, pool_jobs.process_id) == before


def test_an_unpicklable_error_fails_one_call(worker: Worker) -> None:
    """An error that cannot be unpickled fails its call all the same; the next call works, and no second process is
    left.
    """
    before = done_by(worker, pool_jobs.process_id)
    first = Call(lambda: done_by(worker, pool_jobs.raise_unpicklable)).wait()
    second = Call(lambda: done_by(worker, pool_jobs.process_id)).wait()

    assert isinstance(first, Exception)
    assert isinstance(second, int)
    assert second == before or wait_until(lambda: not is_alive(before), 3)


def test_a_runtime_error_of_the_function_is_passed_on(worker: Worker) -> None:
    """A RuntimeError of the function is not mistaken for a failure of the process."""
    with pytest.raises(RuntimeError, match="of the function itself"):
        done_by(worker, pool_jobs.raise_runtime_error)

    assert done_by(worker, pool_jobs.add, 1, second=1) == 2


@pytest.mark.parametrize(
    ("job", "arguments", "how"),
    [
        (pool_jobs.exit_at_once, (3,), "ended by itself in the middle of its work, with exit code 3"),
        (pool_jobs.exit_at_once, (0,), "ended by itself in the middle of its work, with exit code 0"),
        (pool_jobs.end_by, (signal.SIGSEGV,), "was killed by SIGSEGV"),
        (pool_jobs.end_by, (40,), "was killed by signal 40"),
        (pool_jobs.kill_itself, (), "was killed by SIGKILL; there may have been too little memory: lower size_px"),
    ],
    ids=["exit 3", "exit 0", "SIGSEGV", "signal 40", "SIGKILL"],
)
def test_a_death_of_the_process_fails_one_call(
    worker: Worker, job: Callable[..., None], arguments: tuple[int, ...], how: str
) -> None:
    """A process that dies fails its call as WorkerDied, whose message says how; the next call has a new process."""
    before = done_by(worker, pool_jobs.process_id)
    with pytest.raises(WorkerDied) as caught:
        done_by(worker, job, *arguments)

    assert str(caught.value) == f"the worker process of cpu {how}"
    assert (caught.value.kind, caught.value.retryable) == ("worker_died", True)
    assert done_by(worker, pool_jobs.process_id) != before


def test_each_of_several_deaths_fails_one_call(worker: Worker) -> None:
    """However often its processes die, a worker gets a new one."""
    for _ in range(3):
        with pytest.raises(WorkerDied):
            done_by(worker, pool_jobs.kill_itself)

    assert done_by(worker, pool_jobs.add, 1, second=1) == 2


@pytest.mark.parametrize("pause", [0.0, 0.5], ids=["at once", "later"])
def test_a_death_between_calls_fails_at_most_one_call(worker: Worker, pause: float) -> None:
    """An idle process that is killed, as when memory runs out, is replaced; only a call at that moment may fail."""
    before = done_by(worker, pool_jobs.process_id)
    os.kill(before, signal.SIGKILL)
    time.sleep(pause)
    first = Call(lambda: done_by(worker, pool_jobs.process_id)).wait()
    second = Call(lambda: done_by(worker, pool_jobs.process_id)).wait()

    assert isinstance(first, int) if pause else isinstance(first, int | WorkerDied)
    assert isinstance(second, int) and second != before


def test_a_worker_ignores_sigint(worker: Worker) -> None:
    """The worker ignores SIGINT, which a terminal sends to every process: only the parent responds to it."""
    assert done_by(worker, pool_jobs.interrupt_itself) == "still here"


def test_a_worker_starts_with_the_parent_s_log_levels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker has the parent's level for the project's own loggers and WARNING for others, and starts without torch.

    Its import path has the folder of PYTHONPATH, but neither the working folder nor an empty entry.
    """
    logger, level = logging.getLogger("flows"), logging.getLogger("flows").level
    logger.setLevel(logging.INFO)
    monkeypatch.chdir(tmp_path)
    try:
        with process_pool(("cpu",)) as pool:
            facts = done_by(pool.take(), pool_jobs.facts)
    finally:
        logger.setLevel(level)
    path = facts.pop("path")

    assert facts == {
        "main": None,
        "torch": False,
        "flows": logging.INFO,
        "nst_core": logging.INFO,
        "root": logging.WARNING,
    }
    assert pool_jobs.FOLDER in path
    assert not {"", str(tmp_path)} & set(path)


def test_openmp_variables_are_set_for_workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's wait policy is set for workers only, and a variable that the user has set keeps its value."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    with process_pool(("cpu",)) as pool:
        found = done_by(pool.take(), pool_jobs.environment_of, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")

    assert found == ["PASSIVE", "7"]
    assert "OMP_WAIT_POLICY" not in os.environ


def test_a_worker_s_output_and_paths_are_its_parent_s(tmp_path: Path) -> None:
    """A worker logs to the parent's log and prints to the parent's stdout; relative paths are the parent's."""
    code = (
        "import logging\nfrom tests.flows import pool_jobs\n"
        "from flows.runners.local import process_pool\n"
        "logging.basicConfig(format='%(name)s %(message)s')\n"
        "with process_pool(('cpu',)) as pool:\n"
        "    pool_jobs.done_by(pool.take(), pool_jobs.say_so, 'left.txt')\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert outcome.stdout == "printed by a worker\n"
    assert outcome.stderr == "flows logged by a worker\n"
    assert (tmp_path / "left.txt").read_text() == "written by a worker"


def test_workers_do_not_run_the_script_again(tmp_path: Path) -> None:
    """A script without a main guard runs once although it starts workers, even beside a file named like a module."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom tests.flows import pool_jobs\n"
        "print('the script runs')\n"
        "from flows.runners.local import process_pool\n"
        "with process_pool(('cpu', 'cpu')) as pool:\n"
        "    for worker in (pool.take(), pool.take()):\n"
        "        print(pool_jobs.done_by(worker, pool_jobs.facts)['main'], 'script' in sys.modules)\n"
    )
    (tmp_path / "pickle.py").write_text("raise ImportError('a file of the user')")
    command = [sys.executable, "-P", str(script)]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (outcome.stderr, outcome.stdout.splitlines()) == ("", ["the script runs", "None False", "None False"])


def test_a_worker_has_the_packages_of_its_parent(tmp_path: Path) -> None:
    """Packages that only the script's own folder contains are found by its workers too: the same files."""
    root = Path(__file__).parents[3]
    for package in ("flows", "nst_core"):
        shutil.copytree(root / package, tmp_path / package)
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.flows import pool_jobs\n"
        "from flows.runners.local import process_pool\n"
        "with process_pool(('cpu',)) as pool:\n"
        "    print(pool_jobs.done_by(pool.take(), pool_jobs.files_of, 'flows', 'nst_core'))\n"
    )
    outcome = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd="/")

    assert outcome.stdout.strip() == str([str(tmp_path / name / "__init__.py") for name in ("flows", "nst_core")])


# ---------------------------------------------------------------- messages during a call


def test_all_messages_are_delivered_before_the_result(worker: Worker) -> None:
    """A call's messages are delivered in order before it returns; each call receives only its own."""
    first: list[object] = []
    second: list[object] = []

    assert told_by(worker, first.append, pool_jobs.say, 1, "two", None) == "return"
    assert told_by(worker, second.append, pool_jobs.say) == "return"
    assert (first, second) == ([1, "two", None], [])


def test_messages_are_delivered_while_the_call_runs(pool: Pool) -> None:
    """A message is delivered at once, while the function still runs."""
    heard = threading.Event()
    call = Call(lambda: told_by(pool.take(), lambda _: heard.set(), pool_jobs.say, "here", then="wait"))
    in_time = heard.wait(PATIENCE)
    pool.stop()

    assert in_time
    assert isinstance(call.wait(5), PoolStopped)


@pytest.mark.parametrize(("end", "error"), [("die", WorkerDied), ("raise", pool_jobs.TwoPartError)])
def test_messages_before_a_death_or_error_are_delivered(worker: Worker, end: str, error: type[Exception]) -> None:
    """Messages sent before the process died or the function failed are delivered, and not in the next call."""
    heard: list[object] = []
    messages = [str(number) * 300 for number in range(50)]
    with pytest.raises(error):
        told_by(worker, heard.append, pool_jobs.say, *messages, then=end)
    again: list[object] = []
    told_by(worker, again.append, pool_jobs.say, "anew")

    assert heard == messages
    assert again == ["anew"]


def test_an_exit_with_code_0_in_a_call_is_a_death(worker: Worker) -> None:
    """A process that exits with code 0 in the middle of a call has died all the same: the call fails as WorkerDied."""
    heard: list[object] = []
    call = Call(lambda: told_by(worker, heard.append, pool_jobs.say, "last words", then="exit"))

    assert isinstance(call.wait(), WorkerDied)
    assert heard == ["last words"]
    assert done_by(worker, pool_jobs.add, 1, second=1) == 2


def test_an_error_of_watch_ends_the_call_and_its_process(worker: Worker) -> None:
    """An error of `watch` is raised while the function still runs; its process is killed, and the next call has
    another.
    """
    before = done_by(worker, pool_jobs.process_id)
    end = time.monotonic() + 0.5

    def watch() -> None:
        if time.monotonic() > end:
            raise TimeoutError("too long")

    began = time.monotonic()
    with pytest.raises(TimeoutError, match="too long"):
        worker.run_watched(lambda _: None, watch, pool_jobs.say, then="wait")

    assert time.monotonic() - began < 10
    assert wait_until(lambda: not is_alive(before))
    assert done_by(worker, pool_jobs.process_id) != before


def test_a_death_in_the_middle_of_a_message_is_noticed(worker: Worker) -> None:
    """A process killed while it sends a message fails the call; only the complete messages before are delivered."""
    heard: list[object] = []
    call = Call(lambda: told_by(worker, heard.append, pool_jobs.half_a_message_and_die))

    assert isinstance(call.wait(), WorkerDied)
    assert heard[0] == "whole"
    assert {len(str(one)) for one in heard[1:]} <= {50_000_000}
    assert done_by(worker, pool_jobs.add, 1, second=1) == 2


def test_a_death_is_noticed_though_a_forked_child_lives(worker: Worker) -> None:
    """A worker's death is noticed although a child that it forked keeps its end of the connection open."""
    began = time.monotonic()
    with pytest.raises(WorkerDied, match="exit code 3"):
        done_by(worker, pool_jobs.fork_and_exit)

    assert time.monotonic() - began < 6


def test_an_unpicklable_value_or_function_fails_one_call(worker: Worker) -> None:
    """A value that cannot be pickled fails only its own call, as does a function that the worker cannot import."""
    before = done_by(worker, pool_jobs.process_id)
    with pytest.raises(RuntimeError, match="pickle"):
        done_by(worker, pool_jobs.unpicklable_value)
    is_alive.__module__, kept = "nowhere", is_alive.__module__
    sys.modules["nowhere"] = sys.modules[__name__]
    try:
        with pytest.raises(ModuleNotFoundError, match="nowhere"):
            done_by(worker, is_alive, 1)
    finally:
        is_alive.__module__ = kept
        del sys.modules["nowhere"]

    assert done_by(worker, pool_jobs.process_id) == before


def test_an_error_carries_the_worker_s_traceback(worker: Worker) -> None:
    """The traceback of the worker's process is attached to the error as a note."""
    with pytest.raises(RuntimeError) as caught:
        done_by(worker, pool_jobs.raise_runtime_error)

    (note,) = caught.value.__notes__
    assert "in raise_runtime_error" in note


def test_an_error_of_on_message_ends_the_call_and_its_process(worker: Worker) -> None:
    """An error of `on_message` is raised at once; the process of the call is killed, and the next call has another."""
    before = done_by(worker, pool_jobs.process_id)

    def fail(message: object) -> None:
        raise ValueError(f"{message} is not wanted")

    with pytest.raises(ValueError, match="this is not wanted"):
        told_by(worker, fail, pool_jobs.say, "this", "and that", then="wait")
    heard: list[object] = []
    told_by(worker, heard.append, pool_jobs.say, "anew")

    assert heard == ["anew"]
    assert wait_until(lambda: not is_alive(before))


# ---------------------------------------------------------------- stopping


def test_stopping_ends_a_call_in_flight(tmp_path: Path) -> None:
    """`stop` kills the process in the middle of its work; the thread that waits for it gets PoolStopped, every time."""
    outcomes, seconds, left = [], [], []
    for number in range(6):
        pool, started = process_pool(("cpu",)), tmp_path / str(number)
        worker = pool.take()
        call = Call(lambda worker=worker, started=started: done_by(worker, pool_jobs.sleep, 60.0, str(started)))
        assert wait_until(lambda started=started: started.exists() and bool(started.read_text()))
        began = time.monotonic()
        pool.stop()
        outcomes.append(type(call.wait(5)))
        seconds.append(time.monotonic() - began)
        left.append(is_alive(int(started.read_text())))

    assert outcomes == [PoolStopped] * 6
    assert max(seconds) < 5
    assert left == [False] * 6


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.05])
def test_stopping_ends_a_call_whose_process_is_starting(pause: float) -> None:
    """A call whose process is still starting is ended too, whether or not the call was sent already."""
    pool = process_pool(("cpu",))
    call = Call(lambda: done_by(pool.take(), pool_jobs.sleep, 60.0))
    time.sleep(pause)
    pool.stop()

    assert isinstance(call.wait(5), PoolStopped)


def test_calls_after_stop_raise_pool_stopped() -> None:
    """After `stop`, a call raises PoolStopped at once, even if no process was started; `stop` can be repeated."""
    for calls in (0, 1):
        pool = process_pool(("cpu",))
        worker = pool.take()
        for _ in range(calls):
            done_by(worker, pool_jobs.process_id)
        pool.stop()
        pool.stop()

        with pytest.raises(PoolStopped) as caught:
            done_by(worker, pool_jobs.process_id)
        assert (caught.value.kind, caught.value.retryable) == ("interrupted", True)


# ---------------------------------------------------------------- the pool


@pytest.mark.parametrize("begun", [0, 1])
def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch, begun: int) -> None:
    """If no process can be started, the error gives the reason and says that the run can be continued."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(HardwareUnknown, match=r"no worker process could be started .*No such file.* again to continue"):
        process_pool(("cpu",), begun=begun).take()


def test_every_device_is_lent_once() -> None:
    """As many threads as there are devices get one each; another thread waits until a device is given back."""
    with process_pool(("cuda:0", "cuda:1")) as pool:
        release = threading.Event()
        lent: list[str] = []

        def hold() -> None:
            worker = pool.take()
            lent.append(worker.device)
            release.wait(PATIENCE)
            pool.give_back(worker)

        holders = [Call(hold) for _ in range(2)]
        both = wait_until(lambda: len(lent) == 2)
        third = Call(hold)
        time.sleep(0.2)
        while_all_are_lent = list(lent)
        release.set()
        for call in (*holders, third):
            call.wait()

    assert both
    assert sorted(while_all_are_lent) == ["cuda:0", "cuda:1"]
    assert len(lent) == 3
    assert third.outcome is None


def test_a_stopped_pool_lends_no_worker() -> None:
    """Threads that wait for a worker when the pool is stopped get PoolStopped, and so do threads that ask later."""
    with process_pool(("cpu",)) as pool:
        pool.take()
        waiting = [Call(pool.take) for _ in range(2)]
        time.sleep(0.1)
        pool.stop()

        for call in (*waiting, Call(pool.take)):
            assert isinstance(call.wait(5), PoolStopped)


def test_two_workers_run_at_the_same_time(tmp_path: Path) -> None:
    """Two workers are two processes: each can wait for the other in the middle of its own call."""
    ours, theirs = str(tmp_path / "first"), str(tmp_path / "second")
    with process_pool(("cpu", "cpu")) as pool:
        first, second = pool.take(), pool.take()
        calls = [
            Call(lambda: done_by(first, pool_jobs.meet, ours, theirs)),
            Call(lambda: done_by(second, pool_jobs.meet, theirs, ours)),
        ]
        outcomes = [call.wait() for call in calls]

    assert outcomes == [True, True]


def test_a_death_does_not_affect_the_other_worker() -> None:
    """When the process of one device dies, that of the other device finishes its call and stays."""
    with process_pool(("cpu", "cpu")) as pool:
        first, second = pool.take(), pool.take()
        before = done_by(second, pool_jobs.process_id)
        call = Call(lambda: done_by(second, pool_jobs.sleep, 0.3))
        with pytest.raises(WorkerDied):
            done_by(first, pool_jobs.kill_itself)

        assert call.wait() is None
        assert done_by(second, pool_jobs.process_id) == before


def test_leaving_the_pool_ends_every_process() -> None:
    """At the end of the `with` block, here by an interrupt, no process is left."""
    process_ids: list[int] = []

    def interrupted_run() -> None:
        with process_pool(("cpu", "cpu")) as pool:
            first, second = pool.take(), pool.take()
            process_ids.extend(done_by(worker, pool_jobs.process_id) for worker in (first, second))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()

    assert len(process_ids) == 2
    assert wait_until(lambda: not any(map(is_alive, process_ids)))


@pytest.mark.parametrize("end", ["killed", "killed with a child", "exits"])
def test_workers_do_not_outlive_their_parent(tmp_path: Path, end: str) -> None:
    """When the run's process is killed or exits, its workers end, idle or busy, so that none keeps a GPU's memory.

    They end even if a process that the parent forked keeps the parent's end of the connection open.
    """
    code = "import sys; from tests.flows import pool_jobs; pool_jobs.be_a_parent(sys.argv[1])"
    parent = subprocess.Popen([sys.executable, "-c", code, end], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    *worker_ids, child_id = map(int, parent.stdout.readline().split())
    if end != "exits":
        parent.kill()
    parent.wait(PATIENCE)
    wait_until(lambda: not any(map(is_alive, worker_ids)))
    idle_and_busy_alive = [is_alive(worker_id) for worker_id in worker_ids]
    for process_id in {*worker_ids, child_id} - {0}:
        if is_alive(process_id):
            os.kill(process_id, signal.SIGKILL)
    parent.stdout.close()

    assert idle_and_busy_alive == [False, False]


# ---------------------------------------------------------------- whose process it is, and who gets a new one


def test_stopping_a_pool_leaves_other_pools_alone() -> None:
    """Pools of several threads are independent: stopping one does not end the others' processes."""
    pools = [process_pool(("cpu", "cpu")) for _ in range(3)]
    calls = [Call(lambda pool=pool: done_by(pool.take(), pool_jobs.process_id)) for pool in pools]
    process_ids = [call.wait() for call in calls]
    pools[0].stop()

    assert len(set(process_ids)) == 3
    assert [is_alive(one) for one in process_ids] == [False, True, True]
    for pool in pools:
        pool.stop()
    assert not any(map(is_alive, process_ids))


def pool_with_links(names: tuple[str, ...], there: list[Link]) -> Pool:
    """Return a pool whose links come from a list, and run out, as on a cluster."""
    return Pool([(name, "cpu") for name in names], lambda _name: there.pop() if there else None)


def test_a_late_message_of_the_call_before_is_dropped() -> None:
    """A thread of a call may send a message after the call has ended: that is none of the next call's messages."""
    arriving = ["late", CallBegan(1), "own", CallEnded("value")]
    link = Link(lambda _call: None, lambda _seconds, emit: emit(arriving.pop(0)), lambda: None, lambda: True)
    heard: list[object] = []

    with pool_with_links(("a",), [link]) as pool:
        assert told_by(pool.take(), heard.append, pool_jobs.say) == "value"
    assert heard == ["own"]


def test_only_workers_with_a_process_are_lent() -> None:
    """Of three workers, only the one whose process is available is lent; another one once there is a second process."""
    there = [link_here("")]
    pool = pool_with_links(("a", "b", "c"), there)
    first, second = pool.take(), Call(pool.take)
    time.sleep(0.2)
    while_there_was_one = second.outcome
    there.append(link_here(""))

    assert while_there_was_one == "still waiting"
    assert {first.name, second.wait().name} < {"a", "b", "c"}


def test_a_worker_without_a_process_takes_over_an_idle_one() -> None:
    """While no other process is available, it takes over an idle worker's, which is then not lent without one."""
    there = [link_here(""), link_here("")]
    pool = pool_with_links(("a", "b"), there)
    first, second = pool.take(), pool.take()
    second.style = "warm"
    first.link.kill()
    call = Call(lambda: done_by(first, pool_jobs.add, 1, second=2))
    time.sleep(0.2)
    while_none_was_idle = call.outcome
    pool.give_back(second)

    assert while_none_was_idle == "still waiting"
    assert call.wait() == 3
    assert second.style is None
    assert Call(pool.take).wait(0.7) == "still waiting"
    pool.give_back(first)
    assert pool.take() is first


def test_a_new_process_goes_to_a_worker_with_a_batch_first() -> None:
    """A new process goes to a worker that lost its own in a batch, rather than to a thread that waits for a worker."""
    there = [link_here("")]
    pool = pool_with_links(("a", "b"), there)
    worker = pool.take()
    worker.link.kill()
    taker, caller = Call(pool.take), Call(lambda: done_by(worker, pool_jobs.add, 1, second=2))
    time.sleep(0.2)
    there.append(link_here(""))

    assert caller.wait() == 3
    assert taker.wait(0.7) == "still waiting"
    pool.stop()
    assert isinstance(taker.wait(), PoolStopped)

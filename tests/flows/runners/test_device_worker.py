"""flows.runners.device_worker: real processes that answer, fail, die and are stopped."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pool_jobs
import pytest

from flows.errors import PoolStopped, WorkerDied
from flows.runners.device_worker import DeviceWorker, WorkerPool

PATIENCE = 20.0
"""Seconds after which a call counts as hanging."""


@pytest.fixture
def worker() -> Iterator[DeviceWorker]:
    """A worker that is stopped in the end."""
    made = DeviceWorker("cpu")
    yield made
    made.stop()


class Call(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.function = function
        self.outcome: object = "still waiting"
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.function()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
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


def test_a_result_comes_back(worker: DeviceWorker) -> None:
    """A function runs in the process with its arguments, and its result is the call's."""
    assert worker.run(pool_jobs.add, 2, second=3) == 5


def test_one_process_does_all_calls(worker: DeviceWorker) -> None:
    """The process, and so the model in it, is kept from call to call, and is not this one."""
    process_ids = {worker.run(pool_jobs.process_id) for _ in range(3)}

    assert len(process_ids) == 1
    assert os.getpid() not in process_ids


def test_an_error_comes_back(worker: DeviceWorker) -> None:
    """What the function raises is raised here, with its attributes, and the process goes on."""
    before = worker.run(pool_jobs.process_id)
    with pytest.raises(pool_jobs.TwoPartError, match=r"cat\.png: too small") as caught:
        worker.run(pool_jobs.raise_two_parts)

    assert (caught.value.name, caught.value.reason) == ("cat.png", "too small")
    assert worker.run(pool_jobs.process_id) == before


def test_an_error_that_cannot_come_back_costs_one_call(worker: DeviceWorker) -> None:
    """What pickle cannot bring back is an error all the same; the next call works, and no second process is left."""
    before = worker.run(pool_jobs.process_id)
    first = Call(lambda: worker.run(pool_jobs.raise_unpicklable)).wait()
    second = Call(lambda: worker.run(pool_jobs.process_id)).wait()

    assert isinstance(first, Exception)
    assert isinstance(second, int)
    assert second == before or wait_until(lambda: not is_alive(before), 3)


def test_a_runtime_error_of_the_function_is_its_own(worker: DeviceWorker) -> None:
    """A RuntimeError from the function is not taken for trouble with the process."""
    with pytest.raises(RuntimeError, match="of the function itself"):
        worker.run(pool_jobs.raise_runtime_error)

    assert worker.run(pool_jobs.add, 1, second=1) == 2


@pytest.mark.parametrize(
    ("job", "arguments", "exit_code"), [(pool_jobs.exit_at_once, (3,), "3"), (pool_jobs.kill_itself, (), "-9")]
)
def test_a_death_costs_one_call(
    worker: DeviceWorker, job: Callable[..., None], arguments: tuple[int, ...], exit_code: str
) -> None:
    """A process that dies fails its call as WorkerDied with the exit code; the next call has a new process."""
    before = worker.run(pool_jobs.process_id)
    with pytest.raises(WorkerDied, match=f"of cpu ended with exit code {exit_code};") as caught:
        worker.run(job, *arguments)

    assert (caught.value.kind, caught.value.retryable) == ("worker_died", True)
    assert worker.run(pool_jobs.process_id) != before


def test_deaths_in_a_row_cost_one_call_each(worker: DeviceWorker) -> None:
    """However often processes die, there is a next one."""
    for _ in range(3):
        with pytest.raises(WorkerDied):
            worker.run(pool_jobs.kill_itself)

    assert worker.run(pool_jobs.add, 1, second=1) == 2


@pytest.mark.parametrize("pause", [0.0, 0.5], ids=["at once", "later"])
def test_a_death_between_calls_costs_one_call_at_most(worker: DeviceWorker, pause: float) -> None:
    """A process killed while it waits, as when memory runs out, is replaced: at most the next call is WorkerDied."""
    before = worker.run(pool_jobs.process_id)
    os.kill(before, signal.SIGKILL)
    time.sleep(pause)
    first = Call(lambda: worker.run(pool_jobs.process_id)).wait()
    second = Call(lambda: worker.run(pool_jobs.process_id)).wait()

    assert isinstance(first, int | WorkerDied)
    assert isinstance(second, int) and second != before


def test_ctrl_c_does_not_reach_the_worker(worker: DeviceWorker) -> None:
    """SIGINT, which a terminal sends to every process, is left to the parent to act on."""
    assert worker.run(pool_jobs.interrupt_itself) == "still here"


def test_a_worker_logs_as_its_parent_does() -> None:
    """The process has the parent's level for our own lines, WARNING for all others, and no torch until it is used."""
    logger = logging.getLogger("flows")
    level = logger.level
    logger.setLevel(logging.INFO)
    worker = DeviceWorker("cpu")
    try:
        facts = worker.run(pool_jobs.facts)
    finally:
        worker.stop()
        logger.setLevel(level)

    assert facts == {"torch": False, "flows": logging.INFO, "nst_core": logging.INFO, "root": logging.WARNING}


# ---------------------------------------------------------------- messages on the way


def test_messages_come_before_the_result(worker: DeviceWorker) -> None:
    """What a call says on its way has come, in order, when its result does; another call's messages are its own."""
    first: list[object] = []
    second: list[object] = []

    assert worker.run_reporting(first.append, pool_jobs.say, 1, "two", None) == "return"
    assert worker.run_reporting(second.append, pool_jobs.say) == "return"
    assert (first, second) == ([1, "two", None], [])


def test_messages_come_while_the_call_goes_on(worker: DeviceWorker) -> None:
    """A message is heard at once, though its call has long to go."""
    heard = threading.Event()
    call = Call(lambda: worker.run_reporting(lambda _: heard.set(), pool_jobs.say, "here", then="wait"))
    in_time = heard.wait(PATIENCE)
    worker.stop()

    assert in_time
    assert isinstance(call.wait(5), PoolStopped)


@pytest.mark.parametrize(("end", "error"), [("die", WorkerDied), ("raise", pool_jobs.TwoPartError)])
def test_messages_outlive_their_call(worker: DeviceWorker, end: str, error: type[Exception]) -> None:
    """What was said before the process died, or the call failed, is heard; the next call hears none of it."""
    heard: list[object] = []
    messages = [str(number) * 300 for number in range(50)]
    with pytest.raises(error):
        worker.run_reporting(heard.append, pool_jobs.say, *messages, then=end)
    again: list[object] = []
    worker.run_reporting(again.append, pool_jobs.say, "anew")

    assert heard == messages
    assert again == ["anew"]


def test_a_process_that_ends_itself_quietly_is_noticed(worker: DeviceWorker) -> None:
    """A process that exits with 0 in the middle of a call, which pools take for a farewell, has died all the same."""
    heard: list[object] = []
    call = Call(lambda: worker.run_reporting(heard.append, pool_jobs.say, "last words", then="exit"))

    assert isinstance(call.wait(), WorkerDied)
    assert heard == ["last words"]
    assert worker.run(pool_jobs.add, 1, second=1) == 2


def test_a_watch_that_raises_ends_the_call_and_its_process(worker: DeviceWorker) -> None:
    """The error of a watch is raised while the function still runs; its process is gone, the next call has another."""
    before = worker.run(pool_jobs.process_id)
    end = time.monotonic() + 0.5

    def watch() -> None:
        if time.monotonic() > end:
            raise TimeoutError("too long")

    began = time.monotonic()
    with pytest.raises(TimeoutError, match="too long"):
        worker.run_watched(lambda _: None, watch, pool_jobs.say, then="wait")

    assert time.monotonic() - began < 10
    assert wait_until(lambda: not is_alive(before))
    assert worker.run(pool_jobs.process_id) != before


def test_a_worker_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Where the process that started a worker is killed, the worker ends too, and lets go of its device."""
    script = (
        "import pool_jobs, sys\n"
        "from flows.runners.device_worker import DeviceWorker\n"
        "if __name__ == '__main__':\n"
        "    DeviceWorker('cpu').run(pool_jobs.sleep, 60.0, sys.argv[1])\n"
    )
    (tmp_path / "parent.py").write_text(script)
    started = tmp_path / "started"
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[3])]
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(started)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
    )
    assert wait_until(lambda: started.exists() and bool(started.read_text()))
    worker = int(started.read_text())
    parent.kill()
    parent.wait()

    assert wait_until(lambda: not is_alive(worker))


def test_a_listener_that_fails_ends_its_call(worker: DeviceWorker) -> None:
    """An error of the listener is raised at once; the process of its call is not left running, and the next is new."""
    before = worker.run(pool_jobs.process_id)

    def fail(message: object) -> None:
        raise ValueError(f"{message} is not wanted")

    with pytest.raises(ValueError, match="this is not wanted"):
        worker.run_reporting(fail, pool_jobs.say, "this", "and that", then="wait")
    heard: list[object] = []
    worker.run_reporting(heard.append, pool_jobs.say, "anew")

    assert heard == ["anew"]
    assert wait_until(lambda: not is_alive(before))


# ---------------------------------------------------------------- stopping


def test_stopping_ends_a_call_in_flight(tmp_path: Path) -> None:
    """`stop` kills the process in the middle of its work; the thread that waits for it gets PoolStopped, every time."""
    outcomes, seconds, left = [], [], []
    for number in range(6):
        worker, started = DeviceWorker("cpu"), tmp_path / str(number)
        call = Call(lambda worker=worker, started=started: worker.run(pool_jobs.sleep, 60.0, str(started)))
        assert wait_until(lambda started=started: started.exists() and bool(started.read_text()))
        began = time.monotonic()
        worker.stop()
        outcomes.append(type(call.wait(5)))
        seconds.append(time.monotonic() - began)
        left.append(is_alive(int(started.read_text())))

    assert outcomes == [PoolStopped] * 6
    assert max(seconds) < 5
    assert left == [False] * 6


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.05])
def test_stopping_ends_a_call_that_has_hardly_begun(pause: float) -> None:
    """A call whose process is still starting is ended too, whether or not it was handed over yet."""
    worker = DeviceWorker("cpu")
    call = Call(lambda: worker.run(pool_jobs.sleep, 60.0))
    time.sleep(pause)
    worker.stop()

    assert isinstance(call.wait(5), PoolStopped)


def test_a_stopped_worker_takes_no_calls() -> None:
    """After stop, a call is PoolStopped at once, also if the process never started, and stop can be repeated."""
    for calls in (0, 1):
        worker = DeviceWorker("cpu")
        for _ in range(calls):
            worker.run(pool_jobs.process_id)
        worker.stop()
        worker.stop()

        with pytest.raises(PoolStopped) as caught:
            worker.run(pool_jobs.process_id)
        assert (caught.value.kind, caught.value.retryable) == ("interrupted", True)


# ---------------------------------------------------------------- the pool


def test_every_device_is_lent_once() -> None:
    """As many threads as there are devices get one each; the next one waits until a device is given back."""
    with WorkerPool(("cuda:0", "cuda:1")) as pool:
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


def test_a_stopped_pool_lends_nobody() -> None:
    """Whoever waits for a worker when the pool is stopped is told so, and so is whoever comes later."""
    with WorkerPool(("cpu",)) as pool:
        pool.take()
        waiting = [Call(pool.take) for _ in range(2)]
        time.sleep(0.1)
        pool.stop()

        for call in (*waiting, Call(pool.take)):
            assert isinstance(call.wait(5), PoolStopped)


def test_devices_work_at_the_same_time(tmp_path: Path) -> None:
    """Two workers are two processes: each can wait for the other in the middle of its own call."""
    ours, theirs = str(tmp_path / "first"), str(tmp_path / "second")
    with WorkerPool(("cpu", "cpu")) as pool:
        first, second = pool.take(), pool.take()
        calls = [
            Call(lambda: first.run(pool_jobs.meet, ours, theirs)),
            Call(lambda: second.run(pool_jobs.meet, theirs, ours)),
        ]
        outcomes = [call.wait() for call in calls]

    assert outcomes == [True, True]


def test_a_death_leaves_the_other_device_alone() -> None:
    """The process of one device dies; that of the other goes on with what it was doing."""
    with WorkerPool(("cpu", "cpu")) as pool:
        first, second = pool.take(), pool.take()
        before = second.run(pool_jobs.process_id)
        call = Call(lambda: second.run(pool_jobs.sleep, 0.3))
        with pytest.raises(WorkerDied):
            first.run(pool_jobs.kill_itself)

        assert call.wait() is None
        assert second.run(pool_jobs.process_id) == before


def test_leaving_the_pool_ends_every_process() -> None:
    """At the end of the block, or when it raises, no process is left behind."""
    process_ids: list[int] = []

    def interrupted_run() -> None:
        with WorkerPool(("cpu", "cpu")) as pool:
            first, second = pool.take(), pool.take()
            process_ids.extend(worker.run(pool_jobs.process_id) for worker in (first, second))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()

    assert len(process_ids) == 2
    assert wait_until(lambda: not any(map(is_alive, process_ids)))


def test_a_parent_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    """When the run itself is killed, its workers notice and end: no process keeps a GPU's memory."""
    code = (
        "import os, sys, time\n"
        "from flows.runners.device_worker import DeviceWorker\n"
        "if __name__ == '__main__':\n"
        "    print(DeviceWorker('cpu').run(os.getpid), flush=True)\n"
        "    time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    worker_id = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    ended = wait_until(lambda: not is_alive(worker_id))
    if not ended:
        os.kill(worker_id, signal.SIGKILL)
    assert ended

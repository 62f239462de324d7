"""Functions that the tests of pool and dispatch run in worker processes, and helpers that call them there.

They are in a module of their own so that workers can import them: `FOLDER` has to be on the workers' `PYTHONPATH`.
"""

import dataclasses
import logging
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.records.plans import PlannedPair
    from flows.runners import Worker
    from flows.worker.job import Job

FOLDER = str(Path(__file__).parents[2])


def done_by(worker: "Worker", function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function returns in the worker's process; the function sends no messages."""
    return worker.run_watched(_unexpected, _unwatched, quietly, function, *args, **kwargs)


def told_by(
    worker: "Worker", on_message: Callable[[Any], None], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Return what a function returns in the worker's process; its messages go to `on_message`."""
    return worker.run_watched(on_message, _unwatched, function, *args, **kwargs)


def _unexpected(message: object) -> None:
    raise AssertionError(message)


def _unwatched() -> None:
    pass


def quietly(_report: Callable[[Any], None], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that sends no messages."""
    return function(*args, **kwargs)


class TwoPartError(Exception):
    """An error that pickle can restore only through `__reduce__`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type["TwoPartError"], tuple[str, str]]:
        return type(self), (self.name, self.reason)


class UnpicklableError(Exception):
    """An error that pickle can save but not restore, because it would call `__init__` with one argument."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")


def add(first: int, *, second: int) -> int:
    return first + second


def process_id() -> int:
    return os.getpid()


def raise_two_parts() -> None:
    raise TwoPartError("cat.png", "too small")


def raise_unpicklable() -> None:
    raise UnpicklableError("cat.png", "too small")


def raise_runtime_error() -> None:
    raise RuntimeError("of the function itself")


def exit_at_once(code: int) -> None:
    os._exit(code)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_itself() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "still here"


def sleep(seconds: float, started: str | None = None) -> None:
    if started:
        Path(started).write_text(str(os.getpid()))
    time.sleep(seconds)


def meet(own: str, other: str) -> bool:
    """Return whether the other call has created its file too, within 10 s."""
    Path(own).touch()
    end = time.monotonic() + 10
    while not Path(other).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return Path(other).exists()


def say_so(path: str) -> None:
    """Print a line, log a line, and write a file."""
    print("printed by a worker", flush=True)  # noqa: T201
    logging.getLogger("flows").warning("logged by a worker")
    Path(path).write_text("written by a worker")


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def fork_and_exit() -> None:
    """Exit while a forked child keeps all files of this process open."""
    if os.fork() == 0:
        time.sleep(8)
        os._exit(0)
    os._exit(3)


def half_a_message_and_die(report: Callable[[Any], None]) -> None:
    """Be killed while sending a message that does not fit into the pipe at once."""
    report("whole")
    threading.Timer(0.5, kill_itself).start()
    while True:
        report("x" * 50_000_000)


def unpicklable_value() -> object:
    return lambda: None


def facts() -> dict[str, object]:
    return {
        "path": sys.path,
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "torch": "torch" in sys.modules,
        "flows": logging.getLogger("flows").getEffectiveLevel(),
        "nst_core": logging.getLogger("nst_core").getEffectiveLevel(),
        "root": logging.getLogger().getEffectiveLevel(),
    }


def environment_of(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def talk_with_an_actor() -> tuple[list[Any], list[Any], float]:
    """Return the messages of a call to the Ray actor's class, those of a further request, and how long that took."""
    from flows.runners.protocol import Call
    from flows.runners.ray.actor import Actor

    actor = Actor(logging.INFO)
    threading.Thread(target=actor.call, args=(pickle.dumps(Call(say, (1, "two"))),)).start()
    said: list[Any] = []
    while len(said) < 4:
        said += map(pickle.loads, actor.news(10.0))
    began = time.monotonic()
    return said, actor.news(0.3), time.monotonic() - began


def files_of(*modules: str) -> list[str | None]:
    return [sys.modules[name].__file__ for name in modules]


def be_a_parent(end: str) -> None:
    """Start an idle and a busy worker, print their process ids and that of a child, then exit or wait to be killed."""
    from flows.runners.local import process_pool

    pool = process_pool(("cpu", "cpu"))
    idle, busy = pool.take(), pool.take()
    worker_ids = [done_by(worker, process_id) for worker in (idle, busy)]
    child_id = os.fork() if end == "killed with a child" else -1
    if child_id == 0:
        time.sleep(60)
        os._exit(0)
    threading.Thread(target=done_by, args=(busy, sleep, 60.0), daemon=True).start()
    time.sleep(0.3)
    print(*worker_ids, max(child_id, 0), flush=True)  # noqa: T201
    if end != "exits":
        time.sleep(60)


def say(report: Callable[[Any], None], *messages: Any, then: str = "return") -> str:
    for message in messages:
        report(message)
    if then == "die":
        kill_itself()
    if then == "exit":
        exit_at_once(0)
    if then == "raise":
        raise TwoPartError("cat.png", "too small")
    if then == "wait":
        time.sleep(60)
    return then


def stylize_in_little_memory(
    pairs: "tuple[PlannedPair, ...]", job: "Job", spare_bytes: int
) -> tuple[list[tuple[int, str]], list[str]]:
    """Return which numbers of pairs failed together and with which error, and the type of each pair's result."""
    from flows.worker.capacity import Capacity
    from flows.worker.engine import backbone_of
    from flows.worker.inputs import load_pair, read_styles
    from flows.worker.stylizing import stylize_chunk

    class Listening(Capacity):
        def learn(self, size: tuple[int, int], pairs: int, error: Exception) -> None:
            failures.append((pairs, type(error).__name__))
            super().learn(size, pairs, error)

    failures: list[tuple[int, str]] = []
    chunk = [load_pair(pair) for pair in pairs]
    style = read_styles(pairs[0])
    capacity = Listening(pairs[0].spec.options, backbone_of(job, "cpu"))
    list(stylize_chunk(chunk[:1], style, job, "cpu", capacity))  # loads everything that is loaded once
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + spare_bytes, resource.RLIM_INFINITY))
    results = stylize_chunk(chunk, style, job, "cpu", capacity)
    return failures, [type(result).__name__ for _, result in results]


def plan_for_a_gpu() -> int:
    """Return how many pairs fit on a GPU that does not exist, so that every query of it raises an error."""
    from flows.worker.capacity import Capacity
    from nst_core.backbones.backbone import load_backbone
    from nst_core.backbones.find import find_weights
    from nst_core.options import StylizeOptions

    backbone = dataclasses.replace(load_backbone(find_weights("vgg19")), device="cuda:99")
    return Capacity(StylizeOptions().resolved(), backbone)((64, 64))


def lose_the_device(
    report: Callable[[Any], None], pairs: "tuple[PlannedPair, ...]", job: "Job", after: int, write_seconds: float
) -> None:
    """Stylize pairs on a device that raises errors once `after` pairs were computed; each pair takes long to write."""
    import torch

    from flows.worker import batch, lost_device, stylizing

    computed: list[None] = []
    stylize, write_pair = stylizing.stylize, batch.write_pair

    def illegal_access(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def stylize_if_there(*args: Any, **kwargs: Any) -> Any:
        if len(computed) == after:
            lost_device._synchronize = illegal_access
            illegal_access()
        computed.append(None)
        return stylize(*args, **kwargs)

    def write_slowly(*args: Any) -> Any:
        time.sleep(write_seconds)
        return write_pair(*args)

    stylizing.stylize, batch.write_pair = stylize_if_there, write_slowly
    batch.stylize_pairs(report, pairs, job, "cpu")

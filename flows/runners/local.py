"""Worker processes on this machine: one per GPU, or several that share the CPU."""

import logging
import os
import pickle
import signal
import subprocess
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Pipe

from flows import interpreter, stub
from flows.errors import HardwareUnknown, WorkerDied
from flows.runners.framed_pipe import FramedPipe
from flows.runners.hardware import local_hardware
from flows.runners.pool import Link, Pool
from flows.runners.protocol import Call, Emit
from flows.runners.runner import Means, Runner
from flows.settings import RunSettings
from nst_core.machine.allowance import usable_cpus

WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Environment variables that OpenMP reads when a worker loads torch. Threads that spin while they wait become several
times slower as soon as any other program needs a core, because the thread that all wait for is then not running.
Threads that sleep at once make an evaluation take an eighth longer on an idle machine. Spinning for some ten
microseconds avoids both; only GNU's OpenMP, which torch uses on Linux, can be configured so."""

FAREWELL_SECONDS = 10.0
"""How long to wait for the end of a process that has closed its pipe; the pool then kills it."""

_PROGRAM = """
import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent handles it
from flows.runners.worker_process import main; main({descriptor}, {level}, loads_engine={loads_engine})
"""


def local_runner(settings: RunSettings) -> Runner:
    """Return a runner with worker processes on this machine, each started when it is needed.

    Raises:
        OptionsError: if this machine does not have the device that the settings name.
    """
    means = local_means(settings)
    needs_engine = settings.backbone != stub.NAME
    return Runner(means, lambda batches: process_pool(means.devices, begun=batches if needs_engine else 0))


def local_means(settings: RunSettings) -> Means:
    """Return the means of a local run: one worker per GPU, or as many CPU workers as the settings say.

    Raises:
        OptionsError: if this machine does not have the device, or a GPU does not support the precision.
    """
    hardware = local_hardware()
    devices = hardware.devices(settings.device)
    devices = devices * settings.cpu_workers if devices == ("cpu",) else devices
    # Several processes on the CPU share its cores; for a single one torch chooses the number of threads.
    shared = len(devices) > 1 and devices[0] == "cpu"
    threads = max(1, usable_cpus() // len(devices)) if shared else None
    return Means(devices, names_of(devices), hardware.precision(settings.precision, *devices), threads)


def process_pool(devices: tuple[str, ...], begun: int = 0) -> Pool:
    """Return a pool with a worker process per device.

    Args:
        devices: the device of each worker.
        begun: the number of processes to start now, which load the engine meanwhile; the others start when needed.
    """
    names = names_of(devices)
    ready = {name: start_process(name, loads_engine=True) for name in names[:begun]}

    def kill_unused() -> None:
        for link in ready.values():
            link.kill()

    places = tuple(zip(names, devices, strict=True))
    return Pool(places, lambda name: ready.pop(name, None) or start_process(name), kill_unused)


def names_of(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the workers on these devices; workers that share a device are numbered.

    >>> names_of(("cpu", "cpu")), names_of(("cuda:0", "cuda:1"))
    (('cpu 1', 'cpu 2'), ('cuda:0', 'cuda:1'))
    """
    if len(set(devices)) == len(devices):
        return devices
    return tuple(f"{device} {number}" for number, device in enumerate(devices, start=1))


def start_process(name: str, *, loads_engine: bool = False) -> Link:
    """Return a link to a new worker process, which inherits stdout and stderr and sends its log over the pipe.

    Raises:
        HardwareUnknown: if the system cannot start a process.
    """
    try:
        return _started(name, loads_engine=loads_engine)
    except OSError as error:
        raise HardwareUnknown(
            f"{name}: no worker process could be started ({error}). This machine may be out of memory, processes or "
            "open files; run the same command again to continue"
        ) from error


def _started(name: str, *, loads_engine: bool) -> Link:
    ours, theirs = Pipe()
    level = logging.getLogger("flows").getEffectiveLevel()
    with theirs:
        process = subprocess.Popen(  # noqa: S603  # our own program
            interpreter.command(_PROGRAM.format(descriptor=theirs.fileno(), level=level, loads_engine=loads_engine)),
            stdin=subprocess.DEVNULL,
            env=WORKER_ENVIRONMENT | os.environ,
            pass_fds=[theirs.fileno()],
        )
    pipe = FramedPipe(ours)
    return Link(
        call=partial(_call, pipe),
        receive=partial(_receive, process, pipe, name),
        kill=partial(_kill, process),
        is_alive=lambda: process.poll() is None,
    )


def _call(pipe: FramedPipe, call: Call) -> None:
    data = pickle.dumps(call)
    with suppress(OSError):  # the process has just died, which `_receive` will notice
        pipe.send(data)


def _receive(process: "subprocess.Popen[bytes]", pipe: FramedPipe, name: str, seconds: float, on_message: Emit) -> None:
    is_gone = process.poll() is not None  # before reading: all messages of a process that has ended are in the pipe
    try:
        messages = pipe.receive(0.0 if is_gone else seconds)
    except EOFError:
        raise WorkerDied(f"the worker process of {name} {_end_of(process)}") from None
    if is_gone and not messages:  # no end of file, because another process holds the pipe open
        raise WorkerDied(f"the worker process of {name} {_end_of(process)}")
    for data in messages:
        on_message(pickle.loads(data))  # noqa: S301  # of our own process


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    """Describe how a process ended."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL_SECONDS)
    code = process.poll()
    if code is None:
        return "closed its pipe in the middle of its work"
    if code >= 0:
        return f"ended by itself in the middle of its work, with exit code {code}"
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL; there may have been too little memory: lower size_px"
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    # A process that hangs in a GPU's driver cannot be killed; the run goes on without waiting for it.
    with suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL_SECONDS)

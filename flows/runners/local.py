"""Worker processes of this machine: one per GPU, or several that share its CPU."""

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
from flows.runners.framed_pipe import Line
from flows.runners.hardware import local_hardware
from flows.runners.pool import Link, Pool
from flows.runners.protocol import Call, Emit
from flows.runners.runner import Means, Runner
from flows.settings import RunSettings
from nst_core.machine.allowance import usable_cpus

WORKER_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Read by OpenMP when a worker loads torch. Threads that spin while they wait lose several times over as soon as
anything else wants a core: the thread that all wait for is then not running. Threads that sleep at once take an eighth
longer over an evaluation on an idle machine. Some ten microseconds of spinning have neither fault; only GNU's OpenMP,
which torch brings on Linux, can be told so."""

FAREWELL_SECONDS = 10.0
"""How long a process that has let go of its line may take to end; one that still does not is killed."""

_PROGRAM = """
import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C only the parent decides what it means
from flows.runners.worker_process import main; main({descriptor}, {level}, loads_engine={loads_engine})
"""


def local_runner(settings: RunSettings) -> Runner:
    """The processes of this machine, each started when it is needed.

    Raises:
        OptionsError: if the machine has no such device.
    """
    means = local_means(settings)
    needs_engine = settings.backbone != stub.NAME
    return Runner(means, lambda batches: process_pool(means.devices, begun=batches if needs_engine else 0))


def local_means(settings: RunSettings) -> Means:
    """Every GPU of this machine once, or its CPU as often as the settings say.

    Raises:
        OptionsError: if the machine has no such device, or a GPU no such precision.
    """
    hardware = local_hardware()
    devices = hardware.devices(settings.device)
    devices = devices * settings.cpu_workers if devices == ("cpu",) else devices
    # Processes that share the cores; one alone leaves it to torch.
    shared = len(devices) > 1 and devices[0] == "cpu"
    threads = max(1, usable_cpus() // len(devices)) if shared else None
    return Means(devices, names_of(devices), hardware.precision(settings.precision, *devices), threads)


def process_pool(devices: tuple[str, ...], begun: int = 0) -> Pool:
    """A worker process for every device, of which the first so many start now, and load the engine meanwhile."""
    names = names_of(devices)
    ready = {name: start_process(name, loads_engine=True) for name in names[:begun]}

    def end_the_unused() -> None:
        for link in ready.values():
            link.kill()

    places = tuple(zip(names, devices, strict=True))
    return Pool(places, lambda name: ready.pop(name, None) or start_process(name), end_the_unused)


def names_of(devices: tuple[str, ...]) -> tuple[str, ...]:
    """The names of workers on some devices; those that share a device are numbered.

    >>> names_of(("cpu", "cpu")), names_of(("cuda:0", "cuda:1"))
    (('cpu 1', 'cpu 2'), ('cuda:0', 'cuda:1'))
    """
    if len(set(devices)) == len(devices):
        return devices
    return tuple(f"{device} {number}" for number, device in enumerate(devices, start=1))


def start_process(name: str, *, loads_engine: bool = False) -> Link:
    """A link to a new worker process. Its output is ours, its log comes over the line.

    Raises:
        HardwareUnknown: if the system starts none.
    """
    try:
        return _started(name, loads_engine=loads_engine)
    except OSError as error:
        raise HardwareUnknown(
            f"{name}: no worker process could be started ({error}). This machine may be out of memory, processes or "
            "open files; the same command again goes on"
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
    line = Line(ours)
    return Link(
        call=partial(_call, line),
        receive=partial(_receive, process, line, name),
        kill=partial(_kill, process),
        is_alive=lambda: process.poll() is None,
    )


def _call(line: Line, call: Call) -> None:
    data = pickle.dumps(call)
    with suppress(OSError):  # it has just died, as whoever receives will notice
        line.send(data)


def _receive(process: "subprocess.Popen[bytes]", line: Line, name: str, seconds: float, on_message: Emit) -> None:
    is_gone = process.poll() is not None  # asked first: all that it has said is then on the line
    try:
        messages = line.receive(0.0 if is_gone else seconds)
    except EOFError:
        raise WorkerDied(f"the worker process of {name} {_end_of(process)}") from None
    if is_gone and not messages:  # while another process holds the line open
        raise WorkerDied(f"the worker process of {name} {_end_of(process)}")
    for data in messages:
        on_message(pickle.loads(data))  # noqa: S301  # of our own process


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    """How a process ended, in words."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL_SECONDS)
    code = process.poll()
    if code is None:
        return "let go of its line in the middle of its work"
    if code >= 0:
        return f"ended by itself in the middle of its work, with exit code {code}"
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL; there may have been too little memory: lower size_px"
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()

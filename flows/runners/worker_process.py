"""A worker process of this machine: does one call after the other, for as long as the process that started it lives.

A program of its own, started by `flows.runners.local`: it never runs or imports the main module of its parent.
"""

import importlib
import os
import pickle
import queue
import threading
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from flows.runners.framed_pipe import Line
from flows.runners.protocol import answer, log_to, packed

LOOK_SECONDS = 1.0
"""How often the parent is looked for, beside the line, which a process that the parent forked may hold open."""


ENGINE = "flows.worker.stylizing"
"""Takes torch with it."""


def main(descriptor: int, level: int, *, loads_engine: bool = False) -> None:
    """Answer the calls that come over a line.

    Args:
        descriptor: of this end of the line.
        level: of the log lines that the parent wants.
        loads_engine: whether to import the engine while there is no call yet.
    """
    if loads_engine:
        threading.Thread(target=_load_engine, name="engine", daemon=True).start()
    line = Line(Connection(descriptor))

    def emit(message: object) -> None:
        try:
            line.send(packed(message))
        except OSError:  # nobody hears it; as an error here it would pass for one of the call
            os._exit(1)

    log_to(emit, level)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(line, calls), name="calls", daemon=True).start()
    while True:
        answer(partial(pickle.loads, calls.get()), emit)


def _load_engine() -> None:
    with suppress(Exception):  # the first call that needs it says what is wrong
        importlib.import_module(ENGINE)


def _receive(line: Line, calls: "queue.SimpleQueue[bytes]") -> None:
    """Take calls on; a parent that is gone, even killed, is noticed in the middle of one."""
    parent = os.getppid()
    with suppress(EOFError):
        while os.getppid() == parent:
            for call in line.receive(LOOK_SECONDS):
                calls.put(call)
    os._exit(1)  # at once, whatever the device is at: it would be held, beside the next run's workers

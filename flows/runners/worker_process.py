"""The main program of a worker process on this machine: it executes one call after another while its parent lives.

`flows.runners.local` starts it as a separate program: it never runs or imports its parent's main module.
"""

import importlib
import os
import pickle
import queue
import threading
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from flows.runners.framed_pipe import FramedPipe
from flows.runners.protocol import answer, log_to, packed

LOOK_SECONDS = 1.0
"""How often to check that the parent is alive: the pipe's end of file is not enough, because another process that the
parent forked may hold the pipe open."""


ENGINE = "flows.worker.stylizing"
"""The module that imports the engine, and with it torch."""


def main(descriptor: int, level: int, *, loads_engine: bool = False) -> None:
    """Answer the calls that arrive over a pipe.

    Args:
        descriptor: the file descriptor of this end of the pipe.
        level: the log level from which on lines are sent to the parent.
        loads_engine: whether to import the engine while waiting for the first call.
    """
    if loads_engine:
        threading.Thread(target=_load_engine, name="engine", daemon=True).start()
    pipe = FramedPipe(Connection(descriptor))

    def emit(message: object) -> None:
        try:
            pipe.send(packed(message))
        except OSError:  # the parent is gone; raised here, the error would count as one of the call
            os._exit(1)

    log_to(emit, level)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, calls), name="calls", daemon=True).start()
    while True:
        answer(partial(pickle.loads, calls.get()), emit)


def _load_engine() -> None:
    with suppress(Exception):  # the first call that needs the engine reports the error
        importlib.import_module(ENGINE)


def _receive(pipe: FramedPipe, calls: "queue.SimpleQueue[bytes]") -> None:
    """Queue the calls that arrive; end this process, even in the middle of a call, once the parent is gone."""
    parent = os.getppid()
    with suppress(EOFError):
        while os.getppid() == parent:
            for call in pipe.receive(LOOK_SECONDS):
                calls.put(call)
    os._exit(1)  # at once: otherwise this process would keep the device occupied next to the next run's workers

"""The node's side of `--runner ray`: an actor that does what `flows.runners.worker_process` does on this machine.

It is made of this module as the node has it installed: only the name travels. Calls run in the actor's own process,
so that a call can be ended by ending the actor. Knows nothing of the cluster, and does not import ray.
"""

import functools
import hashlib
import os
import pickle
import socket
import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from flows.runners.local import WORKER_ENVIRONMENT
from flows.runners.protocol import CallEnded, answer, log_to, packed
from nst_core import __version__
from nst_core.errors import OptionsError

TOGETHER_SECONDS = 0.05
"""Messages that come so soon after another travel with it."""

PACKAGES = ("flows", "nst_core")


@functools.cache
def code_version() -> str:
    """The version and a digest of all modules, such as `0.2.0 (code 1a2b3c4d5e6f)`: a run's nodes have the same."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(str(resources.files(package)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return f"{__version__} (code {digest.hexdigest()[:12]})"


@dataclass(frozen=True)
class NodeFacts:
    """What a run has to know of the node that an actor is on.

    Attributes:
        precision: what the run's wish means on the node's hardware.
        useless: why no pair can be done there, if so.
    """

    host: str
    code_version: str
    precision: str
    process_id: int
    useless: str = ""


def facts_here(device: str, precision: str) -> NodeFacts:
    """What the node of this process is to a run that wishes for a device and a precision."""
    from nst_core.machine.runtime import choose_devices, choose_precision  # torch takes seconds to import

    facts = functools.partial(NodeFacts, socket.gethostname(), code_version(), process_id=os.getpid())
    try:
        choose_devices(device)
        return facts(precision=choose_precision(precision, device))
    except OptionsError as error:  # of this node alone, perhaps
        return facts(precision="", useless=str(error))


class Actor:
    """Does one call at a time, in one of its threads; another one hands out what the call has to say meanwhile."""

    def __init__(self, level: int) -> None:
        os.environ.update(WORKER_ENVIRONMENT | os.environ)  # torch is loaded later
        self._said: list[bytes] = []
        self._has_ended = False
        self._changed = threading.Condition()
        log_to(self._emit, level)

    def facts(self, device: str, precision: str) -> NodeFacts:
        """What the node is; loads the engine, so that the first batch need not."""
        return facts_here(device, precision)

    def call(self, call: bytes) -> None:
        """Do a call; how it ended is the last of its news."""
        self._has_ended = False
        answer(functools.partial(pickle.loads, call), self._emit)

    def news(self, seconds: float) -> list[bytes]:
        """What the call has said since this was asked last; waits for something at most so long."""
        with self._changed:
            if self._changed.wait_for(lambda: self._said, seconds):
                self._changed.wait_for(lambda: self._has_ended, TOGETHER_SECONDS)
            said, self._said = self._said, []
            return said

    def _emit(self, message: object) -> None:
        data = packed(message)
        with self._changed:
            self._said.append(data)
            self._has_ended = isinstance(message, CallEnded)
            self._changed.notify_all()

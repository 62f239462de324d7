"""The code that `--runner ray` runs on a node: an actor that works like `flows.runners.worker_process`.

The class is pickled by name, so a node uses its own installed version of this module. Calls run in the actor's own
process, so that killing the actor ends a call. This module is independent of the cluster and does not import ray.
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
"""How long to collect further messages after the first one, so that they are sent in one answer."""

PACKAGES = ("flows", "nst_core")
"""The packages whose code has to be the same on all nodes."""


@functools.cache
def code_version() -> str:
    """Return the version and a digest of all modules, such as `0.2.0 (code 1a2b3c4d5e6f)`; all nodes must agree."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(str(resources.files(package)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return f"{__version__} (code {digest.hexdigest()[:12]})"


@dataclass(frozen=True)
class NodeFacts:
    """Facts about the node that an actor runs on.

    Attributes:
        host: the node's host name.
        code_version: the version of this project on the node, see `code_version`.
        precision: the precision that the requested one resolves to on the node's hardware.
        process_id: the id of the actor's process.
        useless: why no pair can be done on the node; empty if pairs can.
    """

    host: str
    code_version: str
    precision: str
    process_id: int
    useless: str = ""


def facts_here(device: str, precision: str) -> NodeFacts:
    """Return the facts about this process's node for a run that requests this device and precision."""
    from nst_core.machine.runtime import choose_devices, choose_precision  # here, as torch takes seconds to import

    facts = functools.partial(NodeFacts, socket.gethostname(), code_version(), process_id=os.getpid())
    try:
        choose_devices(device)
        return facts(precision=choose_precision(precision, device))
    except OptionsError as error:  # other nodes may be usable
        return facts(precision="", useless=str(error))


class Actor:
    """Executes one call at a time in one of its threads, while another thread returns the call's messages.

    Args:
        level: the log level from which on lines are sent to the run.
    """

    def __init__(self, level: int) -> None:
        os.environ.update(WORKER_ENVIRONMENT | os.environ)  # early enough, as torch is loaded later
        self._unsent: list[bytes] = []
        self._has_ended = False
        self._changed = threading.Condition()
        log_to(self._emit, level)

    def facts(self, device: str, precision: str) -> NodeFacts:
        """Return the facts about the node; this imports torch, so that the first batch need not wait for it."""
        return facts_here(device, precision)

    def call(self, call: bytes) -> None:
        """Execute a call; the last of its messages says how it ended."""
        self._has_ended = False
        answer(functools.partial(pickle.loads, call), self._emit)

    def news(self, seconds: float) -> list[bytes]:
        """Return the call's messages since the last request; waits at most `seconds` for the first one."""
        with self._changed:
            if self._changed.wait_for(lambda: self._unsent, seconds):
                self._changed.wait_for(lambda: self._has_ended, TOGETHER_SECONDS)
            messages, self._unsent = self._unsent, []
            return messages

    def _emit(self, message: object) -> None:
        data = packed(message)
        with self._changed:
            self._unsent.append(data)
            self._has_ended = isinstance(message, CallEnded)
            self._changed.notify_all()

"""The node's side of `--runner ray`: an actor that does what a worker process of `flows.runners.device_worker` does.

It is made of this module as the node has it installed: only the name travels. Calls run in the actor's own process,
so that a call can be ended by ending the actor. Knows nothing of the cluster, and does not import ray.
"""

import os
import pickle
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.runners.device_worker import WORKER_ENVIRONMENT, Began
from flows.runners.ray.code_version import code_version
from flows.runners.worker_log import log_to

TOGETHER_SECONDS = 0.05
"""Messages that come so soon after another travel with it."""

for _variable, _value in WORKER_ENVIRONMENT.items():
    os.environ.setdefault(_variable, _value)  # torch is loaded later


@dataclass(frozen=True)
class NodeFacts:
    """What a run has to know of the node that an actor is on.

    Attributes:
        precision: what the run's wish means on the node's hardware.
    """

    host: str
    code_version: str
    precision: str
    process_id: int


@dataclass(frozen=True)
class Ended:
    """How a call ended: with a value, or with an error that the caller raises."""

    value: Any = None
    error: Exception | None = None


class Actor:
    """Does one call at a time, in one of its threads; another one hands out what the call has to say meanwhile."""

    def __init__(self, level: int) -> None:
        self._said: list[Any] = []
        self._changed = threading.Condition()
        self._busy = False
        log_to(self._send, level)

    def facts(self, device: str, precision: str) -> NodeFacts:
        """What the node is; loads the engine, so that the first batch need not.

        Raises:
            OptionsError: if the node has no such device.
        """
        from nst_core.runtime import choose_devices, choose_precision  # torch takes seconds to import

        choose_devices(device)
        return NodeFacts(socket.gethostname(), code_version(), choose_precision(precision, device), os.getpid())

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ended:
        """Call a function with a callable in its first place, for what it has to say before it is done."""
        with self._changed:
            self._said.clear()
            self._busy = True
        try:
            self._send(Began(os.getpid()))
            return Ended(value=function(self._send, *args, **kwargs))
        except Exception as error:  # noqa: BLE001  # it is the caller's
            return Ended(error=_portable(error))
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def news(self, seconds: float) -> list[Any]:
        """What the call has said since this was asked last; waits for something at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._said or not self._busy, seconds)
            if self._busy and seconds:
                self._changed.wait_for(lambda: not self._busy, TOGETHER_SECONDS)
            said, self._said = self._said, []
            return said

    def _send(self, message: Any) -> None:
        with self._changed:
            self._said.append(message)
            self._changed.notify_all()


def _portable(error: Exception) -> Exception:
    """The error, or its words where it would not survive the way."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    except Exception:  # noqa: BLE001  # whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error

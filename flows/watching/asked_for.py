"""Listeners that the operator asks for in the environment, so that every run of a service has them.

NST_METRICS_PORT    serve metrics for Prometheus on this port while a run goes on
NST_METRICS_HOST    ... on this address; loopback by default
NST_METRICS_FILE    keep them in this file, for node_exporter's textfile collector: name it *.prom
NST_JSON_LINES      append a line of JSON per pair to this file
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flows.errors import OutputError
from flows.records import utc_now
from flows.watching.listeners import RunStarted, watched_by
from flows.watching.metrics import Metrics, served, written
from flows.watching.terminal import JsonLines

PORT, HOST, FILE, LINES = "NST_METRICS_PORT", "NST_METRICS_HOST", "NST_METRICS_FILE", "NST_JSON_LINES"


class LogLines(JsonLines):
    """The lines of `--json-lines` for a file that many runs share: each with its time and its run."""

    run_id = ""

    def on_start(self, run: RunStarted) -> None:
        """As `flows.watching.listeners.Listener`."""
        self.run_id = run.run_id
        super().on_start(run)

    def _write(self, event: dict[str, Any]) -> None:
        super()._write({"at": utc_now(), "run_id": self.run_id} | event)


@contextmanager
def operators_listeners() -> Iterator[None]:
    """Whatever the environment asks for, for as long as the block lasts.

    Raises:
        OutputError: if what it asks for cannot be done.
    """
    with ExitStack() as stack:
        if os.environ.get(LINES):
            stack.enter_context(watched_by(LogLines(stack.enter_context(_appended(os.environ[LINES])))))
        if os.environ.get(PORT) or os.environ.get(FILE):
            metrics = Metrics()
            stack.enter_context(watched_by(metrics))
            if os.environ.get(PORT):
                stack.enter_context(served(metrics, os.environ.get(HOST, "127.0.0.1"), _port(os.environ[PORT])))
            if os.environ.get(FILE):
                stack.enter_context(written(metrics, os.environ[FILE]))
        yield


def _appended(path: str) -> Any:
    try:
        return open(path, "a", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{LINES}: {path} cannot be written: {error.strerror}") from error


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise OutputError(f"{PORT}: expected a port, 1 to 65535, got {text!r}")
    return int(text)

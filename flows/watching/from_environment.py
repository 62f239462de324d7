"""Build the watchers that the operator configures by environment variables, for every run of a service.

NST_METRICS_PORT    serve metrics for Prometheus on this port while a run is active
NST_METRICS_HOST    the address to serve them on; loopback by default
NST_METRICS_FILE    write the metrics to this file, for node_exporter's textfile collector: name it *.prom
NST_JSON_LINES      append a line of JSON per pair to this file

A watcher that cannot be set up is left out with a warning: no run fails because of its watchers.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from flows.records.timestamps import utc_now
from flows.watching.json_lines import json_lines
from flows.watching.listeners import Watcher
from flows.watching.metrics import Metrics, served, written

logger = logging.getLogger(__name__)

PORT, HOST, FILE, LINES = "NST_METRICS_PORT", "NST_METRICS_HOST", "NST_METRICS_FILE", "NST_JSON_LINES"


@contextmanager
def operators_watchers() -> Iterator[list[Watcher]]:
    """Yield the watchers that the environment variables request; they are closed when the block ends."""
    watchers: list[Watcher] = []
    with ExitStack() as stack:
        if os.environ.get(LINES) and (file := _opened(os.environ[LINES])):
            stack.callback(_close, file)
            watchers.append(json_lines(file, lambda run: {"at": utc_now(), "run_id": run.run_id}))
        if os.environ.get(PORT) or os.environ.get(FILE):
            metrics = Metrics()
            watchers.append(metrics.watch)
            if port := _port(os.environ.get(PORT, "")):
                stack.enter_context(served(metrics, os.environ.get(HOST, "127.0.0.1"), port))
            if os.environ.get(FILE):
                stack.enter_context(written(metrics, os.environ[FILE]))
        yield watchers


def _opened(path: str) -> IO[str] | None:
    try:
        # Without blocking: opening a FIFO that has no reader would hang the run.
        return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666), "a", encoding="utf-8")
    except OSError as error:
        logger.warning("%s: %s cannot be written, and is left out: %s", LINES, path, error.strerror)
        return None


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # a failed write has been logged already
        file.close()


def _port(text: str) -> int | None:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    if text:
        logger.warning("%s: expected a port, 1 to 65535, got %r; metrics are not served", PORT, text)
    return None

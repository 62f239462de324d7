"""Prometheus metrics of a run, served over HTTP or written to a file for node_exporter's textfile collector.

The file suits short runs: it outlives them, and the collector reads it on its own schedule.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
    write_to_textfile,
)

from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.runs import RunStarted
from flows.worker.messages import ChunkStarted, LeftPending, Message, OnWorkerMessage, StepTaken

logger = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nothing here reads them

SECONDS_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1800)
"""The upper bounds of the histogram of the seconds per pair."""
WRITE_SECONDS = 10.0
"""The time between two writes of the metrics file."""


class Metrics:
    """Counts the events of a run; `watch` is the watcher."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._pairs = Counter("nst_pairs", "Pairs with an outcome.", ["status", "error_kind"], registry=registry)
        self._seconds = Histogram(
            "nst_pair_seconds", "Time of a pair on its device.", buckets=SECONDS_BUCKETS, registry=registry
        )
        self._evaluations = Counter("nst_evaluations", "Evaluations of the loss, of finished pairs.", registry=registry)
        self._requeued = Counter(
            "nst_batches_requeued", "Groups of pairs that were begun again after their worker died.", registry=registry
        )
        self._left = Gauge("nst_pairs_left", "Pairs of the run without an outcome.", registry=registry)
        self._workers = Gauge("nst_workers", "Workers that have begun something.", registry=registry)
        self._memory = Gauge(
            "nst_device_memory_peak_bytes",
            "Most memory that a worker has had on its device.",
            ["worker"],
            registry=registry,
        )
        self._run = Gauge("nst_run_info", "The latest run.", ["run_id", "output", "backbone"], registry=registry)
        self._run_started = Gauge("nst_run_started_timestamp_seconds", "When it began.", registry=registry)
        self._last_outcome = Gauge(
            "nst_last_outcome_timestamp_seconds",
            "When a pair last had its outcome; until the run's first one, when it began.",
            registry=registry,
        )
        self._ended = Gauge("nst_run_ended_timestamp_seconds", "When it ended; 0 while it goes on.", registry=registry)
        self._started_pairs: set[str] = set()
        self._worker_names: set[str] = set()
        self._lock = threading.Lock()

    def watch(self, run: RunStarted) -> OnWorkerMessage:
        """Count a run; a `flows.watching.listeners.Watcher`."""
        self._run.clear()
        self._run.labels(run.run_id, run.output, run.backbone).set(1)
        self._run_started.set_to_current_time()
        self._last_outcome.set_to_current_time()  # for alerts about runs without an outcome for too long
        self._ended.set(0)
        self._left.set(len(run.todo))
        for row in run.rejected:
            self._pairs.labels("rejected", row.kind).inc()
        return self._on_message

    def _on_message(self, worker: str, message: Message) -> None:
        if isinstance(message, ChunkStarted):
            self._count_start(worker, message)
        elif not isinstance(message, StepTaken):
            self._count_outcome(message)

    def on_end(self) -> None:
        """Record that the run is over."""
        self._ended.set_to_current_time()

    def _count_start(self, worker: str, message: ChunkStarted) -> None:
        with self._lock:
            if self._started_pairs & set(message.pair_ids):
                self._requeued.inc()
            self._started_pairs |= set(message.pair_ids)
            self._worker_names.add(worker)
            self._workers.set(len(self._worker_names))
        self._memory.labels(worker).set(message.memory_bytes)

    def _count_outcome(self, message: PairRecord | AttemptRecord | LeftPending) -> None:
        self._left.dec()
        self._last_outcome.set_to_current_time()
        if isinstance(message, PairRecord):
            self._pairs.labels("succeeded", "").inc()
            self._seconds.observe(message.seconds)
            self._evaluations.inc(message.evaluations)
        elif isinstance(message, AttemptRecord):
            self._pairs.labels("failed", message.error_kind).inc()
        else:
            self._pairs.labels("pending", message.kind).inc()


@contextmanager
def served(metrics: Metrics, host: str, port: int) -> Iterator[None]:
    """Serve `GET /metrics` while the block runs; if the port cannot be used, log a warning and go on."""
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except Exception as error:  # noqa: BLE001  # from the socket, or from an invalid host name
        logger.warning("metrics cannot be served on %s port %d: %s", host, port, error)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def written(metrics: Metrics, path: str, every_seconds: float = WRITE_SECONDS) -> Iterator[None]:
    """Keep a metrics file up to date while the block runs, and leave the final numbers in it."""
    ended = threading.Event()
    writer = threading.Thread(
        target=_keep_written, args=(metrics, path, ended, every_seconds), name="metrics", daemon=True
    )
    writer.start()
    try:
        yield
    finally:
        metrics.on_end()
        ended.set()
        writer.join()


def _keep_written(metrics: Metrics, path: str, ended: threading.Event, every_seconds: float) -> None:
    """Write the file at once, at intervals and at the end; at the first failure log a warning and stop."""
    try:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            write_to_textfile(path, metrics.registry)
            due += every_seconds
        write_to_textfile(path, metrics.registry)
    except Exception as error:  # noqa: BLE001  # no error of a watcher may stop the pairs
        logger.warning("metrics cannot be written to %s: %s", path, error)

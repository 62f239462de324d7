"""A watcher for programs: a line of JSON for the start of a run and for the outcome of each pair."""

import json
import threading
from collections.abc import Callable
from typing import IO, Any

from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.runs import RunStarted
from flows.watching.listeners import Watcher
from flows.worker.messages import LeftPending, Message, OnWorkerMessage

COLUMNS = ("output", "total_loss", "content_loss", "style_loss", "steps", "stop_reason", "seconds")
"""The fields of a `PairRecord` that the line of a successful pair contains."""
Stamp = Callable[[RunStarted], dict[str, Any]]
"""Returns the fields that every line of a run begins with."""


def json_lines(file: IO[str], stamp: Stamp | None = None) -> Watcher:
    """Return a watcher that writes lines of JSON to a file.

    Args:
        file: the open file, which the caller closes.
        stamp: adds fields to the start of each line, to tell apart the runs that share a file.
    """
    lock = threading.Lock()

    def watch_json_lines(run: RunStarted) -> OnWorkerMessage:
        def write(event: dict[str, Any]) -> None:
            line = json.dumps((stamp(run) if stamp else {}) | event)
            with lock:
                file.write(line + "\n")
                file.flush()

        def on_message(worker: str, message: Message) -> None:
            if outcome := _outcome(message):
                write({"event": "pair", "worker": worker} | outcome)

        write(_start(run))
        return on_message

    return watch_json_lines


def _start(run: RunStarted) -> dict[str, Any]:
    return {
        "event": "run",
        "run_id": run.run_id,
        "output": run.output,
        "pairs": len(run.todo),
        "done_before": run.done_before,
        "rejected": len(run.rejected),
        "workers": run.workers,
        "backbone": run.backbone,
        "precision": run.precision,
    }


def _outcome(message: Message) -> dict[str, Any] | None:
    """Return the fields of a line for a pair's outcome; None for a message without an outcome."""
    match message:
        case PairRecord():
            fields = {"status": "succeeded"} | {name: getattr(message, name) for name in COLUMNS}
        case AttemptRecord():
            fields = {"status": "failed", "error_kind": message.error_kind, "error": message.error}
        case LeftPending():
            fields = {"status": "pending", "error_kind": message.kind, "error": message.error}
        case _:
            return None
    return {"pair_id": message.pair_id} | fields

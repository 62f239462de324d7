"""A line of JSON for every event of a run that counts: its start, and each pair's outcome. For programs."""

import json
import threading
from collections.abc import Callable
from typing import IO, Any

from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.runs import RunStarted
from flows.watching.listeners import Watcher
from flows.worker.messages import LeftPending, Message, OnWorkerMessage

COLUMNS = ("output", "total_loss", "content_loss", "style_loss", "steps", "stop_reason", "seconds")
Stamp = Callable[[RunStarted], dict[str, Any]]


def json_lines(file: IO[str], stamp: Stamp | None = None) -> Watcher:
    """A watcher that writes to a file; `stamp` says what each line begins with, where many runs share it."""
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
    """What a message says of a pair's outcome; None if it says nothing of it."""
    match message:
        case PairRecord():
            told = {"status": "succeeded"} | {name: getattr(message, name) for name in COLUMNS}
        case AttemptRecord():
            told = {"status": "failed", "error_kind": message.error_kind, "error": message.error}
        case LeftPending():
            told = {"status": "pending", "error_kind": message.kind, "error": message.error}
        case _:
            return None
    return {"pair_id": message.pair_id} | told

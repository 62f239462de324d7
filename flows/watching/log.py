"""A watcher that logs a run: its work, a line per finished pair, and warnings about unusual results."""

import itertools
import logging

from flows import stub
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.records.runs import RunStarted
from flows.wording import counted, printable, problem_lines
from flows.worker.messages import ChunkStarted, LeftPending, Message, OnWorkerMessage, StepTaken

logger = logging.getLogger(__name__)

REASONS = {"threshold": "below the threshold", "settled": "settled", "steps": "steps spent", "time": "time spent"}
"""Maps a stop reason of the optimisation to words."""


def watch_log(run: RunStarted) -> OnWorkerMessage:
    """Log a run; a `flows.watching.listeners.Watcher`."""
    _announce(run)
    pairs = {pair.spec.pair_id: pair for pair in run.todo}
    numbers, total = itertools.count(1), len(pairs)

    def progress(pair: PlannedPair) -> str:
        return f"[{next(numbers):>{len(str(total))}}/{total}] {_name(pair)}"

    def on_message(_worker: str, message: Message) -> None:
        match message:
            case ChunkStarted():
                logger.debug("process %d stylizes %s", message.process_id, ", ".join(message.pair_ids))
            case StepTaken():
                logger.debug("%s: step %d, loss %.4g", message.pair_id, message.step, message.total_loss)
            case LeftPending():
                logger.error("%s: left pending: %s", _name(pairs[message.pair_id]), printable(message.error))
            case AttemptRecord():
                position = progress(pairs[message.pair_id])
                logger.error("%s: failed (%s) %s", position, message.error_kind, printable(message.error))
            case PairRecord():
                logger.info("%s: %s", progress(pairs[message.pair_id]), _result(message))
                _warn(pairs[message.pair_id], message)

    return on_message


def _announce(run: RunStarted) -> None:
    for line in problem_lines(run.rejected, lambda row: f"row {row.row}: rejected: {row.reason()}"):
        logger.error("%s", line)
    logger.info(
        "run %s: %s to do on %s (%s, %s); %d done before, %s rejected",
        run.run_id,
        counted(len(run.todo), "pair"),
        ", ".join(run.workers),
        run.backbone,
        run.precision,
        run.done_before,
        counted(len(run.rejected), "row"),
    )
    if run.backbone == stub.NAME:
        logger.warning(stub.WARNING)
    elif run.todo and set(run.devices) == {"cpu"}:
        logger.warning("running on the CPU: the same images as on a GPU, but slower")


def _name(pair: PlannedPair) -> str:
    return f"row {pair.spec.row} {pair.spec.pair_id}"


def _result(record: PairRecord) -> str:
    losses = f"loss {record.initial_total_loss:.4g} -> {record.total_loss:.4g}"
    reason = REASONS.get(record.stop_reason, record.stop_reason)
    return f"{losses}, {counted(record.steps, 'step')} ({reason}), {record.seconds:.1f} s"


def _warn(pair: PlannedPair, record: PairRecord) -> None:
    for note in record.notes:
        if note != stub.WARNING:  # every pair has it, and it is logged at the start of the run
            logger.warning("%s: %s", _name(pair), printable(note))

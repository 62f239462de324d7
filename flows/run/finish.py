"""Finish a run: write the results table from the records, the summary, and the marker `_SUCCESS` if no row is left.

While this run was suspended or cut off from the storage, another one may have taken the output over, planned another
manifest and ended. So the lease is checked directly before each of the files that every run rewrites.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from flows import storage
from flows.costs.spent import Spent
from flows.errors import CredentialsExpired, NotFound, OutputBusy, OutputError, StorageError, Unavailable
from flows.output import Ledger, Outcome, Row, TableFiles, counts, outcomes, write_tables
from flows.output.history import HistoryTable
from flows.records import layout
from flows.records.runs import RunSummary
from flows.run.prepare import PreparedRun
from flows.wording import redacted
from nst_core.errors import NstError
from nst_core.machine.allowance import usable_cpus

logger = logging.getLogger(__name__)


_COUNTS = ("rows", "succeeded", "failed", "rejected", "pending")
"""The fields of a summary that differ if the results do."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        summary: the run in numbers.
        rows: the rows of its results table.
        left: the number of rows that the run planned to do and has no outcome of: they are still pending, or have
            nothing but the failure of an earlier run.
        outcomes: the same rows with their records, as read for the table; empty for large runs, see `finish_run`.
    """

    summary: RunSummary
    rows: list[Row]
    left: int
    outcomes: tuple[Outcome, ...] = ()


class RunIncomplete(NstError):
    """Raised if selected rows are still pending at the end of a run; running again continues it.

    Attributes:
        summary: the run in numbers.
    """

    kind = "incomplete"
    retryable = True

    def __init__(self, message: str, summary: RunSummary) -> None:
        super().__init__(message)
        self.summary = summary

    def __reduce__(self) -> tuple[type["RunIncomplete"], tuple[str, RunSummary]]:
        """Support pickling, which by default would call `__init__` with the message alone."""
        return type(self), (str(self), self.summary)


def finish_run(run: PreparedRun, *, most_kept: int = 0, check_hold: Callable[[], None] = lambda: None) -> FinishedRun:
    """Build the results table from the ledger, write it and the summary, and mark the output if no row is left.

    Args:
        run: the planned run.
        most_kept: the records of a run with at most this many rows are returned too, so that the caller need not read
            them again.
        check_hold: raises OutputBusy if another run has taken over the output, whose files are then left alone.

    Raises:
        OutputError: if the table has fewer or more rows than the manifest: no row may be lost.
        OutputBusy: if `check_hold` raises it.
    """
    output, number = run.job.output, len(run.request.manifest.pairs) + len(run.request.manifest.rejected)
    spent = Spent(run.means.devices[0].startswith("cuda"), run.means.threads or usable_cpus())
    rows, kept = _read_rows(run, spent, check_hold, keeps_records=number <= most_kept)
    if len(rows) != number:
        raise OutputError(f"{output}: the table has {len(rows)} rows, the manifest has {number}")
    summary = _summary(run, rows, write_tables(rows, output, check_hold), spent)
    if run.job.stub is None and run.request.settings.runner != "ray":  # rates are this machine's, Ray uses others
        spent.keep_rates(len(run.means.devices), run.means.precision, summary.seconds)
    left = _left(run, rows)
    is_complete = summary.pending == left == 0
    marker = _marker(summary, run.record.manifest_sha256, rows) if is_complete else b""
    check_hold()  # again, because writing a large table, and reading it for the marker, takes a while
    if not _has_same_results_as_before(run, summary):
        _remove_old_page(output)
    storage.replace(storage.join(output, layout.SUMMARY), summary.model_dump_json(indent=1).encode())
    if is_complete:
        storage.replace(storage.join(output, layout.SUCCESS), marker)
    else:  # a run from which this one took the output over may have written its marker just now
        storage.remove(storage.join(output, layout.SUCCESS))
    return FinishedRun(summary, rows, left, kept)


def _has_same_results_as_before(run: PreparedRun, summary: RunSummary) -> bool:
    """Tell whether the results are those of the last run that ended here, so that its report still shows them."""
    if run.plan.todo:
        return False
    try:
        before = RunSummary.model_validate_json(storage.read(storage.join(run.job.output, layout.SUMMARY)))
        plan = Ledger(run.job.output).run(before.run_id)
    except (NotFound, OutputError, ValueError):
        return False
    is_same_plan = (plan.manifest_sha256, plan.fingerprints) == (run.record.manifest_sha256, run.record.fingerprints)
    return is_same_plan and all(getattr(before, name) == getattr(summary, name) for name in _COUNTS)


def _remove_old_page(output: str) -> None:
    """Remove the report of an earlier run. This run may write none: if it stops, or has too many rows."""
    try:
        storage.remove(storage.join(output, layout.REPORT))
    except (Unavailable, CredentialsExpired):
        raise
    except StorageError as error:  # no reason to fail a run that has done its work
        logger.warning("the report.html of an earlier run stays, as it cannot be removed: %s", redacted(str(error)))


def finish_stopped_run(run: PreparedRun, because_of: BaseException, check_hold: Callable[[], None]) -> None:
    """Write the table of a run that is about to end with an error, so that it shows what is done and what is pending.

    An error while doing so is only logged, because the caller has to see the error that ended the run. After an
    interruption, unavailable storage is waited for only briefly.

    Args:
        run: the planned run.
        because_of: the error or interruption that ends the run.
        check_hold: as in `finish_run`.
    """
    try:
        with storage.hurried(because_of):
            finish_run(run, check_hold=check_hold)
    except OutputBusy as error:
        logger.warning("the table of this run was not written: %s", redacted(str(error)))
    except Exception as error:  # noqa: BLE001  # no error here may hide the one that ended the run
        known = isinstance(error, NstError)
        logger.warning(
            "the table of this run could not be written: %s; the same command again writes it",
            redacted(str(error) if known else f"{type(error).__name__}: {error}"),
            exc_info=None if known else error,
        )


def check_credentials(run: PreparedRun, finished: FinishedRun) -> None:
    """Raise CredentialsExpired if rows are pending and credentials have expired: no run can do them until renewal.

    Raises:
        CredentialsExpired: if an input of the last planned pair cannot be read for that reason; the rows themselves
            are fine and stay pending.
    """
    if not finished.left:
        return
    for address in run.plan.todo[-1].spec.pictures.values():
        try:
            storage.identity(address)
        except CredentialsExpired:
            raise
        except StorageError:
            continue  # the row's own line in the log has reported it


def _left(run: PreparedRun, rows: list[Row]) -> int:
    """Return the number of rows that the run took on and that no attempt has an outcome of since it was planned.

    The row of a pair that failed before shows that failure until the pair has another outcome, so its status alone
    does not say that the run did it.
    """
    attempts = {pair.spec.pair_id: pair.attempt for pair in run.plan.todo}
    open_rows = [row for row in rows if row["status"] in ("pending", "failed")]
    return sum(row["attempts"] < attempts.get(row["pair_id"], 0) for row in open_rows)


def _read_rows(
    run: PreparedRun, spent: Spent, check_hold: Callable[[], None], *, keeps_records: bool
) -> tuple[list[Row], tuple[Outcome, ...]]:
    """Return the table's rows, and their records if `keeps_records`.

    Each record is read only once: its loss history is added to the history table and its cost to `spent` on the way.
    """
    ledger = Ledger(run.job.output)
    index = ledger.index()
    ledger.save_snapshot(index)
    rows, kept, histories = [], [], HistoryTable()
    for outcome in outcomes(run.request.manifest, run.record, ledger, index):
        rows.append(outcome.row)
        if outcome.record is not None:
            histories.add(outcome.record)
            if outcome.record.run_id == run.record.run_id:
                spent.add(outcome.record)
        if keeps_records:
            kept.append(outcome)
    histories.write(run.job.output, check_hold)
    return rows, tuple(kept)  # the index, which holds the text of every record, is freed here


def _summary(run: PreparedRun, rows: list[Row], tables: TableFiles, spent: Spent) -> RunSummary:
    seconds = round(time.monotonic() - run.began, 3)
    now = [row for row in rows if row["run_id"] == run.record.run_id and row["status"] == "succeeded"]
    return RunSummary(
        run_id=run.record.run_id,
        manifest=run.request.manifest.uri,
        output=run.job.output,
        rows=len(rows),
        **counts(rows),
        done_before=len(run.plan.done),
        stylized_now=len(now),
        seconds=seconds,
        seconds_per_pair=round(sum(row["seconds"] for row in now) / len(now), 3) if now else None,
        device=run.record.device,
        precision=run.record.precision,
        backbone=run.record.backbone,
        results_csv=tables.csv,
        results_parquet=tables.parquet,
        storage_notes=tuple(storage.shortfalls(run.job.output)),
        costs=spent.costs(seconds),
    )


def _marker(summary: RunSummary, manifest_sha256: str, rows: list[Row]) -> bytes:
    """Return the contents of `_SUCCESS`."""
    images = sorted((row["output"], row["output_sha256"]) for row in rows if row["status"] == "succeeded")
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in images)  # the format of sha256sum
    marker = {
        "run_id": summary.run_id,
        "manifest_sha256": manifest_sha256,
        "images_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "rows": summary.rows,
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "rejected": summary.rejected,
        "results_csv_sha256": hashlib.sha256(storage.read(summary.results_csv)).hexdigest(),
        "results_parquet_sha256": hashlib.sha256(storage.read(summary.results_parquet)).hexdigest(),
    }
    return json.dumps(marker, indent=1).encode()

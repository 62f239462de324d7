"""The end of a run: the table from its records, the summary, and the mark that no row is left."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from flows import storage
from flows.costs.spent import Spent
from flows.errors import CredentialsExpired, OutputError, StorageError
from flows.output import Ledger, Outcome, Row, TableFiles, counts, outcomes, write_tables
from flows.output.history import HistoryTable
from flows.records import layout
from flows.records.runs import RunSummary
from flows.run.prepare import PreparedRun
from flows.wording import redacted
from nst_core.errors import NstError
from nst_core.machine.allowance import usable_cpus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """The end of a run.

    Attributes:
        summary: the run in numbers.
        rows: of its table.
        left: rows that the run took on and that are pending all the same.
        outcomes: the same rows with their records, as they were read for the table; empty where they are not kept.
    """

    summary: RunSummary
    rows: list[Row]
    left: int
    outcomes: tuple[Outcome, ...] = ()


class RunIncomplete(NstError):
    """Selected rows are still pending: run again to go on.

    Attributes:
        summary: the run in numbers.
    """

    kind = "incomplete"
    retryable = True

    def __init__(self, message: str, summary: RunSummary) -> None:
        super().__init__(message)
        self.summary = summary

    def __reduce__(self) -> tuple[type["RunIncomplete"], tuple[str, RunSummary]]:
        """Survive the trip between processes: pickle would call `__init__` with one argument."""
        return type(self), (str(self), self.summary)


def finish_run(run: PreparedRun, *, most_kept: int = 0, check_hold: Callable[[], None] = lambda: None) -> FinishedRun:
    """Build the table from the ledger, write it with the summary, and mark the output if no row is left.

    Args:
        run: as it was prepared.
        most_kept: records of a run of no more rows than this are given back too, so that nobody reads them again.
        check_hold: raises OutputBusy where the output is another run's by now, whose mark, or want of one, stays.

    Raises:
        OutputError: if the rows do not add up to the manifest's: nothing may be lost.
        OutputBusy: by `check_hold`.
    """
    output, number = run.job.output, len(run.request.manifest.pairs) + len(run.request.manifest.rejected)
    spent = Spent(run.means.devices[0].startswith("cuda"), run.means.threads or usable_cpus())
    rows, kept = _read_once(run, spent, keeps_records=number <= most_kept)
    if len(rows) != number:
        raise OutputError(f"{output}: the table has {len(rows)} rows, the manifest has {number}")
    summary = _summary(run, rows, write_tables(rows, output), spent)
    storage.replace(storage.join(output, layout.SUMMARY), summary.model_dump_json(indent=1).encode())
    if run.job.stub is None and run.request.settings.runner != "ray":  # whose machines are others
        spent.keep_rates(len(run.means.devices), run.means.precision, summary.seconds)
    check_hold()  # tables of many rows take a while to write
    if summary.pending == 0:
        _mark_complete(output, summary, run.record.manifest_sha256, rows)
    else:  # that of a run from which the output was taken in just this moment
        storage.remove(storage.join(output, layout.SUCCESS))
    taken_on = {pair.spec.pair_id for pair in run.plan.todo}
    left = sum(row["status"] == "pending" and row["pair_id"] in taken_on for row in rows)
    return FinishedRun(summary, rows, left, kept)


def finish_stopped_run(run: PreparedRun, because_of: BaseException, check_hold: Callable[[], None]) -> None:
    """Have the table of a run that is about to end with an error show what is done and what is pending.

    Trouble with that is told: what ended the run is what whoever started it has to hear. After an interruption
    storage that is away is not waited for.
    """
    try:
        with storage.hurried(because_of):
            finish_run(run, check_hold=check_hold)
    except Exception as error:  # noqa: BLE001  # whatever it is, the run ended for another reason
        known = isinstance(error, NstError)
        logger.warning(
            "the table of this run could not be written: %s; the same command again writes it",
            redacted(str(error) if known else f"{type(error).__name__}: {error}"),
            exc_info=None if known else error,
        )


def check_credentials(run: PreparedRun, finished: FinishedRun) -> None:
    """Say so if rows were left because credentials ran out: no more runs will do them until they are renewed.

    Raises:
        CredentialsExpired: then nothing was wrong with the rows, which are pending.
    """
    if not finished.left:
        return
    for address in run.plan.todo[-1].spec.pictures.values():
        try:
            storage.identity(address)
        except CredentialsExpired:
            raise
        except StorageError:
            continue  # the row's own line in the log has said it


def _read_once(run: PreparedRun, spent: Spent, *, keeps_records: bool) -> tuple[list[Row], tuple[Outcome, ...]]:
    """The table's rows; on the way, each record's history goes into its table, and the record is let go or kept."""
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
    histories.write(run.job.output)
    return rows, tuple(kept)  # the index ends here: it has the text of every record


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


def _mark_complete(output: str, summary: RunSummary, manifest_sha256: str, rows: list[Row]) -> None:
    images = sorted((row["output"], row["output_sha256"]) for row in rows if row["status"] == "succeeded")
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in images)  # as sha256sum prints and checks it
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
    storage.replace(storage.join(output, layout.SUCCESS), json.dumps(marker, indent=1).encode())

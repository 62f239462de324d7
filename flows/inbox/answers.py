"""What is answered beside a manifest: bad rows, and what became of the run, from its output's records alone."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from flows import storage, stub
from flows.costs.estimate import estimate
from flows.errors import CredentialsExpired, NotFound, StorageError, Unavailable
from flows.inbox.files import Answer, Claim, Start
from flows.inbox.finished_page import FinishedOutput, finished_page
from flows.inbox.rejected_page import page_of_file, page_of_rows
from flows.inbox.runs import RunState
from flows.manifest.spreadsheet_cells import as_opened
from flows.output import Ledger, Row, counts, latest_run, table_rows
from flows.records import layout
from flows.records.pairs import Manifest, RejectedRow
from flows.records.timestamps import utc_now
from flows.wording import MOST_NAMED, listed, printable, redacted, shortened

logger = logging.getLogger(__name__)


def rejection(claim: Claim, reason: str, data: bytes | None) -> Answer:
    """The answer to a file that cannot be used as a whole; `data` are its bytes, where it was read."""
    when = utc_now()
    page = _page(lambda: page_of_file(claim.name, reason, when, claim.sha256, data))
    return Answer({"rejected_at": when, "reason": printable(reason), **bad_rows(())}, page)


def rejection_of_rows(claim: Claim, manifest: Manifest, data: bytes, max_bytes: int) -> Answer:
    """The answer to a manifest with rows that cannot be used; `max_bytes` may be in it, unpacked."""
    when, rows = utc_now(), len(manifest.pairs) + len(manifest.rejected)
    reason = f"{len(manifest.rejected)} of {rows} rows cannot be used"
    page = _page(lambda: page_of_rows(manifest, claim.name, reason, when, data, max_bytes))
    return Answer({"rejected_at": when, "reason": reason, **bad_rows(manifest.rejected)}, page)


def acceptance(claim: Claim, start: Start, manifest: Manifest, backbone: str) -> Answer:
    """The answer to a manifest that is run with a backbone."""
    return Answer(
        {
            "accepted_at": start.started_at,
            "run_id": start.run_id,
            "output": claim.output,
            "rows": len(manifest.pairs) + len(manifest.rejected),
            **estimated(manifest, backbone),
            **bad_rows(manifest.rejected),
        }
    )


def conclusion(claim: Claim, start: Start, state: RunState, place: str) -> Answer:
    """The answer to a manifest whose run is over; `place` is where it will be."""
    outcome, ended = _outcome(claim) if state.stage == "ended" else ({}, None)
    status, message, when = status_of(state, outcome), printable(state.message), utc_now()
    content = {
        "finished_at": when,
        "status": status,
        "message": message,
        "run_id": start.run_id,
        "starts": start.number,
        "output": claim.output,
        **outcome,
    }
    said = outcome.get("note", message)
    return Answer(content, _page(lambda: finished_page(place, claim.name, status, said, when, ended)))


def status_of(state: RunState, outcome: dict[str, Any]) -> str:
    """What became of a manifest, in words: of the run's state and its outcome."""
    if state.stage != "ended":
        return state.stage
    if outcome.get("pending"):
        return "incomplete"
    return "some rows failed" if outcome.get("failed") or outcome.get("rejected") else "succeeded"


def estimated(manifest: Manifest, backbone: str) -> dict[str, Any]:
    """How long a manifest's pairs will take, in words and numbers, were they the only ones; files are not opened."""
    found = None if backbone == stub.NAME else estimate(manifest.pairs, {}, backbone)
    return {} if found is None else {"estimate": {"in_words": str(found), **found.as_json()}}


def bad_rows(rows: Sequence[RejectedRow]) -> dict[str, Any]:
    """The first bad rows as their owner reads them, and how many are left."""
    return listed("bad_rows", rows, _row_in_words)


def _outcome(claim: Claim) -> tuple[dict[str, Any], FinishedOutput | None]:
    """Counts and failed rows of a run that has ended, from its output's records."""
    latest = latest_run(claim.output)
    run = latest.record
    if run.manifest_sha256 != claim.sha256:
        return {"note": "another manifest has been run into this output since; its table is that one's"}, None
    rows = table_rows(latest.manifest, run, Ledger(claim.output))
    troubled = [row for row in rows if row["status"] != "succeeded"]
    by_status = {str(status): number for status, number in counts(rows).items()}
    report = _report(claim.output)
    outcome = {
        "results_run_id": run.run_id,
        "rows": len(rows),
        **by_status,
        "results_csv": storage.join(claim.output, layout.RESULTS_CSV),
        "report": report,
        **listed("problems", troubled, _problem),  # the results table has them all
    }
    opened = as_opened(latest.data, claim.name, sys.maxsize)
    return outcome, FinishedOutput(claim.output, by_status, troubled, opened, report)


def _report(output: str) -> str | None:
    """The address of an output's page, where it can be had; of thousands of rows a run makes none by itself."""
    address = storage.join(output, layout.REPORT)
    try:
        storage.size(address)
    except NotFound:
        return None
    except (Unavailable, CredentialsExpired):  # a later visit may have the link
        raise
    except StorageError as error:  # counts and reasons are worth more than the link
        logger.warning("inbox: the report is left out of an answer, as it cannot be looked at: %s", error)
        return None
    return address


def _page(made: Callable[[], bytes]) -> bytes | None:
    """A page, if it can be made: the answer for programs says the same, and matters more."""
    try:
        return made()
    except Exception as error:  # noqa: BLE001  # whatever is in a manifest, its answer is given
        logger.warning("inbox: a page could not be made: %s", redacted(str(error)))
        return None


def _problem(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("row", "pair_id", "status", "error_kind", "error")}


def _row_in_words(row: RejectedRow) -> dict[str, Any]:
    problems = [
        {
            "column": one.column and printable(shortened(one.column)),
            "value": printable(one.value),
            "reason": printable(one.reason),
        }
        for one in row.errors[:MOST_NAMED]
    ]
    return {"row": row.row, "reason": row.reason(), "problems": problems}

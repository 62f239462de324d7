"""Build the answers to a manifest: its bad rows, its estimate, and the outcome of its run.

The outcome is read from the records of the output alone.
"""

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
from flows.manifest.spreadsheet_cells import as_opened
from flows.output import Ledger, Row, counts, latest_run, table_rows
from flows.records import layout
from flows.records.pairs import Manifest, RejectedRow
from flows.records.runs import RunState
from flows.records.timestamps import utc_now
from flows.wording import MOST_NAMED, printable, problems_as_json, redacted, shortened

logger = logging.getLogger(__name__)


def rejection(claim: Claim, reason: str, data: bytes | None) -> Answer:
    """Return the answer to a file that cannot be used as a whole.

    Args:
        claim: the claim on the file.
        reason: what was expected, what was found and what to do.
        data: the bytes of the file; None if it was not read.
    """
    when = utc_now()
    page = _page(lambda: page_of_file(claim.name, reason, when, claim.sha256, data))
    return Answer({"rejected_at": when, "reason": printable(reason), **bad_rows(())}, page)


def rejection_of_rows(claim: Claim, manifest: Manifest, data: bytes, max_bytes: int) -> Answer:
    """Return the answer to a manifest with rows that cannot be used.

    Args:
        claim: the claim on the manifest.
        manifest: the parsed manifest.
        data: the bytes of its file.
        max_bytes: the limit on the size of the file after it is decompressed.
    """
    when, rows = utc_now(), len(manifest.pairs) + len(manifest.rejected)
    reason = f"{len(manifest.rejected)} of {rows} rows cannot be used"
    page = _page(lambda: page_of_rows(manifest, claim.name, reason, when, data, max_bytes))
    return Answer({"rejected_at": when, "reason": reason, **bad_rows(manifest.rejected)}, page)


def acceptance(claim: Claim, start: Start, manifest: Manifest, backbone: str) -> Answer:
    """Return the answer to a manifest whose run was started with a backbone."""
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
    """Return the answer to a manifest whose run is over.

    Args:
        claim: the claim on the manifest.
        start: the latest start of its run.
        state: the final state of the run.
        place: the inbox in which the answer will be written.
    """
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
    explanation = outcome.get("note", message)
    return Answer(content, _page(lambda: finished_page(place, claim.name, status, explanation, when, ended)))


def status_of(state: RunState, outcome: dict[str, Any]) -> str:
    """Return the status of a manifest as words, from its run's state and the row counts of its outcome."""
    if state.stage != "ended":
        return state.stage
    if outcome.get("pending"):
        return "incomplete"
    return "some rows failed" if outcome.get("failed") or outcome.get("rejected") else "succeeded"


def estimated(manifest: Manifest, backbone: str) -> dict[str, Any]:
    """Estimate how long a manifest's pairs take if no other run is active; no image file is opened.

    Returns:
        `estimate`, in words and numbers; empty where there is none.
    """
    estimated_time = None if backbone == stub.NAME else estimate(manifest.pairs, {}, backbone)
    return {} if estimated_time is None else {"estimate": {"in_words": str(estimated_time), **estimated_time.as_json()}}


def bad_rows(rows: Sequence[RejectedRow]) -> dict[str, Any]:
    """Return the first bad rows, described for the owner of the manifest, and the number of further ones."""
    return problems_as_json("bad_rows", rows, _row_in_words)


def _outcome(claim: Claim) -> tuple[dict[str, Any], FinishedOutput | None]:
    """Read the counts and the failed rows of an ended run from its output's records."""
    latest = latest_run(claim.output)
    run = latest.record
    if run.manifest_sha256 != claim.sha256:
        return {"note": "another manifest has been run into this output since; its table is that one's"}, None
    rows = table_rows(latest.manifest, run, Ledger(claim.output))
    without_image = [row for row in rows if row["status"] != "succeeded"]
    by_status = {str(status): number for status, number in counts(rows).items()}
    report = _report(claim.output)
    outcome = {
        "results_run_id": run.run_id,
        "rows": len(rows),
        **by_status,
        "results_csv": storage.join(claim.output, layout.RESULTS_CSV),
        "report": report,
        # Only the first ones; the results table has all of them.
        **problems_as_json("problems", without_image, _problem),
    }
    opened = as_opened(latest.data, claim.name, sys.maxsize)
    return outcome, FinishedOutput(claim.output, by_status, without_image, opened, report)


def _report(output: str) -> str | None:
    """Return the address of an output's report, or None: a run of thousands of rows writes none automatically."""
    address = storage.join(output, layout.REPORT)
    try:
        storage.size(address)
    except NotFound:
        return None
    except (Unavailable, CredentialsExpired):  # a later visit may get the link
        raise
    except StorageError as error:  # the answer is still useful without the link
        logger.warning("inbox: the report is left out of an answer, as it cannot be looked at: %s", error)
        return None
    return address


def _page(render: Callable[[], bytes]) -> bytes | None:
    """Render a page; None if that fails, as the JSON answer says the same and matters more."""
    try:
        return render()
    except Exception as error:  # noqa: BLE001  # a manifest is answered whatever it contains
        logger.warning("inbox: a page could not be made: %s", redacted(str(error)))
        return None


def _problem(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("row", "pair_id", "status", "error_kind", "error")}


def _row_in_words(row: RejectedRow) -> dict[str, Any]:
    problems = [
        {
            "column": error.column and printable(shortened(error.column)),
            "value": printable(error.value),
            "reason": printable(error.reason),
        }
        for error in row.errors[:MOST_NAMED]
    ]
    return {"row": row.row, "reason": row.reason(), "problems": problems}

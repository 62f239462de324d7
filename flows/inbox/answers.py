"""What is answered beside a manifest: bad rows, and what became of the run, from its output's records alone."""

from collections.abc import Sequence
from typing import Any

from flows import storage
from flows.inbox.files import Claim
from flows.inbox.runs import RunState
from flows.output import Ledger, counts, latest_manifest, table_rows
from flows.records import RejectedRow
from flows.wording import MOST_NAMED, printable, shortened


def status_of(state: RunState, outcome: dict[str, Any]) -> str:
    """What became of a manifest, in words: of the run's state and its `outcome_of`."""
    if state.stage != "ended":
        return state.stage
    if outcome.get("pending"):
        return "incomplete"
    return "some rows failed" if outcome.get("failed") or outcome.get("rejected") else "succeeded"


def outcome_of(claim: Claim) -> dict[str, Any]:
    """Counts and failed rows of a run that has ended, from its output's records."""
    latest, _, manifest = latest_manifest(claim.output)
    if latest.manifest_sha256 != claim.sha256:
        return {"note": "another manifest has been run into this output since; its table is that one's"}
    rows = table_rows(manifest, latest, Ledger(claim.output))
    troubled = [row for row in rows if row["status"] != "succeeded"]
    return {
        "results_run_id": latest.run_id,
        "rows": len(rows),
        **{str(status): number for status, number in counts(rows).items()},
        "results_csv": storage.join(claim.output, "results.csv"),
        "problems": [
            {name: row[name] for name in ("row", "pair_id", "status", "error_kind", "error")}
            for row in troubled[:MOST_NAMED]
        ],
        "problems_left": max(0, len(troubled) - MOST_NAMED),  # the results table has them all
    }


def bad_rows(rows: Sequence[RejectedRow]) -> dict[str, Any]:
    """The first bad rows as their owner reads them, and how many are left."""
    return {
        "bad_rows": [row_in_words(row) for row in rows[:MOST_NAMED]],
        "bad_rows_left": max(0, len(rows) - MOST_NAMED),
    }


def row_in_words(row: RejectedRow) -> dict[str, Any]:
    """A bad row as its owner reads it."""
    problems = [
        {
            "column": one.column and printable(shortened(one.column)),
            "value": printable(one.value),
            "reason": printable(one.reason),
        }
        for one in row.errors[:MOST_NAMED]
    ]
    return {"row": row.row, "reason": row.reason(), "problems": problems}

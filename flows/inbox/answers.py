"""What is answered beside a manifest: bad rows, and what became of the run, from its output's records alone."""

from collections.abc import Sequence
from typing import Any

from flows import storage, stub
from flows.costs.estimate import estimate
from flows.inbox.files import Claim
from flows.inbox.runs import RunState
from flows.output import Ledger, Row, counts, latest_manifest, table_rows
from flows.records import Manifest, RejectedRow
from flows.wording import MOST_NAMED, listed, printable, shortened


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
        **listed("problems", troubled, _problem),  # the results table has them all
    }


def estimated(manifest: Manifest, backbone: str) -> dict[str, Any]:
    """How long a manifest's pairs will take, in words and numbers, were they the only ones; files are not opened."""
    found = None if backbone == stub.NAME else estimate(manifest.pairs, {}, backbone)
    return {} if found is None else {"estimate": {"in_words": str(found), **found.as_json()}}


def bad_rows(rows: Sequence[RejectedRow]) -> dict[str, Any]:
    """The first bad rows as their owner reads them, and how many are left."""
    return listed("bad_rows", rows, _row_in_words)


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

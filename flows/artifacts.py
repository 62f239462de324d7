"""What Prefect's UI shows of a run: how far it is, its numbers with the best and the worst pair, and what failed.

For eyes alone: where Prefect's server does not answer, the run goes on and says so once.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows import storage
from flows.progress import RunStarted, Standing
from flows.records import RunSummary
from flows.results import Row, printable
from flows.worker.messages import Message

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 10.0
FAILURES_SHOWN = 200
EXTREMES_SHOWN = 3


class ProgressArtifact:
    """A listener that keeps a bar in the UI up to date."""

    def __init__(self) -> None:
        self._standing: Standing | None = None
        self._id: uuid.UUID | None = None
        self._updated = 0.0

    def on_start(self, run: RunStarted) -> None:
        """As `flows.progress.Listener`."""
        self._standing = Standing(run)
        self._updated = time.monotonic()
        self._id = _tried(
            lambda: create_progress_artifact(
                0.0, key="stylized-pairs", description=f"{len(run.todo)} pairs into {run.output}"
            )
        )

    def on_message(self, worker: str, message: Message) -> None:
        """As `flows.progress.Listener`; told by several threads, and an update more or less does no harm."""
        if self._standing is None or self._id is None:
            return
        self._standing.hear(worker, message)
        now = time.monotonic()
        if now - self._updated >= SECONDS_BETWEEN_UPDATES:
            self._updated = now
            self._show(self._id, self._standing.share_done)

    def finish(self) -> None:
        """The last update."""
        if self._standing is not None and self._id is not None:
            self._show(self._id, self._standing.share_done)

    def _show(self, artifact: uuid.UUID, share: float) -> None:
        if _tried(lambda: update_progress_artifact(artifact, 100.0 * share)) is None:
            self._id = None  # not asked again: every vain call would keep the workers' messages waiting


def show_summary(summary: RunSummary, rows: Sequence[Row]) -> None:
    """The run in numbers, and its failures in a table."""
    _tried(lambda: create_markdown_artifact(summary_markdown(summary, rows), key="run-summary"))
    failures = failure_table(rows)
    if failures:
        shown = f"{len(failures)} of {summary.failed + summary.rejected} rows that failed or were rejected"
        _tried(lambda: create_table_artifact(failures, key="failed-rows", description=shown))


def summary_markdown(summary: RunSummary, rows: Sequence[Row]) -> str:
    """Counts, where things are, and the pairs of the lowest and highest loss among those of one recipe."""
    lines = [
        f"## {summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected, "
        f"{summary.pending} pending",
        "",
        f"- manifest `{_code(summary.manifest)}`, {summary.rows} rows, {summary.done_before} done before",
        f"- images in `{_code(storage.join(summary.output, 'images'))}`, table in `{_code(summary.results_csv)}`",
        f"- {summary.stylized_now} stylized in {summary.seconds:.0f} s on {summary.device} "
        f"({summary.backbone}, {summary.precision})",
    ]
    if summary.failed:
        lines.append(f"- to try the failed rows again: `nst retry {_code(summary.output)}`")
    return "\n".join([*lines, *_extremes(rows)])


def failure_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows that failed or were rejected, in the manifest's order, as many as one can look at."""
    columns = ("row", "pair_id", "status", "error_kind", "error", "attempts")
    troubled = [row for row in rows if row["status"] in ("failed", "rejected")]
    return [{name: _plain(row[name]) for name in columns} for row in troubled[:FAILURES_SHOWN]]


def _extremes(rows: Sequence[Row]) -> list[str]:
    by_recipe: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "succeeded":
            by_recipe.setdefault(row["recipe"], []).append(row)
    lines: list[str] = []
    for recipe, done in by_recipe.items():
        done.sort(key=lambda row: row["total_loss"])
        best, worst = done[:EXTREMES_SHOWN], done[EXTREMES_SHOWN:][-EXTREMES_SHOWN:]
        lines += ["", f"### Losses, recipe {recipe}", "", "| | pair | total loss | image |", "|---|---|---|---|"]
        lines += [_line("lowest", row) for row in best] + [_line("highest", row) for row in worst]
    return lines


def _line(which: str, row: Row) -> str:
    return f"| {which} | `{_code(row['pair_id'])}` | {row['total_loss']:.4g} | `{_code(row['output'])}` |"


def _code(text: str) -> str:
    """Text as it may stand between backticks in a table: a manifest may hold anything."""
    return printable(text).replace("`", "'").replace("|", "\\|").replace("\n", " ")


def _plain(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _tried(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # whatever Prefect's client raises, the pictures matter more
        logger.debug("Prefect's UI could not be told: %s", error)
        return None

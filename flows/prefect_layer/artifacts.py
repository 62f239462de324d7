"""What Prefect's UI shows of a run: how far it is, its numbers with the best and the worst pair, and what failed; and
of a visit to the inboxes: what became of the manifests.

For eyes alone: where Prefect's server does not answer, the run goes on and says so once.
"""

import contextvars
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows import storage, stub
from flows.inbox import Visit
from flows.output import Row
from flows.records.runs import RunStarted, RunSummary
from flows.watching.progress import RunProgress
from flows.wording import MOST_NAMED, printable, redacted
from flows.worker.messages import Message, OnWorkerMessage

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 10.0
_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+!|~&:]")
PATIENCE_SECONDS = 15.0
"""With the server, at the end of a run."""
EXTREMES_SHOWN = 3
REASONS_SHOWN = 10


def watch_progress(run: RunStarted) -> OnWorkerMessage:
    """A watcher that keeps a bar in the UI up to date: see `flows.watching.listeners.Watcher`."""
    what = f"{len(run.todo)} pairs into {run.output}"
    bar = create_progress_artifact(0.0, key="stylized-pairs", description=what)
    assert isinstance(bar, uuid.UUID), "outside of a coroutine Prefect waits"
    progress, updated = RunProgress(run), time.monotonic()

    def on_message(worker: str, message: Message) -> None:
        nonlocal updated
        progress.on_message(worker, message)
        if time.monotonic() - updated >= SECONDS_BETWEEN_UPDATES or not progress.left:
            update_progress_artifact(bar, 100.0 * progress.share_done)
            updated = time.monotonic()

    return on_message


def show_end(summary: RunSummary, rows: Sequence[Row], page: str | None = None) -> None:
    """Show the run in numbers and its failures in a table; waits for the server, but not for long.

    `page` is the address of the run's page, where one was made.
    """
    _show(partial(_create, summary, rows, page))


def show_visits(visits: Mapping[str, Visit]) -> None:
    """Show what visits to inboxes did, in a table; nothing where nothing was new."""
    if table := visit_table(visits):
        described = "what became of the manifests in the inboxes"
        _show(lambda: create_table_artifact(table, key="inbox", description=described))


def visit_table(visits: Mapping[str, Visit]) -> list[dict[str, str]]:
    """What became of each manifest that something was done for; of many the first, and those in trouble before."""
    rows = [
        {"manifest": name, "became": word, "inbox": printable(place)}
        for word in ("troubled", "unanswered", "rejected", "started", "finished")
        for place, visit in visits.items()
        for name in getattr(visit, word)
    ]
    left = len(rows) - MOST_NAMED
    more = {"manifest": f"and {left:,} more", "became": "", "inbox": ""}
    return [*rows[:MOST_NAMED], *([more] if left > 0 else [])]


def _show(create: Callable[[], object]) -> None:
    """Make artifacts of this run; waits for the server, but not for long."""
    context = contextvars.copy_context()  # says which run the artifacts are of
    # A daemon: where the server is gone, each call takes a minute to fail.
    showing = threading.Thread(target=context.run, args=(_tried, create), name="artifacts", daemon=True)
    showing.start()
    showing.join(PATIENCE_SECONDS)


def _tried(create: Callable[[], object]) -> None:
    try:
        create()
    except Exception as error:  # noqa: BLE001  # whatever Prefect's client raises, the pictures matter more
        logger.warning("Prefect's UI will not show this run's end: %s", redacted(str(error)))


def _create(summary: RunSummary, rows: Sequence[Row], page: str | None) -> None:
    done = f"{summary.succeeded} of {summary.rows} rows of {printable(storage.name_of(summary.manifest))} succeeded"
    create_markdown_artifact(summary_markdown(summary, rows, page), key="run-summary", description=done)
    failures = failure_table(rows)
    if failures:
        shown = f"{len(failures)} of {summary.failed + summary.rejected} rows that failed or were rejected"
        create_table_artifact(failures, key="failed-rows", description=shown)


def summary_markdown(summary: RunSummary, rows: Sequence[Row], page: str | None = None) -> str:
    """Counts, where things are, why rows failed, and the pairs of the lowest and highest loss of each recipe."""
    made_up = ["**STUB: nothing was stylized, every picture and every loss is made up.**", ""]
    lines = [
        *(made_up if summary.backbone == stub.NAME else []),
        f"## {summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected, "
        f"{summary.pending} pending",
        "",
        f"- manifest `{_code(summary.manifest)}`, {summary.rows} rows, {summary.done_before} done before",
        f"- images in `{_code(storage.join(summary.output, 'images'))}`, table in `{_code(summary.results_csv)}`",
        f"- {summary.stylized_now} stylized in {summary.seconds:.0f} s on {summary.device} "
        f"({summary.backbone}, {summary.precision})",
    ]
    if page is not None:
        lines.append(f"- every pair side by side in `{_code(page)}`")
    if summary.failed:
        lines.append(f"- to try the failed rows again: `nst retry {_code(summary.output)}`")
    return "\n".join([*lines, *_reasons(rows), *_extremes(rows)])


def failure_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows that failed or were rejected, in the manifest's order, as many as one can look at."""
    columns = ("row", "pair_id", "error", "status", "error_kind", "attempts")  # the reason before the table is cut off
    troubled = [row for row in rows if row["status"] in ("failed", "rejected")]
    return [{name: _plain(row[name]) for name in columns} for row in troubled[:MOST_NAMED]]


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Of the first rows that failed, in a list: the UI breaks its lines, but cuts those of a table off."""
    troubled = [row for row in rows if row["status"] in ("failed", "rejected")]
    if not troubled:
        return []
    lines = ["", "### Why rows have no picture", ""]
    lines += [
        f"- row {row['row']} {_plain_markdown(row['pair_id'])}, {row['status']}: {_plain_markdown(row['error'])}"
        for row in troubled[:REASONS_SHOWN]
    ]
    left = len(troubled) - REASONS_SHOWN
    return [*lines, *([f"- and {left} more: see the artifact `failed-rows`"] if left > 0 else [])]


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
    return printable(text).replace("`", "'").replace("|", "\\|")


def _plain_markdown(text: str | None) -> str:
    """Text that shows as it is: no HTML, no link, no emphasis of a manifest's making."""
    return _MARKUP.sub(r"\\\g<0>", printable(text or ""))


def _plain(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value

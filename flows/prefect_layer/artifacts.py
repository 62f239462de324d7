"""Prefect artifacts, which its UI shows: a run's progress, summary and failures, and the outcome of inbox visits.

They are only for display: if Prefect's server does not answer, the run goes on, and logs that once.
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
from flows.wording import MOST_NAMED, counted, printable, redacted
from flows.worker.messages import Message, OnWorkerMessage

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_UPDATES = 10.0
"""The shortest time between two updates of the progress bar, except for the last one."""
_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#+!|~&:]")
"""The characters that have a meaning in Markdown."""
PATIENCE_SECONDS = 15.0
"""How long to wait for the server at the end of a run."""
EXTREMES_SHOWN = 3
"""How many pairs with the lowest, and with the highest, loss are shown for each recipe."""
REASONS_SHOWN = 10
"""How many rows without an image are listed in the summary, with the reason."""


def watch_progress(run: RunStarted) -> OnWorkerMessage:
    """Return a watcher that keeps a progress bar in the UI up to date; see `flows.watching.listeners.Watcher`."""
    description = f"{counted(len(run.todo), 'pair')} into {run.output}"
    bar = create_progress_artifact(0.0, key="stylized-pairs", description=description)
    assert isinstance(bar, uuid.UUID), "outside of a coroutine Prefect returns the id, not an awaitable"
    progress, updated = RunProgress(run), time.monotonic()

    def on_message(worker: str, message: Message) -> None:
        nonlocal updated
        progress.on_message(worker, message)
        if time.monotonic() - updated >= SECONDS_BETWEEN_UPDATES or not progress.left:
            update_progress_artifact(bar, 100.0 * progress.share_done)
            updated = time.monotonic()

    return on_message


def show_end(summary: RunSummary, rows: Sequence[Row], page: str | None = None) -> None:
    """Create the artifacts of a run's end: a summary in Markdown, and a table of the failures if there are any.

    Waits for the server for at most `PATIENCE_SECONDS`.

    Args:
        summary: the run's counts and addresses.
        rows: all rows of the results table.
        page: the address of the run's report; None if none was written.
    """
    _show(partial(_create, summary, rows, page))


def show_visits(visits: Mapping[str, Visit]) -> None:
    """Create a table artifact of what visits to inboxes did; none if they did nothing."""
    if table := visit_table(visits):
        description = "what became of the manifests in the inboxes"
        _show(lambda: create_table_artifact(table, key="inbox", description=description))


def visit_table(visits: Mapping[str, Visit]) -> list[dict[str, str]]:
    """Return a table row for each manifest that a visit handled, with its outcome; problems come first.

    If there are more than `MOST_NAMED`, the last row says how many are left out.

    Args:
        visits: the result of each visit, by the inbox's address.
    """
    rows = [
        {"manifest": name, "became": outcome, "inbox": printable(place)}
        for outcome in ("troubled", "unanswered", "rejected", "started", "finished")
        for place, visit in visits.items()
        for name in getattr(visit, outcome)
    ]
    left = len(rows) - MOST_NAMED
    more = {"manifest": f"and {left:,} more", "became": "", "inbox": ""}
    return [*rows[:MOST_NAMED], *([more] if left > 0 else [])]


def _show(create: Callable[[], object]) -> None:
    """Create artifacts of this run in a thread, and wait for it for at most `PATIENCE_SECONDS`."""
    context = contextvars.copy_context()  # Prefect finds the run that artifacts belong to in it
    # A daemon thread: if the server is gone, each call takes a minute to fail, which must not delay the exit.
    showing = threading.Thread(target=context.run, args=(_create_or_warn, create), name="artifacts", daemon=True)
    showing.start()
    showing.join(PATIENCE_SECONDS)


def _create_or_warn(create: Callable[[], object]) -> None:
    try:
        create()
    except Exception as error:  # noqa: BLE001  # no error of Prefect's client may fail a run whose images are done
        logger.warning("Prefect's UI will not show this run's end: %s", redacted(str(error)))


def _create(summary: RunSummary, rows: Sequence[Row], page: str | None) -> None:
    manifest = printable(storage.name_of(summary.manifest))
    description = f"{summary.succeeded} of {counted(summary.rows, 'row')} of {manifest} succeeded"
    create_markdown_artifact(summary_markdown(summary, rows, page), key="run-summary", description=description)
    failures = failure_table(rows)
    if failures:
        shown = f"{len(failures)} of {summary.failed + summary.rejected} rows that failed or were rejected"
        create_table_artifact(failures, key="failed-rows", description=shown)


def summary_markdown(summary: RunSummary, rows: Sequence[Row], page: str | None = None) -> str:
    """Return a summary in Markdown: counts, addresses, why rows failed, and each recipe's lowest and highest losses."""
    stub_warning = ["**STUB: nothing was stylized, every image and every loss is made up.**", ""]
    lines = [
        *(stub_warning if summary.backbone == stub.NAME else []),
        f"## {summary.succeeded} succeeded, {summary.failed} failed, {summary.rejected} rejected, "
        f"{summary.pending} pending",
        "",
        f"- manifest `{_code(summary.manifest)}`, {counted(summary.rows, 'row')}, {summary.done_before} done before",
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
    """Return the rows that failed or were rejected, at most `MOST_NAMED`, in the manifest's order."""
    # The error comes early, as the UI cuts wide tables off at the right.
    columns = ("row", "pair_id", "error", "status", "error_kind", "attempts")
    without_image = [row for row in rows if row["status"] in ("failed", "rejected")]
    return [{name: _plain(row[name]) for name in columns} for row in without_image[:MOST_NAMED]]


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Return why the first rows have no image, as a Markdown list: the UI wraps its lines, but cuts those of tables."""
    without_image = [row for row in rows if row["status"] in ("failed", "rejected")]
    if not without_image:
        return []
    lines = ["", "### Why rows have no image", ""]
    lines += [
        f"- row {row['row']} {_plain_markdown(row['pair_id'])}, {row['status']}: {_plain_markdown(row['error'])}"
        for row in without_image[:REASONS_SHOWN]
    ]
    left = len(without_image) - REASONS_SHOWN
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
    """Escape text for a code span in a Markdown table: a manifest may hold any characters."""
    return printable(text).replace("`", "'").replace("|", "\\|")


def _plain_markdown(text: str | None) -> str:
    """Escape text so that Markdown shows it literally: a manifest must not add HTML, links or emphasis."""
    return _MARKUP.sub(r"\\\g<0>", printable(text or ""))


def _plain(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value

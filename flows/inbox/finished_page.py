"""The HTML page for a manifest whose run is over: counts, the rows without an image, and a link to the report.

The link is relative, because people reach the folder by another path than the service does. No browser opens the
addresses of an output on S3, so for it the page shows the command that downloads the report.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flows import storage
from flows.inbox.templates import rendered
from flows.manifest.spreadsheet_cells import SpreadsheetCells
from flows.output import Row
from flows.records import layout
from flows.wording import MOST_NAMED, printable

COUNTED = ("succeeded", "failed", "rejected", "pending")
"""The row statuses whose counts are shown, in this order."""


@dataclass(frozen=True)
class FinishedOutput:
    """The result of an ended run, as read from its output.

    Attributes:
        output: the address of the output.
        counts: the number of rows by status.
        without_image: the rows that have no image.
        opened: how the owner's program for the manifest numbers its rows.
        report: the address of the run's report; None if there is none.
    """

    output: str
    counts: dict[str, int]
    without_image: Sequence[Row]
    opened: SpreadsheetCells
    report: str | None


@dataclass(frozen=True)
class _Report:
    address: str
    link: str | None
    command: str


def finished_page(place: str, name: str, status: str, message: str, when: str, ended: FinishedOutput | None) -> bytes:
    """Render the page.

    Args:
        place: the folder or prefix of the inbox, in which the page will be written.
        name: the name of the manifest.
        status: the status of the manifest, as words.
        message: the explanation of a run that did not end well.
        when: the time at which the end of the run was noticed.
        ended: the result of the run; None if its output has no results table for this manifest.
    """
    shown = ended.without_image[:MOST_NAMED] if ended else ()
    facts: dict[str, Any] = {"report": None, "counts": (), "images": "", "table": "", "word": "row"}
    if ended is not None:
        facts = {
            "report": None if ended.report is None else _report(place, ended.report),
            "counts": [(word, ended.counts[word]) for word in COUNTED if ended.counts.get(word)],
            "images": printable(storage.join(ended.output, layout.IMAGES)),
            "table": printable(storage.join(ended.output, layout.RESULTS_CSV)),
            "word": ended.opened.word,
        }
    return rendered(
        "finished.html.jinja",
        manifest=printable(name),
        headline="Finished",
        is_good=status == "succeeded",
        summary=_summary(status, message, ended),
        when=f"finished at {when}",
        sha256=None,
        rows=[_row(row, ended.opened) for row in shown] if ended else (),
        rows_left=len(ended.without_image) - len(shown) if ended else 0,
        **facts,
    )


def _summary(status: str, message: str, ended: FinishedOutput | None) -> str:
    if ended is None:
        return printable(f"{status}: {message}" if message else status)
    total = sum(ended.counts.values())
    return f"{ended.counts.get('succeeded', 0)} of {total} rows have their image."


def _row(row: Row, opened: SpreadsheetCells) -> dict[str, str]:
    return {
        "number": str(opened.number(row["row"])),
        "id": printable(row["pair_id"] or ""),
        "status": row["status"],
        "error": printable(row["error"] or ""),
    }


def _report(place: str, address: str) -> _Report:
    if storage.is_s3(address):
        command = shlex.join(["aws", "s3", "cp", address, "."])
        return _Report(printable(address), None, printable(command))
    link = quote(os.path.relpath(address, place).replace(os.sep, "/"), errors="surrogateescape")
    return _Report(printable(address), link if storage.is_local(place) else None, printable(f"xdg-open {address}"))

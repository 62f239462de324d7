"""The page that says what became of a manifest: counts, the rows without a picture, and the way to the report.

The report's link is relative: people reach the folder by another path than the service does. Of an output on S3, whose
addresses no browser opens, the page says the command that fetches the report.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flows import storage
from flows.inbox.templates import rendered
from flows.manifest.spreadsheet_cells import AsOpened
from flows.output import Row
from flows.records import layout
from flows.wording import MOST_NAMED, printable

COUNTED = ("succeeded", "failed", "rejected", "pending")


@dataclass(frozen=True)
class FinishedOutput:
    """What a run that has ended left in its output.

    Attributes:
        output: its address.
        counts: of rows, by status.
        troubled: the rows that have no picture.
        opened: how rows are called where their owner looks at them.
        report: address of the page of the run; None where there is none.
    """

    output: str
    counts: dict[str, int]
    troubled: Sequence[Row]
    opened: AsOpened
    report: str | None


@dataclass(frozen=True)
class _Report:
    address: str
    link: str | None
    command: str


def finished_page(place: str, name: str, status: str, message: str, when: str, ended: FinishedOutput | None) -> bytes:
    """The page.

    Args:
        place: folder or prefix of the inbox, in which the page will be.
        name: of the manifest.
        status: what became of it.
        message: of the run that ended otherwise than well.
        when: it was found out.
        ended: what the run left; None where it ended in no table of this manifest.
    """
    shown = ended.troubled[:MOST_NAMED] if ended else ()
    facts: dict[str, Any] = {"report": None, "counts": (), "images": "", "table": "", "word": "row"}
    if ended is not None:
        facts = {
            "report": None if ended.report is None else _report(place, ended.report),
            "counts": [(one, ended.counts[one]) for one in COUNTED if ended.counts.get(one)],
            "images": printable(storage.join(ended.output, layout.IMAGES)),
            "table": printable(storage.join(ended.output, layout.RESULTS_CSV)),
            "word": ended.opened.word,
        }
    return rendered(
        "finished.html.jinja",
        manifest=printable(name),
        headline="Finished",
        is_good=status == "succeeded",
        said=_said(status, message, ended),
        when=f"finished at {when}",
        sha256=None,
        rows=[_row(row, ended.opened) for row in shown] if ended else (),
        rows_left=len(ended.troubled) - len(shown) if ended else 0,
        **facts,
    )


def _said(status: str, message: str, ended: FinishedOutput | None) -> str:
    if ended is None:
        return printable(f"{status}: {message}" if message else status)
    total = sum(ended.counts.values())
    return f"{ended.counts.get('succeeded', 0)} of {total} rows have their picture."


def _row(row: Row, opened: AsOpened) -> dict[str, str]:
    number = opened.row(row["row"])
    return {
        "number": str(row["row"] if number is None else number),
        "id": printable(row["pair_id"] or ""),
        "status": row["status"],
        "error": printable(row["error"] or ""),
    }


def _report(place: str, address: str) -> _Report:
    if storage.is_s3(address):
        command = shlex.join(["aws", "s3", "cp", address, "."])
        return _Report(printable(address), None, printable(command))
    link = quote(os.path.relpath(address, place).replace(os.sep, "/"), errors="surrogateescape")
    return _Report(printable(address), link if not storage.is_s3(place) else None, printable(f"xdg-open {address}"))

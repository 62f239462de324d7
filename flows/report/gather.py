"""One run as frozen values, from its records and its manifest's snapshot alone: what every page is made of."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from flows import storage
from flows.errors import StorageError
from flows.output import Ledger, Outcome, Row, latest_run, outcomes
from flows.records import layout
from flows.records.columns import Status
from flows.records.pairs import Manifest
from flows.records.runs import RunCosts, RunRecord, RunSummary
from flows.report.curves import Curve
from nst_core.options import StylizeOptions

LOSSES = ("total_loss", "content_loss", "style_loss", "tv_loss")

DISTANCES = ("content_distance", "style_distance")

_TIMELINE = re.compile(rf"{layout.TIMELINES}/[A-Za-z0-9._-]+\.(gif|webp)")
"""What a record's `timeline` looks like: nothing else is ever made a link or read."""


@dataclass(frozen=True)
class Pair:
    """One row of the manifest and what became of it.

    Attributes:
        values: its row of the results table.
        content, style: addresses of the originals; None for a rejected row, whose cells nobody vouches for.
        output: where its image is, relative to the output prefix; None unless it succeeded.
        options: as resolved for this pair; None for a rejected row.
        notes: what the user should know of the result.
        curve: how its loss fell, the coarsest size first; empty where no history was kept.
        timeline: where the moving picture of how it came to be is, as `output`; None where there is none.
    """

    values: Row
    content: str | None
    style: str | None
    output: str | None
    options: StylizeOptions | None
    notes: tuple[str, ...] = ()
    curve: Curve = ()
    timeline: str | None = None

    @property
    def pair_id(self) -> str:
        """Its name; a rejected row may have none."""
        return str(self.values["pair_id"] or f"line {self.values['row']}")

    @property
    def status(self) -> Status:
        """succeeded, failed, rejected or pending."""
        status: Status = self.values["status"]
        return status

    def loss(self, name: str) -> float | None:
        """A loss, or any other number of its row, if there is one and it is finite."""
        value = self.values.get(name)
        return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Run:
    """The latest run of an output."""

    output: str
    record: RunRecord
    pairs: tuple[Pair, ...]
    extra_columns: tuple[str, ...]
    costs: RunCosts | None = None

    @property
    def backbones(self) -> tuple[str, ...]:
        """The backbones that its pictures are from: of finished pairs, or else what the run asked for."""
        found = {str(pair.values["backbone"]) for pair in self.pairs if pair.values["backbone"]}
        return tuple(sorted(found)) or (self.record.backbone,)

    def succeeded(self) -> tuple[Pair, ...]:
        """The pairs with a picture."""
        return tuple(pair for pair in self.pairs if pair.status == "succeeded")


def gather(output: str) -> Run:
    """The latest run of an output.

    Raises:
        OutputError: if nothing was ever run into it, or a record is damaged.
        StorageError: if it cannot be read.
    """
    latest = latest_run(output)
    rows = outcomes(latest.manifest, latest.record, Ledger(output))
    return run_of(output, latest.record, latest.manifest, rows)


def run_of(output: str, record: RunRecord, manifest: Manifest, rows: Iterable[Outcome]) -> Run:
    """A run of an output, of what became of its rows."""
    pairs = tuple(map(_pair, rows))
    return Run(output, record, pairs, manifest.extra_columns, _costs(output, record.run_id))


def _costs(output: str, run_id: str) -> RunCosts | None:
    """What the run took, where its summary is there; a run that was killed has none."""
    try:
        summary = RunSummary.model_validate_json(storage.read(storage.join(output, layout.SUMMARY)))
    except (StorageError, ValidationError):
        return None
    return summary.costs if summary.run_id == run_id else None


def _pair(outcome: Outcome) -> Pair:
    row, spec, done = outcome.row, outcome.spec, outcome.record
    if spec is None:
        return Pair(row, None, None, None, None)
    if done is None:
        return Pair(row, spec.content, spec.style, None, spec.options)
    timeline = done.timeline if _TIMELINE.fullmatch(done.timeline) else None
    return Pair(row, spec.content, spec.style, outcome.image, done.options, done.notes, done.history, timeline)

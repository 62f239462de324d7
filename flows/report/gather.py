"""Load one run as frozen values, the data of every page, from nothing but its records and its manifest's snapshot."""

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

_TIMELINE = re.compile(rf"{layout.TIMELINES}/[A-Za-z0-9._-]+\.(gif|webp)")
"""The form of a record's `timeline`; any other value is neither linked nor read."""


@dataclass(frozen=True)
class Pair:
    """One row of the manifest and its result.

    Attributes:
        values: its row of the results table.
        content, style: the addresses of the originals; None for a rejected row, whose cells were not validated.
        output: the address of its image relative to the output prefix; None unless it succeeded.
        options: its resolved options; None for a rejected row.
        notes: remarks on the result for the user.
        curve: its loss history, from the coarsest size on; empty if none was recorded.
        timeline: the address of the animation of its optimisation, relative like `output`; None if there is none.
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
        """The id of the pair, or its line, as a rejected row may have no id."""
        return str(self.values["pair_id"] or f"line {self.values['row']}")

    @property
    def status(self) -> Status:
        """The status of the pair: succeeded, failed, rejected or pending."""
        status: Status = self.values["status"]
        return status

    def number(self, name: str) -> float | None:
        """Return a number of its row, such as a loss; None if it is missing or not finite."""
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
        """The backbones of the finished pairs; without any, the backbone that the run was started with."""
        used = {str(pair.values["backbone"]) for pair in self.pairs if pair.values["backbone"]}
        return tuple(sorted(used)) or (self.record.backbone,)

    def succeeded(self) -> tuple[Pair, ...]:
        """Return the pairs that have an image."""
        return tuple(pair for pair in self.pairs if pair.status == "succeeded")

    def numbers(self, name: str) -> list[float]:
        """Return a number, such as a loss, of every pair that has an image and that number."""
        return [value for pair in self.succeeded() if (value := pair.number(name)) is not None]


def gather(output: str) -> Run:
    """Load the latest run of an output.

    Raises:
        OutputError: the output has no run, or a record is damaged.
        StorageError: the output cannot be read.
    """
    latest = latest_run(output)
    rows = outcomes(latest.manifest, latest.record, Ledger(output))
    return run_of(output, latest.record, latest.manifest, rows)


def run_of(output: str, record: RunRecord, manifest: Manifest, rows: Iterable[Outcome]) -> Run:
    """Return a run of an output, given the outcomes of its rows."""
    pairs = tuple(map(_pair, rows))
    return Run(output, record, pairs, manifest.extra_columns, _costs(output, record.run_id))


def _costs(output: str, run_id: str) -> RunCosts | None:
    """Return the costs in the run's summary; None if it has no summary, as when it was killed."""
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

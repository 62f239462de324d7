"""A watched place, and what one visit to it did."""

from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.limits import Limits
from flows.settings import RunSettings
from nst_core.options import StylizeOptions


class Inbox(BaseModel):
    """A watched place, and what is done with the manifests in it. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    place: str
    """Folder or s3:// prefix in which manifests (*.csv, *.tsv, *.jsonl, *.parquet, each perhaps .gz) are dropped;
    answers are written beside them."""
    outputs: str
    """Folder or s3:// prefix; a manifest's output is <outputs>/<manifest name>, without the ending of a CSV alone."""
    bad_rows: Literal["refuse", "skip"] = "refuse"
    """What becomes of a manifest with bad rows: refuse rejects it as a whole, skip runs the rows that are in order."""
    options: StylizeOptions = StylizeOptions()
    """For rows that do not say otherwise."""
    settings: RunSettings = RunSettings()
    """Backbone, device, precision."""
    max_rows: int | None = Field(default=None, ge=1)
    """Rows of one manifest, where this team's are to be fewer than the operator's limits allow."""
    max_options: dict[str, float] = Field(default_factory=dict)
    """The most that a numeric option of a pair may be, where that is to be less for this team."""

    @model_validator(mode="after")
    def _has_options_that_hold(self) -> Self:
        Limits(max_options=self.max_options)
        if self.max_options and self.bad_rows == "skip":
            raise ValueError("max_options go with bad_rows: refuse, as the run itself would take a row that is skipped")
        return self

    def narrowed(self, limits: Limits) -> Limits:
        """The operator's limits, with those of the team on top."""
        rows = limits.max_rows if self.max_rows is None else min(self.max_rows, limits.max_rows)
        most = {name: min(bound, limits.max_options.get(name, bound)) for name, bound in self.max_options.items()}
        return limits.model_copy(update={"max_rows": rows, "max_options": limits.max_options | most})


@dataclass
class Visit:
    """What one visit did: names of manifests, as messages show them, by what became of them."""

    busy: bool = False
    """Another visit was at work; nothing was done."""
    rejected: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """For an earlier version's run, for another one in the output, or for the time of the next start."""
    running: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Those whose answer cannot be written beside them, each with what it would have said."""
    troubled: list[str] = field(default_factory=list)
    """Something stood in the way, which the log names; the next visit tries again."""

    @property
    def open(self) -> int:
        """Manifests that a later visit has to go on with."""
        return len(self.started) + len(self.waiting) + len(self.running) + len(self.troubled)

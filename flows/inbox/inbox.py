"""The configuration of an inbox, and the result of one visit to it."""

from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.limits import Limits
from flows.settings import RunSettings
from nst_core.options import StylizeOptions


class Inbox(BaseModel):
    """A watched folder and how its manifests are run. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    place: str
    """Folder or s3:// prefix in which manifests (*.csv, *.tsv, *.jsonl, *.ndjson, *.parquet, each perhaps .gz) are
    dropped; answers are written next to them."""
    outputs: str
    """Folder or s3:// prefix; a manifest's output is <outputs>/<manifest name>, without the ending .csv."""
    bad_rows: Literal["refuse", "skip"] = "refuse"
    """How a manifest with bad rows is treated: refuse rejects it as a whole, skip runs the good rows."""
    options: StylizeOptions = StylizeOptions()
    """Default options for rows that do not set their own."""
    settings: RunSettings = RunSettings()
    """Backbone, device and precision of its runs."""
    max_rows: int | None = Field(default=None, ge=1)
    """The most rows of one manifest, to allow this team fewer than the operator's limits do."""
    max_options: dict[str, float] = Field(default_factory=dict)
    """The largest value of a numeric option of a pair, to allow this team less than the operator's limits do."""

    @model_validator(mode="after")
    def _has_options_that_hold(self) -> Self:
        Limits(max_options=self.max_options)
        if self.max_options and self.bad_rows == "skip":
            raise ValueError("max_options go with bad_rows: refuse, as the run itself would take a row that is skipped")
        return self

    def narrowed(self, limits: Limits) -> Limits:
        """Return the operator's limits, narrowed by those of this team."""
        rows = limits.max_rows if self.max_rows is None else min(self.max_rows, limits.max_rows)
        most = {name: min(bound, limits.max_options.get(name, bound)) for name, bound in self.max_options.items()}
        return limits.model_copy(update={"max_rows": rows, "max_options": limits.max_options | most})


@dataclass
class Visit:
    """The result of one visit: the names of the manifests, as messages show them, grouped by outcome."""

    busy: bool = False
    """Another visit was working in this inbox, so nothing was done; or it has taken over this one's lease, which then
    did nothing more than what the lists say."""
    rejected: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Those that wait for the run of an earlier version, for another run in the output, or for the time of the next
    start."""
    running: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Those whose answer cannot be written next to them, each with the text of the answer."""
    troubled: list[str] = field(default_factory=list)
    """Those that failed for a reason that is in the log; the next visit tries again."""

    @property
    def open(self) -> int:
        """The number of manifests that a later visit has to continue with."""
        return len(self.started) + len(self.waiting) + len(self.running) + len(self.troubled)

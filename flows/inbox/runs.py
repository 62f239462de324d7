"""The runs of an inbox: what is asked of whoever starts them, how one stands, and which error ended it. No prefect.

The Prefect API keeps states as text, so what ended a run is told from its message, by the names of our own errors.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from flows.settings import RunSettings
from nst_core.errors import NstError
from nst_core.options import StylizeOptions

Stage = Literal["waiting", "running", "ended", "failed", "cancelled"]
"""Where a run is; the last three are final."""

_RAISED = re.compile(r"encountered an exception:? *(?:[\w.]+\.)?(\w+)(?:: *(.*))?", re.DOTALL)


@dataclass(frozen=True)
class RunState:
    """A run's state.

    Attributes:
        stage: `ended` also where rows failed: the run did what it could.
        name: Prefect's word, such as `CompletedWithFailures`.
        message: its last words.
    """

    stage: Stage
    name: str
    message: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of this run."""
        return self.stage in ("ended", "failed", "cancelled")

    @property
    def is_complete_success(self) -> bool:
        """Whether every selected row succeeded."""
        return self.stage == "ended" and self.name == "Completed"


@dataclass(frozen=True)
class StartRequest:
    """A run to start.

    Attributes:
        key: a second request with the same key is for the same run.
        name: for people.
    """

    key: str
    name: str
    manifest: str
    output: str
    options: StylizeOptions
    settings: RunSettings


@dataclass(frozen=True)
class Runs:
    """Who starts runs and knows how they stand.

    Attributes:
        start: starts a run, or finds the one that was started under this key; its id.
        state_of: how a run stands; one that is not known any more has failed.
    """

    start: Callable[[StartRequest], str]
    state_of: Callable[[str], RunState]


def error_of(state: RunState) -> NstError:
    """The error that ended a run that did not end well; a plain NstError where it was none of ours.

    >>> error_of(RunState("failed", "Failed", "Flow run encountered an exception: ManifestError: no manifest: ..."))
    ManifestError('no manifest: ...')
    """
    raised = _RAISED.search(state.message)
    kinds = {kind.__name__: kind for kind in _kinds(NstError)}
    if raised and raised[1] in kinds and kinds[raised[1]].__init__ is NstError.__init__:
        return kinds[raised[1]](raised[2] or state.name)
    return NstError(f"the run ended as {state.name}: {state.message or 'without a word'}")


def _kinds(kind: type[NstError]) -> Iterator[type[NstError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)

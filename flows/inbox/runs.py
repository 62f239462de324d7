"""The interface between an inbox and the scheduler of its runs: start a run, read its state, find its error.

The Prefect API keeps states as text, so the error that ended a run is recognised in its message by the names of our own
error classes. Does not import Prefect.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from flows.settings import RunSettings
from nst_core.errors import NstError
from nst_core.options import StylizeOptions

Stage = Literal["waiting", "running", "ended", "failed", "cancelled"]
"""The stage that a run is in; the last three are final."""

_RAISED = re.compile(r"encountered an exception:? *(?:[\w.]+\.)?(\w+)(?:: *(.*))?", re.DOTALL)
"""Matches an exception in a state's message: the name of its class, its text."""


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        stage: the stage of the run; it is `ended` also if rows failed, as the run did what it could.
        name: Prefect's name of the state, such as `CompletedWithFailures`.
        message: the message of the state.
    """

    stage: Stage
    name: str
    message: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the run is over."""
        return self.stage in ("ended", "failed", "cancelled")

    @property
    def is_complete_success(self) -> bool:
        """Whether every selected row succeeded."""
        return self.stage == "ended" and self.name == "Completed"


@dataclass(frozen=True)
class StartRequest:
    """A request to start a run.

    Attributes:
        key: an idempotency key: a second request with the same key is for the same run.
        name: a name of the run for people.
        manifest: the address of the manifest.
        output: the address of the output.
        options: the default options of every row.
        settings: the settings of the run.
    """

    key: str
    name: str
    manifest: str
    output: str
    options: StylizeOptions
    settings: RunSettings


@dataclass(frozen=True)
class Runs:
    """The two functions of a scheduler that an inbox needs.

    Attributes:
        start: starts a run, or finds the one that was started with the same key; returns its id.
        state_of: returns the state of the run with an id; a run that is unknown counts as failed.
    """

    start: Callable[[StartRequest], str]
    state_of: Callable[[str], RunState]


def error_of(state: RunState) -> NstError:
    """Return the error that ended a run; a plain `NstError` if it was none of our own classes.

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

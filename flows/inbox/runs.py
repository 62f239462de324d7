"""The interface between an inbox and the scheduler of its runs: how to start a run and read its state."""

from collections.abc import Callable
from dataclasses import dataclass

from flows.records.runs import RunState
from flows.settings import RunSettings
from nst_core.options import StylizeOptions


@dataclass(frozen=True)
class StartRequest:
    """A request to start a run.

    Attributes:
        key: an idempotency key: a second request with the same key is for the same run.
        name: a name of the run for people.
        manifest: the address of the manifest.
        manifest_sha256: the SHA-256 of its bytes; the run refuses any others.
        output: the address of the output.
        options: the default options of every row.
        settings: the settings of the run.
    """

    key: str
    name: str
    manifest: str
    manifest_sha256: str
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

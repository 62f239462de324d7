"""Manifests that are dropped: claimed once, answered, run, marked as finished.

    inbox      a watched place, and what one visit to it did
    visit      takes every manifest of an inbox as far as it goes now
    arrivals   which files have arrived whole
    names      which of them are manifests, and what is called after them
    files      what is claimed, started and finished, as files of the inbox
    answers    what is written beside a manifest for those who dropped it
    rejected_page, finished_page   the same for a browser; templates renders them from the files of `page/`
    runs       what is asked of whoever starts runs, and how a run stands

Every step is a create-only file, so a visit may die anywhere and the next one goes on. Knows neither Prefect nor torch.
"""

from flows.inbox.arrivals import SETTLE_SECONDS
from flows.inbox.inbox import Inbox, Visit
from flows.inbox.runs import Runs, RunState, Stage, StartRequest, error_of
from flows.inbox.visit import visit

__all__ = [
    "SETTLE_SECONDS",
    "Inbox",
    "RunState",
    "Runs",
    "Stage",
    "StartRequest",
    "Visit",
    "error_of",
    "visit",
]

"""The flow around `flows.inbox`: a scheduled visit to every inbox. Thin; it stylizes nothing and needs no GPU."""

import logging
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import storage
from flows.environment import show_own_lines
from flows.inbox import SETTLE_SECONDS, Inbox, Visit, visit
from flows.limits import limits_in_force
from flows.prefect_layer.artifacts import show_visits
from flows.prefect_layer.defaults import take_up_defaults
from flows.prefect_layer.deployment_runs import STYLIZE, runs_of
from flows.prefect_layer.plain_errors import log_errors_plainly
from flows.wording import named, printable, redacted
from nst_core.errors import NstError

logger = logging.getLogger(__name__)


take_up_defaults()
log_errors_plainly()


class InboxTroubled(NstError):
    """An inbox or a manifest could not be dealt with; the next visit tries again.

    Attributes:
        visits: what became of each manifest, by inbox.
    """

    kind = "inbox"
    retryable = True

    def __init__(self, message: str, visits: dict[str, Visit]) -> None:
        super().__init__(message)
        self.visits = visits

    def __reduce__(self) -> tuple[type["InboxTroubled"], tuple[str, dict[str, Visit]]]:
        """Survive the trip between processes: pickle would call `__init__` with one argument."""
        return type(self), (str(self), self.visits)


@flow(name="inbox", persist_result=False, retries=0)
def visit_inboxes(
    inboxes: list[Inbox], deployment: str = STYLIZE, settle_seconds: float = SETTLE_SECONDS
) -> dict[str, Visit]:
    """Claim, check and answer new manifests, start their runs, and mark those that have ended.

    Args:
        inboxes: the watched places, each with the place of its outputs.
        deployment: `<flow>/<deployment>` that runs an accepted manifest.
        settle_seconds: a local file that was written to more recently is looked at twice, that while apart.

    Returns:
        What became of each manifest, by inbox.

    Raises:
        InboxTroubled: with the same, where an inbox or a manifest could not be dealt with, which the log names and the
            next visit tries again.
    """
    show_own_lines()
    limits = limits_in_force(strict=True)  # the manifests may be anybody's, whoever started this
    visits: dict[str, Visit] = {}
    troubles: list[str] = []
    for one in inboxes:
        place = printable(redacted(one.place))
        try:
            inbox = _absolute(one)
            done = visit(inbox, runs_of(deployment), limits, settle_seconds)
        except NstError as error:  # one team's inbox is no reason to leave the others alone
            logger.error("inbox %s: %s", place, error)  # noqa: TRY400  # the message says all
            troubles.append(f"{place}: {error}")
            continue
        visits[inbox.place] = done
        troubles += [f"{place}: {name}" for name in done.troubled]
    show_visits(visits)
    return _final_state(visits, troubles)  # type: ignore[return-value]  # Prefect hands its data on to the caller


def _absolute(inbox: Inbox) -> Inbox:
    places = {"place": storage.absolute(inbox.place), "outputs": storage.absolute(inbox.outputs)}
    return inbox.model_copy(update=places)


def _final_state(visits: dict[str, Visit], troubles: list[str]) -> State[Any]:
    if troubles:
        message = "; ".join(named(troubles))[:2000]
        return Failed(name="Troubled", message=message, data=InboxTroubled(message, visits))
    return Completed(message="; ".join(f"{place}: {_counts(done)}" for place, done in visits.items()), data=visits)


def _counts(visit: Visit) -> str:
    if visit.busy:
        return "another visit is at work"
    told = [f"{len(names)} {word}" for word, names in vars(visit).items() if isinstance(names, list) and names]
    return ", ".join(told) or "nothing new"

"""The Prefect flow around `flows.inbox`: a scheduled visit to every inbox. It stylizes nothing and needs no GPU."""

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
from flows.prefect_layer.deployment_runs import runs_of
from flows.prefect_layer.deployments import STYLIZE
from flows.prefect_layer.plain_errors import log_errors_plainly
from flows.wording import printable, problem_lines, redacted
from nst_core.errors import NstError

logger = logging.getLogger(__name__)


take_up_defaults()
log_errors_plainly()


class InboxTroubled(NstError):
    """An inbox or a manifest could not be processed; the next visit tries again.

    Attributes:
        visits: the outcome of each manifest, keyed by inbox.
    """

    kind = "inbox"
    retryable = True

    def __init__(self, message: str, visits: dict[str, Visit]) -> None:
        super().__init__(message)
        self.visits = visits

    def __reduce__(self) -> tuple[type["InboxTroubled"], tuple[str, dict[str, Visit]]]:
        """Make the exception picklable: by default pickle would call `__init__` with the message alone."""
        return type(self), (str(self), self.visits)


@flow(name="inbox", persist_result=False, retries=0)
def visit_inboxes(
    inboxes: list[Inbox], deployment: str = STYLIZE, settle_seconds: float = SETTLE_SECONDS
) -> dict[str, Visit]:
    """Claim, check and answer new manifests, start their runs, and mark the manifests whose runs have ended.

    Args:
        inboxes: the watched folders or prefixes, each with the place for its outputs.
        deployment: the deployment, as `<flow>/<deployment>`, that runs an accepted manifest.
        settle_seconds: a new local file that is younger than a day is checked a second time, this long after the first,
            to see whether it is still being written.

    Returns:
        The outcome of each manifest, keyed by inbox.

    Raises:
        InboxTroubled: an inbox or a manifest could not be processed. The exception carries the same outcomes, the log
            names the inbox or manifest, and the next visit tries again.
    """
    show_own_lines()
    limits = limits_in_force(strict=True)  # anybody may have put the manifests there, no matter who started this flow
    visits: dict[str, Visit] = {}
    troubles: list[str] = []
    for relative in inboxes:
        place = printable(redacted(relative.place))
        try:
            inbox = _absolute(relative)
            done = visit(inbox, runs_of(deployment), limits, settle_seconds)
        except NstError as error:  # a fault in one team's inbox must not keep the others from being visited
            logger.error("inbox %s: %s", place, printable(str(error)))  # noqa: TRY400  # the message says all
            troubles.append(f"{place}: {error}")
            continue
        except Exception:
            logger.exception("inbox %s: an error of this program that nobody foresaw", place)
            troubles.append(f"{place}: an error of this program that nobody foresaw; the log has the place")
            continue
        visits[inbox.place] = done
        troubles += [f"{place}: {name}" for name in done.troubled]
    show_visits(visits)
    return _final_state(visits, troubles)  # type: ignore[return-value]  # Prefect returns its data to the caller


def _absolute(inbox: Inbox) -> Inbox:
    places = {"place": storage.absolute(inbox.place), "outputs": storage.absolute(inbox.outputs)}
    return inbox.model_copy(update=places)


def _final_state(visits: dict[str, Visit], troubles: list[str]) -> State[Any]:
    if troubles:
        message = "; ".join(problem_lines(troubles))[:2000]
        return Failed(name="Troubled", message=message, data=InboxTroubled(message, visits))
    return Completed(message="; ".join(f"{place}: {_counts(done)}" for place, done in visits.items()), data=visits)


def _counts(visit: Visit) -> str:
    counts = [f"{len(names)} {word}" for word, names in vars(visit).items() if isinstance(names, list) and names]
    if visit.busy:
        counts.append("another visit is at work")
    return ", ".join(counts) or "nothing new"

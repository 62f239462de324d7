"""The flow around `flows.inbox.visit`: a scheduled visit to every inbox. Thin; it stylizes nothing and needs no GPU."""

import dataclasses
import logging

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import storage
from flows.environment import show_own_lines
from flows.inbox.arrivals import SETTLE_SECONDS
from flows.inbox.visit import Inbox, visit
from flows.limits import limits_in_force
from flows.prefect_layer.deployment_runs import STYLIZE, DeploymentRuns
from nst_core.errors import NstError

logger = logging.getLogger(__name__)


@flow(name="inbox", persist_result=False, retries=0)
def visit_inboxes(
    inboxes: list[Inbox], deployment: str = STYLIZE, settle_seconds: float = SETTLE_SECONDS
) -> State[dict[str, object]]:
    """Claim, check and answer new manifests, start their runs, and mark those that have ended.

    Args:
        inboxes: the watched places, each with the place of its outputs.
        deployment: `<flow>/<deployment>` that runs an accepted manifest.
        settle_seconds: a local file that was written to more recently is looked at twice, that while apart.

    Returns:
        A final state whose data says what became of each manifest: Completed, or Failed (`Troubled`) where an inbox or
        a manifest could not be dealt with, which the log names and the next visit tries again.
    """
    show_own_lines()
    limits = limits_in_force(strict=True)  # the manifests may be anybody's, whoever started this
    visits: dict[str, object] = {}
    troubles: list[str] = []
    for one in inboxes:
        inbox = one.model_copy(update={"place": storage.absolute(one.place), "outputs": storage.absolute(one.outputs)})
        try:
            done = visit(inbox, DeploymentRuns(deployment), limits, settle_seconds)
        except NstError as error:  # one team's inbox is no reason to leave the others alone
            logger.error("inbox %s: %s", inbox.place, error)  # noqa: TRY400  # the message says all
            troubles.append(f"{inbox.place}: {error}")
            continue
        visits[inbox.place] = dataclasses.asdict(done)
        troubles += [f"{inbox.place}: {name}" for name in done.troubled]
    if troubles:
        return Failed(name="Troubled", message="; ".join(troubles)[:2000], data={"visits": visits})
    return Completed(message=_message(visits), data={"visits": visits})


def _message(visits: dict[str, object]) -> str:
    return "; ".join(f"{place}: {_counts(done)}" for place, done in visits.items())


def _counts(done: object) -> str:
    assert isinstance(done, dict)
    if done["busy"]:
        return "another visit is at work"
    told = [f"{len(names)} {word}" for word, names in done.items() if isinstance(names, list) and names]
    return ", ".join(told) or "nothing new"

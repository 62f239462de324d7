"""deploy/: schedules, automations and notifications, as Prefect's client and server read them."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from prefect.server.events.schemas.automations import EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from flows.prefect_layer.deployments import deployments_file
from flows.prefect_layer.serve import deployments_of

AUTOMATIONS = deployments_file().with_name("automations.yaml")
GOOD = "- name: x\n  entrypoint: flows.bulk_stylize.bulk_stylize\n  work_pool: {name: p}\n"


def test_a_start_leaves_paused_schedules_paused(tmp_path: Path) -> None:
    """The service's schedules do not say whether they are active, which keeps the server's value; others may say it."""
    schedules = [schedule for _, one in deployments_of(deployments_file()) for schedule in one.schedules or []]
    assert len(schedules) == 2
    assert [schedule.slug for schedule in schedules if "active" in schedule.model_fields_set] == []

    described = tmp_path / "prefect.yaml"
    described.write_text(f"deployments:\n{GOOD}  schedules: [{{slug: one, interval: 60, active: false}}]\n")
    ((_, deployment),) = deployments_of(described)
    assert [(one.slug, one.active) for one in deployment.schedules or []] == [("one", False)]


def event_of(name: str, flow: str = "bulk-stylize") -> ReceivedEvent:
    """An event of some run of a flow, as the server receives it."""
    related = {
        "prefect.resource.id": f"prefect.flow.{flow}",
        "prefect.resource.role": "flow",
        "prefect.resource.name": flow,
    }
    event: dict[str, Any] = {
        "occurred": "2026-01-01T00:00:00Z",
        "event": f"prefect.flow-run.{name}",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},
        "related": [related],
        "id": uuid4(),
    }
    return ReceivedEvent.model_validate(event)


def triggers() -> dict[str, EventTrigger]:
    """The trigger of each automation, as the server evaluates it."""
    content = yaml.safe_load(AUTOMATIONS.read_text())["automations"]
    return {one["name"]: EventTrigger.model_validate(one["trigger"]) for one in content}


def test_a_run_that_never_starts_is_noticed() -> None:
    """From the moment a run is Pending, the server expects it to start or to end; a run sends no heartbeat before."""
    dead, unstarted = triggers()["nst-dead-runs"], triggers()["nst-unstarted-runs"]

    assert not dead.starts_after("prefect.flow-run.Pending")
    assert unstarted.starts_after("prefect.flow-run.Pending")
    assert unstarted.within > 10 * dead.within
    assert unstarted.bucketing_key(event_of("Pending")) != unstarted.bucketing_key(event_of("Pending"))
    ends = ("Pending", "Running", "AwaitingRetry", "AwaitingConcurrencySlot", "Failed", "Crashed", "Cancelled")
    assert [name for name in ends if not unstarted.expects(f"prefect.flow-run.{name}")] == []


def test_visits_are_reported_once_a_day_and_runs_one_by_one() -> None:
    """Visits to the inboxes count as one thing, which is reported once a day; each run of a manifest is reported."""
    trigger = yaml.safe_load(AUTOMATIONS.with_name("notifications.yaml").read_text())["trigger"]
    assert (trigger["type"], trigger["require"]) == ("compound", "any")
    of_runs, of_visits = (EventTrigger.model_validate(one) for one in trigger["triggers"])
    visits, runs = (
        [event_of(name, flow) for _ in "ab"] for name, flow in (("Troubled", "inbox"), ("Failed", "bulk-stylize"))
    )

    assert [of_runs.covers(event) for event in (*visits, *runs)] == [False, False, True, True]
    assert [of_visits.covers(event) for event in (*visits, *runs)] == [True, True, False, False]
    assert len({of_visits.bucketing_key(event) for event in visits}) == 1
    assert len({of_runs.bucketing_key(event) for event in runs}) == 2
    assert (of_runs.within.total_seconds(), of_visits.within.total_seconds()) == (0, 86400)

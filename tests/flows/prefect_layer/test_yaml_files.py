"""flows.prefect_layer.yaml_files: mistakes in a prefect.yaml, in automations or in notifications."""

from pathlib import Path

import pytest

from flows.errors import OutputError
from flows.prefect_layer.notifications import notify_by
from flows.prefect_layer.serve import automations_of, deployments_of

GOOD = "- name: x\n  entrypoint: flows.bulk_stylize.bulk_stylize\n  work_pool: {name: p}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deployments:\n- name: [x\n", r"line 3: expected YAML, found what is none: "),
        ("", "expected a list named 'deployments', found none"),
        ("deployments: 5\n", "expected a list named 'deployments', found none"),
        (f"deployments:\n{GOOD}- name: y\n", r"line 5: entry 2 of 'deployments' cannot be used: it has no 'work_pool'"),
        ("deployments:\n- 7\n", "line 2: entry 1 of 'deployments' cannot be used: "),
        (f"deployments:\n{GOOD}  schedules: [{{cron: never}}]\n", "line 2: entry 1 of 'deployments' cannot be used: "),
        (f"deployments:\n{GOOD.replace('flows', 'flaws')}", "line 2: entry 1 .* cannot be used: .*flaws"),
    ],
)
def test_a_mistake_in_a_prefect_yaml_has_its_line(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake in a prefect.yaml is one sentence that names the file, and the line if there is one."""
    described = tmp_path / "prefect.yaml"
    described.write_text(text)

    with pytest.raises(OutputError, match=f"^{described}(: |, ){message}"):
        deployments_of(described)


def test_a_mistake_in_automations_or_notifications_is_named(tmp_path: Path) -> None:
    """Mistakes in these files name the file; automations that do not exist are none."""
    described = tmp_path / "automations.yaml"
    assert automations_of(described) == []
    described.write_text("automations:\n- name: x\n")

    with pytest.raises(OutputError, match=r"automations\.yaml, line 2: entry 1 of 'automations' cannot be used: "):
        automations_of(described)
    with pytest.raises(OutputError, match=r"automations\.yaml: expected 'trigger' in it, found none"):
        notify_by("slack", "https://hooks.slack.com/services/A/B/C", described)

"""The job that Prefect's Kubernetes worker makes from the template is valid by the schemas of Kubernetes.

Needs `pip install --no-deps -r deploy/requirements-kubernetes.lock` and `pip install kubernetes-validate` (100 MB).
"""

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

worker = pytest.importorskip("prefect_kubernetes.worker", reason="deploy/requirements-kubernetes.lock")
schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")

DEPLOY = Path(__file__).parents[2] / "deploy"
TEMPLATE = json.loads((DEPLOY / "kubernetes" / "base-job-template.json").read_text())


def job(**values: Any) -> dict[str, Any]:
    """The job that the worker would create for a run in a pool with these variables."""
    made = asyncio.run(worker.KubernetesWorkerJobConfiguration.from_template_and_values(TEMPLATE, values))
    made.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="A run"))
    return made.job_manifest


@pytest.mark.parametrize(
    "values", [{}, {"gpus": 0, "env": {"A": "b"}, "labels": {"team": "one"}}], ids=["gpu", "light"]
)
def test_kubernetes_accepts_the_job(values: dict[str, Any]) -> None:
    """The job is valid, without unknown fields, by the schemas of Kubernetes 1.28 and of the latest version."""
    made = job(**values)
    (container,) = made["spec"]["template"]["spec"]["containers"]

    for version in ("1.28", schemas.latest_version()):
        schemas.validate(made, version, strict=True)
    assert container["args"][0] == "prefect"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == values.get("gpus", 1)


def test_the_runbooks_worker_writes_no_password_into_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's settings in the runbook name the secret with the password, and the one namespace it watches."""
    for name, value in re.findall(r"^export (\w+)=(\S+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE):
        monkeypatch.setenv(name, value)
    settings = pytest.importorskip("prefect_kubernetes.settings").KubernetesSettings()
    variables = TEMPLATE["variables"]["properties"]

    assert settings.worker.api_auth_string_secret_name == variables["secrets_name"]["default"]
    key = settings.worker.api_auth_string_secret_key
    assert f"\n{key}=" in (DEPLOY / "secrets.env.example").read_text()
    assert settings.observer.namespaces == {variables["namespace"]["default"]}

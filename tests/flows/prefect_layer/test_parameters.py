"""flows.prefect_layer.parameters: parameters with secrets are never sent to Prefect."""

from pathlib import Path
from typing import Any

import pytest

from flows.errors import NotAllowed
from flows.inbox import StartRequest
from flows.prefect_layer.deployment_runs import runs_of, start_run
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.serve import deployments_of
from flows.settings import RunSettings
from nst_core.options import StylizeOptions

SECRETS: list[dict[str, Any]] = [
    {"manifest": "s3://key:a-secret@bucket/pairs.csv"},
    {"manifest": "s3://key:a-secret/pairs.csv"},
    {"output": "https://me:a-secret@host/out"},
    {"settings": {"ray_address": "ray://me:a-secret@head:10001"}},
    {"inboxes": [{"place": "/in", "outputs": "s3://a-secret@bucket/out"}]},
    {"manifest": "https://bucket.s3.amazonaws.com/a.csv?X-Amz-Signature=a-secret"},
    {"selection": {"only": ["cat", "s3://key:a-secret@b/c"]}},
]


@pytest.mark.parametrize("parameters", SECRETS, ids=str)
def test_a_secret_is_refused_before_anything_is_sent(
    parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in a parameter is refused before any request is sent, and the message does not show it."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # no server answers there
    with pytest.raises(NotAllowed) as refused:
        start_run("bulk-stylize/bulk-stylize", parameters)

    assert "a-secret" not in str(refused.value)


def test_ordinary_parameters_pass() -> None:
    """Ordinary addresses, numbers and texts of runs are accepted."""
    check_parameters(
        {
            "manifest": "s3://bucket/in/me@home.csv",
            "output": "/data/out@2",
            "options": StylizeOptions().model_dump(mode="json"),
            "settings": RunSettings(ray_address="ray://head:10001").model_dump(mode="json"),
            "selection": {"only": ["cat"], "limit": None},
        }
    )


def test_a_secret_in_the_run_of_an_inbox_is_refused() -> None:
    """A run that a visit to an inbox starts is refused too if an address has a secret."""
    request = StartRequest("k-1", "inbox k", "s3://k:a-secret@b/k.csv", "00", "/out", StylizeOptions(), RunSettings())

    with pytest.raises(NotAllowed):
        runs_of().start(request)


def test_a_deployment_with_a_secret_is_not_served(tmp_path: Path) -> None:
    """A secret in the parameters of a prefect.yaml is refused, as Prefect would store it in its database."""
    described = tmp_path / "prefect.yaml"
    described.write_text(
        "deployments:\n- name: x\n  entrypoint: flows.bulk_stylize.bulk_stylize\n  work_pool: {name: p}\n"
        "  parameters: {output: 's3://key:a-secret@bucket/out'}\n"
    )
    with pytest.raises(NotAllowed, match="output: expected an address without a password"):
        deployments_of(described)

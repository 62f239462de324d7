"""flows.prefect_layer.parameters: nothing secret is handed to Prefect, by whichever way."""

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
    """No server is asked; the message says which parameter, and not what it holds."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # where nobody answers
    with pytest.raises(NotAllowed) as refused:
        start_run("bulk-stylize/bulk-stylize", parameters)

    assert "a-secret" not in str(refused.value)


def test_ordinary_parameters_are_no_secrets() -> None:
    """Addresses, numbers and texts of runs pass."""
    check_parameters(
        {
            "manifest": "s3://bucket/in/me@home.csv",
            "output": "/data/out@2",
            "options": StylizeOptions().model_dump(mode="json"),
            "settings": RunSettings(ray_address="ray://head:10001").model_dump(mode="json"),
            "selection": {"only": ["cat"], "limit": None},
        }
    )


def test_an_inbox_hands_over_no_secret_either() -> None:
    """A run that a visit starts goes the same way."""
    request = StartRequest("k-1", "inbox k", "s3://k:a-secret@b/k.csv", "/out", StylizeOptions(), RunSettings())

    with pytest.raises(NotAllowed):
        runs_of().start(request)


def test_a_deployment_with_a_secret_is_not_served(tmp_path: Path) -> None:
    """The parameters of a prefect.yaml are kept in Prefect's database too."""
    described = tmp_path / "prefect.yaml"
    described.write_text(
        "deployments:\n- name: x\n  entrypoint: flows.bulk_stylize.bulk_stylize\n  work_pool: {name: p}\n"
        "  parameters: {output: 's3://key:a-secret@bucket/out'}\n"
    )
    with pytest.raises(NotAllowed, match="output: expected an address without a password"):
        deployments_of(described)

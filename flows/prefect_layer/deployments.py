"""Where the description of the deployments is. No prefect: the command asks before it knows which server to use."""

from pathlib import Path

_HERE = Path(__file__).parent


def deployments_file() -> Path:
    """`prefect.yaml`, with `automations.yaml` and `notifications.yaml` beside it.

    Package data of an installation, `deploy/` of a checkout.
    """
    packaged = _HERE / "deploy" / "prefect.yaml"
    return packaged if packaged.is_file() else _HERE.parents[1] / "deploy" / "prefect.yaml"

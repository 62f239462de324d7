"""Locate the file that describes the deployments, and name the most used one.

This module does not import prefect: the commands need both before they know which server to use.
"""

from pathlib import Path

STYLIZE = "bulk-stylize/bulk-stylize"
"""The deployment that stylizes a manifest: <flow>/<deployment>."""
_HERE = Path(__file__).parent


def deployments_file() -> Path:
    """Return the path of `prefect.yaml`, which has `automations.yaml` and `notifications.yaml` next to it.

    The files are package data in an installation, and in `deploy/` in a checkout.
    """
    packaged = _HERE / "deploy" / "prefect.yaml"
    return packaged if packaged.is_file() else _HERE.parents[1] / "deploy" / "prefect.yaml"

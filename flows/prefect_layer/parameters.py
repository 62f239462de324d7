"""Check that flow parameters hold no secrets: Prefect stores them in its database, even if the run is refused.

This module does not import prefect: the command checks parameters before it looks for a server.
"""

from collections.abc import Mapping
from typing import Any

from flows.errors import NotAllowed
from flows.storage.addresses import check, is_s3
from flows.wording import has_secret


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse flow parameters that hold a credential, or an S3 address that may hold one.

    Args:
        parameters: the values by name; nested mappings and lists are checked too.

    Raises:
        NotAllowed: if one does; the message has the parameter's name, and no part of its value.
    """
    for name, value in parameters.items():
        _check(name, value)


def _check(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(name, item)
    elif isinstance(value, str) and has_secret(value):
        raise NotAllowed(
            f"{name}: expected an address without a password or signature, found one with it; Prefect would keep it. "
            "Nothing was sent: credentials come from the environment"
        )
    elif isinstance(value, str) and is_s3(value):
        check(value)

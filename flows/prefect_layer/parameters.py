"""What is handed to Prefect is kept in its database, also where the run is refused: so nothing secret is handed over.

Imports no Prefect: the command asks before it looks for a server.
"""

from collections.abc import Mapping
from typing import Any

from flows.errors import NotAllowed
from flows.storage.addresses import check, is_s3
from flows.wording import has_secret


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters of a flow that hold a credential, or an S3 address that may.

    Raises:
        NotAllowed: with the parameter's name, and nothing of what it holds.
    """
    for name, value in parameters.items():
        _check(name, value)


def _check(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            _check(f"{name}.{key}", one)
    elif isinstance(value, list | tuple):
        for one in value:
            _check(name, one)
    elif isinstance(value, str) and has_secret(value):
        raise NotAllowed(
            f"{name}: expected an address without a password or signature, found one with it; Prefect would keep it. "
            "Nothing was sent: credentials come from the environment"
        )
    elif isinstance(value, str) and is_s3(value):
        check(value)

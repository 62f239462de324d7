"""The server that PREFECT_API_URL names: whether it answers, and whether it is one.

This module does not import prefect, which would retry for a long time, and which may yet have to be given its settings.
"""

import http.client
import os
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from flows.errors import ServiceError
from flows.wording import redacted

CONNECT_SECONDS = 10.0
"""How long a server that the user names has to answer."""
NOT_ANSWERED = (OSError, http.client.HTTPException, ValueError)
"""The errors of a request to which nobody gives an HTTP answer.

They are no connection, an answer of something else, such as an SSH server, and an address that cannot be one.
"""


def answers(url: str) -> bool:
    """Return whether a server answers the health check of Prefect's API, which needs no password."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310  # an http address that we built ourselves
            return bool(answer.status == 200)
    except NOT_ANSWERED:
        return False


def check_named_address() -> None:
    """Refuse a PREFECT_API_URL that is the address of a server instead of that of its API.

    Raises:
        ServiceError: if it is; the message names the address.
    """
    url = os.environ.get("PREFECT_API_URL", "")
    # A reverse proxy may have the API at its root, where it then answers.
    if "://" in url and urlsplit(url).path.strip("/") == "" and not _is_api(url.rstrip("/")):
        named = redacted(url)
        raise ServiceError(
            f"{named}: expected the address of Prefect's API, such as {named.rstrip('/')}/api, found one without a "
            "path; set PREFECT_API_URL to it"
        )


def _is_api(url: str) -> bool:
    """Return whether Prefect's API is at an address: pages would answer any request too, but with another body."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS) as answer:  # noqa: S310  # the user's own address
            return bool(answer.read(100).strip() == b"true")
    except NOT_ANSWERED:
        return False


def check_named_server() -> None:
    """Refuse a server in PREFECT_API_URL that does not answer, at once: Prefect would retry before it fails.

    Raises:
        ServiceError: if it does not answer; the message names the address.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url is None:
        return
    check_named_address()
    try:
        urllib.request.urlopen(f"{url}/health", timeout=CONNECT_SECONDS).close()  # noqa: S310  # the user's own address
    except urllib.error.HTTPError:
        return  # it answers; the run will report what it refuses
    except NOT_ANSWERED as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # Prefect's client has settings of its own for certificates, and may trust this one
        raise ServiceError(
            f"{redacted(url)}: the Prefect server does not answer ({redacted(str(reason))}). Start it, name another "
            "one in PREFECT_API_URL, or leave that out for a run without one"
        ) from error

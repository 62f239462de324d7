"""Check that the HTTP client of Prefect can be built from the certificates and proxies in the environment.

Prefect's client is httpx, which prepares a transport for every proxy when it is built, even if its server is on
loopback and needs no proxy. A missing SSL_CERT_FILE makes even the import of prefect fail, so this module does not
import it.
"""

import os
import ssl

from flows.errors import ServiceError
from flows.wording import redacted

CERTIFICATES = ("SSL_CERT_FILE", "PREFECT_API_SSL_CERT_FILE")
"""The variables that name a file of certificates."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""The variables that name a proxy, in capital or small letters."""
EXEMPTIONS = "NO_PROXY"
"""The variable that lists the hosts that are reached without a proxy, in capital or small letters."""


def check_client_environment() -> None:
    """Refuse certificates and proxies in the environment with which Prefect's HTTP client cannot be built.

    Raises:
        ServiceError: if there are any; the message names the variable.
    """
    for name in CERTIFICATES:
        if file := os.environ.get(name):
            _check_certificates(name, file)
    if any(name.upper() in (*PROXIES, EXEMPTIONS) for name in os.environ):
        _check_proxies()


def _check_certificates(name: str, file: str) -> None:
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        raise ServiceError(
            f"{name}={file}: expected a file of certificates, found none that can be used "
            f"({error.strerror or error}). Correct it, or unset it"
        ) from error


def _check_proxies() -> None:
    # Imported late, as it takes a while and most environments have no proxy.
    import httpx

    faults = (ValueError, ImportError, httpx.InvalidURL)

    def is_usable(proxy: str) -> bool:
        try:
            httpx.HTTPTransport(proxy=proxy if "://" in proxy else f"http://{proxy}").close()
        except faults:
            return False
        return True

    try:
        httpx.Client().close()
    except faults as error:
        expected = "an HTTP proxy, such as http://proxy.example.org:3128"
        names = [name for name, value in os.environ.items() if name.upper() in PROXIES and not is_usable(value)]
        if not names:
            expected = "hosts and domains, such as localhost,.example.org"
            names = [name for name in os.environ if name.upper() == EXEMPTIONS]
        raise ServiceError(
            f"{', '.join(names)}: expected {expected}, found what Prefect's HTTP client cannot use "
            f"({redacted(str(error)).rstrip('.')}). Correct it, or unset it"
        ) from error

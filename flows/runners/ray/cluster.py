"""A connection to a Ray cluster, quiet and without telemetry. Ray is imported here alone.

Why not prefect-ray: it runs Prefect's tasks in Ray's tasks, each with its own way to the Prefect server, while the
time-outs, the requeueing pair by pair and the messages on the way are those of our own workers.
"""

import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.errors import ClusterError

logger = logging.getLogger(__name__)

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do anyhow; it warns otherwise
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # nodes use what is installed there
    "RAY_DEDUP_LOGS": "0",
}
LOOPBACK = {
    # Ray's own way to keep to 127.0.0.1; it is named for the systems on which it is the default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",  # as it is by default; Ray has a lot to say where it is not asked for
}
"""For a cluster on this machine alone: without it Ray listens on every network, whatever address it is given."""
CONNECT_SECONDS = 10.0
CLIENT = "ray://"
AUTO = "auto"


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ray, connected to a cluster for as long as the block lasts.

    Args:
        address: `ray://host:port` of a cluster's client server, `host:port` of one that this machine is a node of,
            `auto` for the one that runs here, or None to start one on this machine alone.

    Raises:
        ClusterError: if there is none, or ray is not installed.
    """
    for name, value in (ENVIRONMENT | LOOPBACK if is_here(address) else ENVIRONMENT).items():
        os.environ.setdefault(name, value)
    check_answers(address)
    with _kept_signals():
        ray = _imported()
        _connect(ray, address)
    try:
        yield ray
    finally:
        with _kept_signals():
            ray.shutdown()


def is_here(address: str | None) -> bool:
    """Whether a cluster is one of this machine alone: ours, or one that listens on loopback.

    >>> is_here(None), is_here("127.0.0.1:6379"), is_here("ray://head:10001")
    (True, True, False)
    """
    return address is None or address.removeprefix(CLIENT).startswith(("127.", "localhost:", "[::1]:"))


def check_answers(address: str | None) -> None:
    """Refuse at once an address where nothing listens; Ray itself would try for minutes.

    Raises:
        ClusterError: naming it.
    """
    if address is None or address == AUTO:
        return
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{address}: expected ray://HOST:PORT, HOST:PORT or auto as the address of a Ray cluster")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"{address}: no Ray cluster answers there ({error}). Start one with `ray start --head`, or leave "
            "--ray-address out to start one on this machine"
        ) from error


def _imported() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ClusterError(
            "--runner ray needs the package ray, which is not installed: pip install 'bulk-style-transfer[ray]', "
            "or deploy/requirements-ray.lock"
        ) from error


def _connect(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    if address is not None and address.startswith(CLIENT):
        quiet = {}  # a client server makes a driver of its own, and takes these for that one's
    here = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", **quiet, **here)
    except Exception as error:  # Ray raises what comes: ConnectionError, RuntimeError, ValueError, gRPC's own
        where = address or "a cluster on this machine"
        raise ClusterError(f"{where}: could not connect to Ray: {reason(error)}") from error
    _keep_off_stdout()


def _keep_off_stdout() -> None:
    """Ray prints pages about a lost node on stdout, which is for whoever asked for JSON."""
    inside: Any = importlib.import_module("ray._private.worker")  # no public name stops it
    inside.print_to_stdstream = _log


def _log(data: dict[str, Any], *_: Any, **__: Any) -> None:
    logger.debug("Ray: %s", "\n".join(data.get("lines", ())))


def first_line(error: BaseException) -> str:
    """What Ray says first; the rest are pages for its developers."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def reason(error: BaseException) -> str:
    """The last words of a traceback that Ray passes on, which say more than its first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0]]
    return named[-1] if named else first_line(error)


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends the process without a word to the flow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

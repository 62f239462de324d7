"""The connection to a Ray cluster, without Ray's output or telemetry. Only this module imports Ray.

prefect-ray is not used: it runs Prefect tasks inside Ray tasks, each with its own connection to the Prefect server,
while time-outs, requeueing of single pairs and progress messages are features of this project's own workers.
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
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default; without it Ray warns
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # nodes use what is installed on them
    "RAY_DEDUP_LOGS": "0",
}
"""Environment variables for every connection, unless they are set already."""
LOOPBACK = {
    # Ray's switch to stay on 127.0.0.1, named after the systems on which that is the default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",  # the default, set because Ray prints long messages if it is not set
}
"""Further ones for a cluster on this machine alone: without them Ray listens on every network interface, whatever
address it is given."""
CONNECT_SECONDS = 10.0
CLIENT = "ray://"
AUTO = "auto"


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Provide the ray module, connected to a cluster for as long as the block lasts.

    Args:
        address: `ray://host:port` of a cluster's client server, `host:port` of a cluster that this machine is a node
            of, `auto` for the cluster that runs on this machine, or None to start one on this machine alone.

    Raises:
        ClusterError: if no cluster answers, or ray is not installed.
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
    """Return whether a cluster is on this machine alone: one that this run starts, or one that listens on loopback.

    >>> is_here(None), is_here("127.0.0.1:6379"), is_here("ray://head:10001")
    (True, True, False)
    """
    return address is None or address.removeprefix(CLIENT).startswith(("127.", "localhost:", "[::1]:"))


def check_answers(address: str | None) -> None:
    """Refuse an address on which nothing listens, at once; Ray itself would try for minutes.

    Raises:
        ClusterError: if nothing listens there; its message names the address.
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
        quiet = {}  # a client server starts a driver of its own, and would apply these settings to that
    here = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", **quiet, **here)
    except Exception as error:  # Ray raises many types: ConnectionError, RuntimeError, ValueError, gRPC's own
        where = address or "a cluster on this machine"
        raise ClusterError(f"{where}: could not connect to Ray: {reason(error)}") from error
    _keep_off_stdout()


def _keep_off_stdout() -> None:
    """Redirect Ray's output to the log: it prints pages about a lost node on stdout, which may have to be JSON."""
    ray_worker: Any = importlib.import_module("ray._private.worker")  # no public function does this
    ray_worker.print_to_stdstream = _log


def _log(data: dict[str, Any], *_: Any, **__: Any) -> None:
    logger.debug("Ray: %s", "\n".join(data.get("lines", ())))


def first_line(error: BaseException) -> str:
    """Return the first line of an error of Ray's; the rest is details for Ray's developers."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def reason(error: BaseException) -> str:
    """Return the last error line of a traceback that Ray passes on, which says more than its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0]]
    return named[-1] if named else first_line(error)


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Restore this process's SIGTERM handler after the block: Ray's own would end it without notifying the flow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""What our processes find around them: Prefect's settings before it is imported, proxies, places for state.

What the user or a deployment has set stays as it is.
"""

import logging
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

STATE_FOLDER = "runs/_prefect"
"""Where Prefect keeps its state, below the working directory."""
PRIVATE = 0o700
"""Mode of folders with Prefect's database, which has secrets in it, and their key: for their owner alone."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

OWN_LOGGERS = ("flows", "nst_core")

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The first start migrates a new database, which takes longer than Prefect's 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # How often a run says that it lives: deploy/automations.yaml goes by it.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # Prefect's own lines only when something is wrong; ours, one per pair, always.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(OWN_LOGGERS),
    # Our lines outside of a flow run, such as those of `nst validate`, are for the terminal alone.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT": "%(asctime)s %(levelname)-7s %(message)s",
}


PREFECT_CAME_FIRST = "prefect" in sys.modules
MISSING = frozenset(name for name in DEFAULTS if name not in os.environ)
"""Of the defaults, as it was when this package was imported."""


def set_prefect_defaults() -> None:
    """Put the defaults into the environment; `prefect_layer.defaults` sees to a prefect that has read it already."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if os.environ.get("PREFECT_API_URL") == "":
        del os.environ["PREFECT_API_URL"]  # Prefect would take it for an address


def keep_loopback_off_proxies() -> None:
    """Have what this machine says to itself go no way around, where a network has proxies; all else still does."""
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, given.split(",")), *LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = hosts


def keep_prefect_state_in_sight() -> Path | None:
    """Have Prefect keep its state in `STATE_FOLDER`, or where else it can be written; its place.

    None where the user chose a place or a server already.

    Raises:
        FileNotFoundError: if none can be written; its words are a sentence for the user.
    """
    if "PREFECT_HOME" in os.environ or "PREFECT_API_URL" in os.environ:
        return None
    places = [Path(STATE_FOLDER)]
    with suppress(OSError):  # without a home folder it is a temporary one, if there is any
        places.append(user_folder("XDG_STATE_HOME", ".local/state") / "prefect")
    for place in places:
        with suppress(OSError):
            place.mkdir(mode=PRIVATE, parents=True, exist_ok=True)  # Prefect makes the folder, but not its parents
            if os.access(place, os.W_OK | os.X_OK):
                return _kept_in(place)
    return _kept_in(_temporary_place())


def _temporary_place() -> Path:
    """A folder that goes with the machine.

    Raises:
        FileNotFoundError: if there is none, as Python says it; with what to do.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="nst-prefect-"))
    except OSError as error:
        raise FileNotFoundError(
            f"no folder for Prefect's state can be written: neither {STATE_FOLDER}, nor one below the home folder, nor "
            f"a temporary one ({error}). Name one in PREFECT_HOME"
        ) from error


def _kept_in(folder: Path) -> Path:
    home = folder.resolve()
    os.environ["PREFECT_HOME"] = str(home)
    _ours.add(home)
    return home


def is_ours(home: Path) -> bool:
    """Whether it was we who chose a place for Prefect's state, and may begin there anew."""
    return home.resolve() in _ours


_ours: set[Path] = set()


def user_folder(variable: str, below_home: str) -> Path:
    """The user's folder of ours, by the XDG variable or below their home; a temporary one where there is neither."""
    base = os.environ.get(variable) or os.path.join(os.path.expanduser("~"), below_home)
    return Path(base if os.path.isabs(base) else tempfile.gettempdir()) / "bulk-style-transfer"


def show_own_lines() -> None:
    """Let our lines through at INFO; Prefect hands them to its handlers but leaves the level at the root's WARNING."""
    for name in OWN_LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)

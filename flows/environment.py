"""The environment of our processes: Prefect's settings before it is imported, proxies, and folders for state.

A variable that the user or a deployment has set is never replaced.
"""

import errno
import logging
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

STATE_FOLDER = "runs/_prefect"
"""The folder, below the working directory, for Prefect's state."""
PRIVATE = 0o700
"""The mode of folders with Prefect's database, which holds secrets, and with the key to them: owner only."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names of this machine's loopback interface, as they are listed in NO_PROXY."""

OWN_LOGGERS = ("flows", "nst_core")
"""The loggers of our two packages."""

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # The first start migrates a new database, which takes longer than Prefect's 20 s on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Seconds between a run's heartbeats; deploy/automations.yaml relies on this value.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # Log Prefect's own lines only from WARNING up, but ours, one per pair, always.
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(OWN_LOGGERS),
    # Lines that we log outside of a flow run, such as those of `nst validate`, go to the terminal only.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT": "%(asctime)s %(levelname)-7s %(message)s",
}
"""Environment variables, with the value that each gets unless it is set already."""

PREFECT_CAME_FIRST = "prefect" in sys.modules
"""Whether prefect had been imported before this package was."""
MISSING = frozenset(name for name in DEFAULTS if name not in os.environ)
"""The names in DEFAULTS that were not set when this package was imported."""


def refuse_windows() -> None:
    """End a program on Windows with one sentence: locks, limits and signals of POSIX are used throughout.

    Raises:
        SystemExit: this is Windows.
    """
    if os.name == "nt":
        raise SystemExit(
            "bulk-style-transfer: expected Linux or macOS, found Windows; install it in WSL, the Windows Subsystem for "
            "Linux"
        )


def set_prefect_defaults() -> None:
    """Set the defaults in the environment.

    If prefect has been imported already, and so has read its settings, `prefect_layer.defaults` applies them.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        if os.environ.get(name) == "":
            del os.environ[name]  # Prefect would use the empty string as an address, or as this folder
    if os.path.expanduser("~") == "~":
        # This user has neither HOME nor an entry in the system's list of users. Prefect cannot be imported without a
        # home folder, whether it uses it or not; container runtimes set this one.
        os.environ["HOME"] = "/"


def keep_loopback_off_proxies() -> None:
    """Exempt loopback addresses from proxies, if any are set; all other requests still go through them.

    If the user has exempted all hosts, with a `*`, the list is that `*` alone, as urllib and botocore, unlike others,
    do not recognize it in a longer list.
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = list(dict.fromkeys([*filter(None, map(str.strip, exempt.split(","))), *LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*" if "*" in hosts else ",".join(hosts)


def keep_prefect_state_in_sight() -> Path | None:
    """Set PREFECT_HOME to `STATE_FOLDER`, or to the next candidate folder that is writable, and return that folder.

    The candidates after `STATE_FOLDER` are one below the user's home and a temporary one. Returns None, and sets
    nothing, if the user has chosen a folder or a server already.

    Raises:
        FileNotFoundError: if no candidate is writable; the message is a sentence for the user.
    """
    if "PREFECT_HOME" in os.environ or "PREFECT_API_URL" in os.environ:
        return None
    places = [Path(STATE_FOLDER)]
    with suppress(OSError):  # without a home folder this is a temporary one, and fails if there is none
        places.append(user_folder("XDG_STATE_HOME", ".local/state") / "prefect")
    for place in places:
        with suppress(OSError):
            check_database_folder(place)
            place.mkdir(mode=PRIVATE, parents=True, exist_ok=True)  # Prefect creates the folder, but not its parents
            if os.access(place, os.W_OK | os.X_OK):
                return _use_as_home(place)
    return _use_as_home(_temporary_place())


def _temporary_place() -> Path:
    """Create a temporary folder.

    Raises:
        FileNotFoundError: if that fails; the message gives Python's reason and what to do.
    """
    try:
        check_database_folder(Path(tempfile.gettempdir()))
        return Path(tempfile.mkdtemp(prefix="nst-prefect-"))
    except OSError as error:
        raise FileNotFoundError(
            f"no folder for Prefect's state can be written: neither {STATE_FOLDER}, nor one below the home folder, nor "
            f"a temporary one ({error}). Name one in PREFECT_HOME"
        ) from error


def check_database_folder(folder: Path) -> None:
    """Raise an error if Prefect cannot have its database in a folder.

    Raises:
        OSError: the path has a `?`, at which SQLAlchemy ends the path in the database's address.
    """
    if "?" in str(folder.resolve()):
        raise OSError(
            errno.EINVAL, "expected a path without '?', at which the address of Prefect's database ends", str(folder)
        )


def _use_as_home(folder: Path) -> Path:
    home = folder.resolve()
    os.environ["PREFECT_HOME"] = str(home)
    _ours.add(home)
    return home


def is_ours(home: Path) -> bool:
    """Return whether we, not the user, chose this folder for Prefect's state, so that it may be started afresh."""
    return home.resolve() in _ours


_ours: set[Path] = set()
"""The folders that this process has chosen for Prefect's state."""


def user_folder(variable: str, below_home: str) -> Path:
    """Return our folder among the user's files; it may not exist yet.

    It is below the folder that the XDG variable names, else below the home folder, else a temporary folder. The root
    of all folders, which container runtimes give to unknown users, is no home: they cannot write there.

    Args:
        variable: the XDG variable, such as `XDG_STATE_HOME`.
        below_home: the default for its value, relative to the home folder.
    """
    home = os.path.expanduser("~")
    base = os.environ.get(variable) or ("" if home == os.sep else os.path.join(home, below_home))
    return Path(base if os.path.isabs(base) else tempfile.gettempdir()) / "bulk-style-transfer"


def show_own_lines() -> None:
    """Set our loggers to INFO unless they have a level.

    Prefect attaches its handlers to them but leaves the level unset, so that the root logger's WARNING would apply.
    """
    for name in OWN_LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)

"""Prefect's own settings, made before it is imported: no telemetry, state in sight, a patient start.

What the user or a deployment has set stays as it is.
"""

import logging
import os
import sys
from pathlib import Path

from flows.errors import OutputError

STATE_FOLDER = "runs/_prefect"
"""Where Prefect keeps its state, below the working directory."""

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


def keep_prefect_state_in_sight() -> Path | None:
    """Have Prefect keep its state in `STATE_FOLDER`; None where the user chose a place or a server already."""
    if "PREFECT_HOME" in os.environ or "PREFECT_API_URL" in os.environ:
        return None
    home = Path(STATE_FOLDER).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)  # Prefect makes the folder, but not its parents
    except OSError as error:
        raise OutputError(
            f"{home}: Prefect's state cannot be kept here ({error.strerror}). Set PREFECT_HOME to a folder for it"
        ) from error
    os.environ["PREFECT_HOME"] = str(home)
    return home


def show_own_lines() -> None:
    """Let our lines through at INFO; Prefect hands them to its handlers but leaves the level at the root's WARNING."""
    for name in OWN_LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)

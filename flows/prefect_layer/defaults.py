"""Our defaults for Prefect, taken up also where it was imported before them and has read its settings."""

import logging

from prefect.context import refresh_global_settings_context
from prefect.logging.configuration import setup_logging

from flows.environment import MISSING, OWN_LOGGERS, PREFECT_CAME_FIRST

logger = logging.getLogger(__name__)


def take_up_defaults() -> None:
    """Have Prefect read its settings again, if it did so before they were made."""
    if not PREFECT_CAME_FIRST or not MISSING:
        return
    refresh_global_settings_context()
    for name in OWN_LOGGERS:  # or each line would go to Prefect's handlers twice
        own = logging.getLogger(name)
        own.handlers = [one for one in own.handlers if not type(one).__module__.startswith("prefect.")]
    setup_logging(incremental=False)
    if "DO_NOT_TRACK" in MISSING:
        logger.warning(
            "prefect was imported before flows, with its telemetry on: it is off from here on. Import flows first, or "
            "set DO_NOT_TRACK=1, to have it off from the start"
        )

"""Apply our default settings also to a Prefect that was imported before flows, and so has read its settings already."""

import logging

from prefect.context import refresh_global_settings_context
from prefect.logging.configuration import setup_logging

from flows.environment import MISSING, OWN_LOGGERS, PREFECT_CAME_FIRST

logger = logging.getLogger(__name__)


def take_up_defaults() -> None:
    """Have Prefect read its settings again, if it had read them before our defaults were in the environment."""
    if not PREFECT_CAME_FIRST or not MISSING:
        return
    refresh_global_settings_context()
    for name in OWN_LOGGERS:
        # `setup_logging` adds Prefect's handlers again: with both, each line would be logged twice.
        own = logging.getLogger(name)
        own.handlers = [handler for handler in own.handlers if not type(handler).__module__.startswith("prefect.")]
    setup_logging(incremental=False)
    if "DO_NOT_TRACK" in MISSING:
        logger.warning(
            "prefect was imported before flows, with its telemetry on: it is off from here on. Import flows first, or "
            "set DO_NOT_TRACK=1, to have it off from the start"
        )

"""The log of a worker process: its lines go to the process that drives it, which says where they end up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Logged:
    """A line of a worker's log."""

    logger: str
    level: int
    text: str

    def log(self) -> None:
        """Say it here."""
        logging.getLogger(self.logger).log(self.level, "%s", self.text)


class _Handler(logging.Handler):
    def __init__(self, send: Callable[[Any], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Logged(record.name, record.levelno, self.format(record)))


def log_to(send: Callable[[Any], None], level: int) -> None:
    """Have this process's log go to `send`: our own lines from a level on, all others where something is wrong."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Handler(send)], format="%(message)s", force=True)
    for name in ("flows", "nst_core"):
        logging.getLogger(name).setLevel(level)

"""The command `nst`: run a manifest, look at one or at what it gave, and serve all that from a Prefect server."""

import os
import signal
from types import FrameType

from flows.cli import export, ladder, manifests, notify, outputs, pairs, report, run, serve, submit, table
from flows.cli.app import Command, ExitCode, app, with_debug
from flows.cli.streams import outlive_readers
from flows.cli.utf8_mode import name_files_by_their_bytes
from flows.interpreter import collect_rarely

__all__ = ["ExitCode", "app", "main"]

for _command in (
    *(run.run, run.retry, ladder.ladder),
    *(pairs.pairs, manifests.validate, manifests.split, outputs.status, outputs.gc, table.table),
    *(report.report, report.sheet, export.export),
    *(submit.submit, serve.serve, notify.notify),
):
    app.command(cls=Command)(with_debug(_command))


def main() -> None:
    """Entry point of the command."""
    collect_rarely()
    name_files_by_their_bytes()
    # A scheduler's SIGTERM is an interruption like Ctrl-C; Prefect would let it kill the process, and leave its server.
    signal.signal(signal.SIGTERM, _interrupt)
    # Nothing of ours is to take a random.py in the user's folder for Python's own.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    outlive_readers()
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

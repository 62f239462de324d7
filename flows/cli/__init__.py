"""The command `nst`: run a manifest, check one, look at its results, and serve all that from a Prefect server.

app          what all commands share: the Typer app, exit codes, the layout of the help, common options
options      command-line options generated from the fields of a pydantic model
run          `nst run` and `nst retry`
ladder       `nst ladder`: one pair over a grid of options
pairs        `nst pairs`: a manifest from folders of images
manifests    `nst validate` and `nst split`
outputs      `nst status` and `nst gc`
table        `nst table`: rows of the results table
report       `nst report` and `nst sheet`
export       `nst export`: finished images as a dataset
submit       `nst submit`: a running service stylizes a manifest; also finds the service's server
serve        `nst serve`: the service, which serves all deployments
notify       `nst notify`: notifications of the service about runs with failures
streams      standard streams that are always open and survive a closed pipe, and the log in the terminal
utf8_mode    restarting the interpreter in UTF-8 mode
__main__     the entry point of `python -m flows.cli`
"""

import os
import signal
from types import FrameType

from flows.cli import export, ladder, manifests, notify, outputs, pairs, report, run, serve, submit, table
from flows.cli.app import Command, ExitCode, app, with_debug
from flows.cli.streams import open_closed_streams, outlive_readers
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
    """Set the process up and run the command; this is the entry point of `nst`."""
    open_closed_streams()
    collect_rarely()
    name_files_by_their_bytes()
    # Treat SIGTERM, such as a scheduler's, like Ctrl-C; with Prefect's handling it would kill the process and leave its
    # server running.
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _hang_up)
    # No subprocess of ours may import a random.py in the user's folder in place of Python's own.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    outlive_readers()
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hang_up(number: int, frame: FrameType | None) -> None:
    """Treat a closed terminal like Ctrl-C, once: shell and kernel both send the signal, and tables take a moment."""
    signal.signal(number, signal.SIG_IGN)
    _interrupt(number, frame)

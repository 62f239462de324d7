"""flows.cli.streams: the log of a command on the terminal, and standard streams that are closed."""

import io
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from flows.cli.streams import TerminalHandler, logged_to_terminal
from flows.environment import OWN_LOGGERS
from flows.watching.terminal import console_handlers
from tests.flows.commands import output_of_a_run

WITH_PREFECT = """
import logging
from flows.cli.streams import logged_to_terminal
with logged_to_terminal(logging.INFO):
    import flows.bulk_stylize
    from flows.prefect_layer.plain_errors import errors_left_to_the_command
    from flows.watching.terminal import only_warnings
    logging.getLogger("flows").info("ours")
    with only_warnings(), errors_left_to_the_command():
        logging.getLogger("flows").info("no news")
        logging.getLogger("prefect.flow_runs").error("Finished in state Failed('...')")
        logging.getLogger("prefect.flow_runs").error("Crash detected! Execution was aborted by a termination signal.")
        logging.getLogger("flows").error("what is wrong")
"""


def test_the_log_is_printed_once_after_prefect_is_imported() -> None:
    """Prefect adds no handler of its own beside ours, which keeps back what the terminal should not show."""
    done = subprocess.run([sys.executable, "-c", WITH_PREFECT], capture_output=True, text=True, timeout=120, check=True)

    assert [line.partition(" ")[2] for line in done.stderr.splitlines()] == ["INFO    ours", "ERROR   what is wrong"]


@pytest.fixture
def levels_kept() -> Iterator[None]:
    """The levels of our loggers are restored after the test."""
    loggers = [logging.getLogger(name) for name in OWN_LOGGERS]
    levels = [one.level for one in loggers]
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


@pytest.mark.usefixtures("levels_kept")
def test_the_log_goes_through_the_console_of_a_live_display(capsys: pytest.CaptureFixture[str]) -> None:
    """While a live display is shown, the log goes through its console, with long lines and markup unchanged.

    A line that cannot be formatted is no error for the code that logs it.
    """
    printed = io.StringIO()
    with logged_to_terminal(logging.INFO):
        (handler,) = (one for one in console_handlers() if isinstance(one, TerminalHandler))
        handler.console = Console(file=printed, width=40, markup=False, highlight=False)
        logging.getLogger("flows").error("[bold]%s", "a word " * 20)
        handler.handle(logging.LogRecord("flows", logging.ERROR, __file__, 1, "%d", ("no number",), None))
        handler.console = None
        logging.getLogger("flows").error("alone again")

    assert printed.getvalue().rstrip().endswith("ERROR   [bold]" + ("a word " * 20).rstrip())
    assert "alone again" not in printed.getvalue()
    assert capsys.readouterr().err.endswith("ERROR   alone again\n")


def nst_without(closed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command after a shell has closed some of its standard streams, such as `2>&-`."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", [("validate", "-"), ("run", "-", "-o", "out")])
def test_a_closed_standard_input_is_an_empty_manifest(command: tuple[str, ...]) -> None:
    """A manifest that is to come from a closed standard input ends the command with one line and exit code 2."""
    done = nst_without("<&-", *command)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nst: standard-input: expected a header line and rows, found an empty file; write them\n"


def test_an_export_works_without_stderr() -> None:
    """A command that shows its progress on stderr does its work when stderr is closed."""
    output_of_a_run("out", failures=False)
    done = nst_without("2>&-", "export", "out", "dataset")

    assert done.returncode == 3, done.stdout  # the image is left out: it is not a real one
    assert "dataset: 0 images, 0 new" in done.stdout


def test_the_descriptor_of_a_closed_stream_is_not_reused() -> None:
    """A subprocess inherits the null device in place of closed streams, not the next file that we open."""
    code = (
        "import os, subprocess, sys\n"
        "from flows.cli.streams import open_closed_streams\n"
        "open_closed_streams()\n"
        "ask = 'import os, sys; sys.exit({os.fstat(n).st_ino for n in range(3)} != {os.stat(os.devnull).st_ino})'\n"
        "streams = (sys.stdin, sys.stdout, sys.stderr)\n"
        "sys.exit(None in streams or subprocess.call([sys.executable, '-c', ask]))\n"
    )
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]

    assert subprocess.run(closed, timeout=120, check=False).returncode == 0


def test_nothing_is_printed_into_a_file_that_is_opened_later(tmp_path: Path) -> None:
    """With all streams closed, the descriptors of stdout and stderr stay those of the null device."""
    code = (
        "import sys\n"
        "from flows.cli.streams import open_closed_streams, outlive_readers\n"
        "open_closed_streams()\n"
        "outlive_readers()\n"
        "files = [open(f'{sys.argv[1]}/{n}', 'w') for n in range(4)]\n"
        "print('a summary', flush=True)\n"
        "print('a log', file=sys.stderr, flush=True)\n"
    )
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code, str(tmp_path)]

    assert subprocess.run(closed, timeout=120, check=False).returncode == 0
    assert [(tmp_path / str(number)).read_bytes() for number in range(4)] == [b""] * 4


@pytest.mark.parametrize(("before", "code"), [(signal.SIG_DFL, 75), (signal.SIG_IGN, 2)], ids=["terminal", "nohup"])
def test_a_closed_terminal_interrupts_the_command(before: signal.Handlers, code: int) -> None:
    """SIGHUP ends a command like Ctrl-C, however often it is sent, and under nohup it is ignored."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; print('up', flush=True); main()", "validate", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, before),  # noqa: PLW1509  # nothing else runs in it
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    # The command has its handler once it waits for its standard input, of which it reads the first byte.
    process.stdin.write("x" * 100_000)
    process.stdin.flush()
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
    _, printed = process.communicate("", timeout=60)

    assert process.returncode == code, printed
    assert ("interrupted: what is finished is kept" in printed) == (code == 75)

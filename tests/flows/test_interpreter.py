"""flows.interpreter: how often Python collects garbage in the command, and how workers are started."""

import gc
import subprocess
import sys

from flows.interpreter import COLLECTS_RARELY, GARBAGE_AFTER, collect_rarely, command

PRINT_THRESHOLD = "import gc; print(gc.get_threshold())"


def printed(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


def test_garbage_is_collected_rarely_on_request() -> None:
    """`collect_rarely` changes this process, and `COLLECTS_RARELY` the process that runs it."""
    before = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.get_threshold() == GARBAGE_AFTER
    finally:
        gc.set_threshold(*before)
    assert printed(sys.executable, "-c", COLLECTS_RARELY + PRINT_THRESHOLD) == str(GARBAGE_AFTER)


def test_a_worker_collects_garbage_as_often_as_python() -> None:
    """A worker keeps the default of Python, because its garbage may be images that would fill its memory."""
    assert printed(*command(PRINT_THRESHOLD)) == printed(sys.executable, "-c", PRINT_THRESHOLD)


def test_the_command_collects_garbage_rarely() -> None:
    """The command collects garbage rarely from its first line on, before Prefect is imported."""
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_threshold())); sys.argv = ['nst', '--version']\n"
    )
    assert printed(sys.executable, "-c", f"{code}from flows.cli import main; main()").endswith(str(GARBAGE_AFTER))

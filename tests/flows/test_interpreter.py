"""flows.interpreter: Python in processes of its own."""

import gc
import subprocess
import sys

from flows.interpreter import COLLECTS_RARELY, GARBAGE_AFTER, collect_rarely, command

SAID = "import gc; print(gc.get_threshold())"


def said(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


def test_garbage_is_looked_for_rarely_where_it_is_asked() -> None:
    """In this process, and by the code for another one."""
    before = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.get_threshold() == GARBAGE_AFTER
    finally:
        gc.set_threshold(*before)
    assert said(sys.executable, "-c", COLLECTS_RARELY + SAID) == str(GARBAGE_AFTER)


def test_a_worker_looks_for_garbage_as_often_as_python_does() -> None:
    """Its garbage may be pictures, which would fill its memory."""
    assert said(*command(SAID)) == said(sys.executable, "-c", SAID)


def test_the_command_looks_for_it_rarely() -> None:
    """From its first line on, before Prefect is imported."""
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_threshold())); sys.argv = ['nst', '--version']\n"
    )
    assert said(sys.executable, "-c", f"{code}from flows.cli import main; main()").endswith(str(GARBAGE_AFTER))

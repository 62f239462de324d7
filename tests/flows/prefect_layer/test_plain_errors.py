"""flows.prefect_layer.plain_errors: Prefect's log shows our errors as plain messages."""

import io
import logging
from collections.abc import Iterator

import pytest

from flows.errors import ManifestError, StorageError
from flows.prefect_layer.plain_errors import errors_left_to_the_command, log_errors_plainly

FULL = StorageError("out/results.csv: No space left on device")


class _Terminal(logging.StreamHandler[io.StringIO]):
    """A handler with a console, as those that write to a terminal."""

    console = None


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The text that the log prints."""
    monkeypatch.delenv("NST_DEBUG", raising=False)
    log_errors_plainly()
    handler = _Terminal(io.StringIO())
    logging.getLogger().addHandler(handler)
    yield handler.stream
    logging.getLogger().removeHandler(handler)


def _log(error: Exception) -> None:
    """Log an error as Prefect does when a flow raises it."""
    logger = logging.getLogger("prefect.flow_runs")
    try:
        raise error  # noqa: TRY301  # as in the flow
    except Exception:
        logger.exception("Encountered exception during execution: %r", error)
    logger.error("Finished in state Failed('...')")


def test_our_error_is_logged_as_its_message(terminal: io.StringIO) -> None:
    """An error of ours is logged once, as one line without a traceback."""
    _log(FULL)

    assert terminal.getvalue().splitlines() == [str(FULL), "Finished in state Failed('...')"]


def test_a_name_in_an_error_cannot_add_lines_to_the_log(terminal: io.StringIO) -> None:
    """Line ends and escape sequences in an error, which may quote a file's name, are logged as text."""
    _log(ManifestError("a\n12:00:00 INFO all done\x1b[2J.csv: expected rows"))

    assert terminal.getvalue().splitlines()[0] == r"a\n12:00:00 INFO all done\x1b[2J.csv: expected rows"


def test_a_lack_of_threads_is_reported_in_one_sentence(terminal: io.StringIO) -> None:
    """Python's RuntimeError for a thread that cannot be started is logged as one sentence, without a traceback."""
    _log(RuntimeError("can't start new thread"))

    assert "Traceback" not in terminal.getvalue()
    assert terminal.getvalue().startswith("no thread could be started: this machine, or its container")


def test_any_other_error_keeps_its_traceback(terminal: io.StringIO) -> None:
    """An error that is not ours keeps its traceback, for those who correct the code."""
    _log(ZeroDivisionError("by 0"))

    assert "Traceback" in terminal.getvalue()


def test_debug_shows_the_traceback_of_our_errors(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NST_DEBUG an error of ours has its traceback too."""
    monkeypatch.setenv("NST_DEBUG", "1")
    _log(FULL)

    assert "Traceback" in terminal.getvalue()


def test_errors_that_the_command_prints_are_not_logged(terminal: io.StringIO) -> None:
    """While a command runs, the log omits only the errors that it prints at its end; afterwards it omits none."""
    with errors_left_to_the_command():
        _log(FULL)
        logging.getLogger("prefect.flow_runs").error("something else")
        _log(ZeroDivisionError("by 0"))
    logging.getLogger("prefect.flow_runs").error("Finished in state Failed('...')")
    lines = terminal.getvalue().splitlines()

    assert lines[0] == "something else"
    assert lines[1].startswith("Encountered")
    assert lines[-2:] == ["ZeroDivisionError: by 0", "Finished in state Failed('...')"]


@pytest.mark.parametrize("name", ["prefect.flow_runs", "prefect.task_runs"])
def test_flows_and_tasks_are_treated_alike(terminal: io.StringIO, name: str) -> None:
    """For flows and tasks our errors are logged as messages, and Prefect's last line is left to the command."""
    try:
        raise FULL  # as in a task
    except StorageError:
        logging.getLogger(name).exception("Encountered exception")
    with errors_left_to_the_command():
        logging.getLogger(name).error("Finished in state Failed('...')")
        logging.getLogger("flows.some").error("Finished in state of its own")

    assert terminal.getvalue().splitlines() == [str(FULL), "Finished in state of its own"]


def test_log_errors_plainly_is_idempotent(terminal: io.StringIO) -> None:
    """A second call adds no filter, because a process calls it for each of its runs."""
    before = [len(logging.getLogger(name).filters) for name in ("prefect.flow_runs", "prefect.task_runs")]
    log_errors_plainly()

    assert [len(logging.getLogger(name).filters) for name in ("prefect.flow_runs", "prefect.task_runs")] == before


def test_a_percent_sign_in_a_message_is_kept(terminal: io.StringIO) -> None:
    """The message of an error is not used as a format."""
    _log(StorageError("out/50%s.png: 100% full"))

    assert terminal.getvalue().splitlines()[0] == "out/50%s.png: 100% full"


def test_after_an_error_in_the_block_all_is_logged(terminal: io.StringIO) -> None:
    """Everything is logged again after the block, also if the block raises."""
    with pytest.raises(ZeroDivisionError), errors_left_to_the_command():
        raise ZeroDivisionError
    logging.getLogger("prefect.flow_runs").error("Finished in state Failed('...')")

    assert terminal.getvalue().splitlines() == ["Finished in state Failed('...')"]

"""plain_errors: what Prefect's log shows of an error that has a name."""

import io
import logging
from collections.abc import Iterator

import pytest

from flows.errors import StorageError
from flows.prefect_layer.plain_errors import errors_left_to_the_command, log_errors_plainly

FULL = StorageError("out/results.csv: No space left on device")


class _Terminal(logging.StreamHandler[io.StringIO]):
    """A handler of the kind that writes to a terminal."""

    console = None


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that the log prints."""
    monkeypatch.delenv("NST_DEBUG", raising=False)
    log_errors_plainly()
    handler = _Terminal(io.StringIO())
    logging.getLogger().addHandler(handler)
    yield handler.stream
    logging.getLogger().removeHandler(handler)


def _log(error: Exception) -> None:
    """As Prefect does when a flow raises."""
    logger = logging.getLogger("prefect.flow_runs")
    try:
        raise error  # noqa: TRY301  # as in the flow
    except Exception:
        logger.exception("Encountered exception during execution: %r", error)
    logger.error("Finished in state Failed('...')")


def test_an_error_with_a_name_is_its_message(terminal: io.StringIO) -> None:
    """It is logged once, as one line, without where in the code it was raised."""
    _log(FULL)

    assert terminal.getvalue().splitlines() == [str(FULL), "Finished in state Failed('...')"]


def test_a_machine_without_threads_is_a_sentence(terminal: io.StringIO) -> None:
    """Which Python says by an error of no class of its own."""
    _log(RuntimeError("can't start new thread"))

    assert "Traceback" not in terminal.getvalue()
    assert terminal.getvalue().startswith("no thread could be started: this machine, or its container")


def test_any_other_error_keeps_its_traceback(terminal: io.StringIO) -> None:
    """What nobody expected is for those who mend the code."""
    _log(ZeroDivisionError("by 0"))

    assert "Traceback" in terminal.getvalue()


def test_whoever_looks_for_the_place_sees_it(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NST_DEBUG an error with a name has its traceback too."""
    monkeypatch.setenv("NST_DEBUG", "1")
    _log(FULL)

    assert "Traceback" in terminal.getvalue()


def test_what_the_command_says_is_not_said_before(terminal: io.StringIO) -> None:
    """While a command runs its terminal has none of the lines that it will end with, but all others; afterwards all."""
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
def test_flows_and_tasks_are_alike(terminal: io.StringIO, name: str) -> None:
    """Both log an error with a name by its message, and their last words are the command's to say."""
    try:
        raise FULL  # as in a task
    except StorageError:
        logging.getLogger(name).exception("Encountered exception")
    with errors_left_to_the_command():
        logging.getLogger(name).error("Finished in state Failed('...')")
        logging.getLogger("flows.some").error("Finished in state of its own")

    assert terminal.getvalue().splitlines() == [str(FULL), "Finished in state of its own"]


def test_asked_for_twice_is_as_once(terminal: io.StringIO) -> None:
    """A process that makes many runs asks for it at each."""
    before = [len(logging.getLogger(name).filters) for name in ("prefect.flow_runs", "prefect.task_runs")]
    log_errors_plainly()

    assert [len(logging.getLogger(name).filters) for name in ("prefect.flow_runs", "prefect.task_runs")] == before


def test_a_percent_sign_in_a_message_is_one(terminal: io.StringIO) -> None:
    """The message is no format."""
    _log(StorageError("out/50%s.png: 100% full"))

    assert terminal.getvalue().splitlines()[0] == "out/50%s.png: 100% full"


def test_after_an_error_in_the_block_all_is_shown_again(terminal: io.StringIO) -> None:
    """However the block ends."""
    with pytest.raises(ZeroDivisionError), errors_left_to_the_command():
        raise ZeroDivisionError
    logging.getLogger("prefect.flow_runs").error("Finished in state Failed('...')")

    assert terminal.getvalue().splitlines() == ["Finished in state Failed('...')"]

"""flows.watching.listeners: which watchers receive which messages, and that no watcher can disturb its run."""

import contextvars
import logging
import threading
import time
from collections.abc import Callable

import pytest

from flows.records.runs import RunStarted
from flows.watching import listeners
from flows.watching.listeners import OnWorkerMessage, Watcher, notify, watched_by, watchers_here
from flows.worker.messages import ChunkStarted, Message
from tests.flows.builders import pair_record
from tests.flows.run_starts import run_of


def noting(heard: list[object]) -> Watcher:
    """Return a watcher that notes the run's id and every message."""

    def watch(run: RunStarted) -> OnWorkerMessage:
        heard.append(run.run_id)
        return lambda worker, message: heard.append((worker, message))

    return watch


def test_a_watcher_receives_the_start_and_every_message() -> None:
    """A watcher has received the start and all messages in order when the block ends, and receives none later."""
    heard: list[object] = []
    messages: list[Message] = [ChunkStarted(("pair-2",), 1), *(pair_record(f"pair-{n}") for n in range(2, 50))]
    with notify(run_of(64), [noting(heard)]) as on_message:
        for message in messages:
            on_message("cpu", message)
    before = list(heard)
    on_message("cpu", pair_record("late"))

    assert before == ["a run", *(("cpu", message) for message in messages)]
    assert heard == before


def failing_at_once(_run: RunStarted) -> OnWorkerMessage:
    raise OSError(28, "No space left on device")


def failing_later(_run: RunStarted) -> OnWorkerMessage:
    def on_message(_worker: str, _message: Message) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    return on_message


@pytest.mark.parametrize("bad", [failing_at_once, failing_later])
def test_a_failing_watcher_is_left_out_after_one_warning(
    bad: Callable[[RunStarted], OnWorkerMessage], caplog: pytest.LogCaptureFixture
) -> None:
    """A watcher that raises is left out after one warning; the others receive every message."""
    heard: list[object] = []
    with caplog.at_level(logging.WARNING), notify(run_of(64), [bad, noting(heard)]) as on_message:
        for number in range(5):
            on_message("cpu", pair_record(f"pair-{number}"))

    assert len(heard) == 6
    (warning,) = caplog.messages
    assert warning.startswith(f"{bad.__name__} gets no more messages of this run: ")


def test_a_hanging_watcher_does_not_delay_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """Sending returns at once however long a watcher takes, and the end of the block waits for it only briefly."""
    let_go = threading.Event()

    def hanging(_run: RunStarted) -> OnWorkerMessage:
        return lambda _worker, _message: let_go.wait(30) and None

    began = time.monotonic()
    with caplog.at_level(logging.WARNING), notify(run_of(64), [hanging], patience_seconds=0.2) as on_message:
        for number in range(1000):
            on_message("cpu", pair_record(f"pair-{number}"))
    let_go.set()

    assert time.monotonic() - began < 10
    assert "does not handle the messages" in caplog.text


def test_a_slow_watcher_receives_everything() -> None:
    """A watcher that needs more than the patience in all, but less for each message, receives every message."""
    heard: list[object] = []

    def slow(_run: RunStarted) -> OnWorkerMessage:
        def on_message(_worker: str, message: Message) -> None:
            time.sleep(0.05)
            heard.append(message)

        return on_message

    with notify(run_of(64), [slow], patience_seconds=0.2) as on_message:
        for number in range(20):
            on_message("cpu", pair_record(f"pair-{number}"))

    assert len(heard) == 20


def test_an_interrupted_run_does_not_wait_for_a_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a run is interrupted, a hanging watcher costs it `HURRY_SECONDS`, whatever the patience."""
    monkeypatch.setattr(listeners, "HURRY_SECONDS", 0.2)
    let_go = threading.Event()
    began = time.monotonic()

    def interrupted() -> None:
        with notify(run_of(64), [lambda _run: lambda _worker, _message: let_go.wait(60) and None]) as on_message:
            on_message("cpu", pair_record("pair-2"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    let_go.set()

    assert time.monotonic() - began < 20


def test_watchers_belong_to_the_context() -> None:
    """Inner blocks add watchers to those of outer blocks; another context has none of them."""
    first, second = noting([]), noting([])
    elsewhere: list[tuple[Watcher, ...]] = []
    with watched_by(first), watched_by(second):
        assert watchers_here() == (first, second)
        thread = threading.Thread(target=contextvars.Context().run, args=(lambda: elsewhere.append(watchers_here()),))
        thread.start()
        thread.join()
    assert (elsewhere, watchers_here()) == ([()], ())


def test_concurrent_runs_have_separate_watchers() -> None:
    """Each run's watchers receive the messages of that run alone."""
    heard: dict[str, list[object]] = {"one": [], "two": []}
    with (
        notify(run_of(64, run_id="one"), [noting(heard["one"])]) as hear_one,
        notify(run_of(64, run_id="two"), [noting(heard["two"])]) as hear_two,
    ):
        hear_one("cpu 1", ChunkStarted(("a",), 1))
        hear_two("cpu 2", ChunkStarted(("b",), 2))

    assert heard == {
        "one": ["one", ("cpu 1", ChunkStarted(("a",), 1))],
        "two": ["two", ("cpu 2", ChunkStarted(("b",), 2))],
    }


def test_a_watcher_that_hangs_at_the_start_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    """A watcher that failed is not waited for; one that hangs is waited for once, and both are warned of."""

    class Hanging:
        def watch(self, _run: RunStarted) -> OnWorkerMessage:
            let_go.wait(30)
            return lambda _worker, _message: None

    let_go, began = threading.Event(), time.monotonic()
    with caplog.at_level(logging.WARNING), notify(run_of(64), [failing_at_once, Hanging().watch], patience_seconds=0.3):
        pass
    let_go.set()

    assert 0.3 <= time.monotonic() - began < 10
    assert any("does not handle the messages" in text for text in caplog.messages)
    assert len(caplog.messages) == 2


def test_secrets_in_the_error_of_a_watcher_are_hidden(caplog: pytest.LogCaptureFixture) -> None:
    """A password in the error of a watcher is not logged; the error's class is."""

    def failing(_run: RunStarted) -> OnWorkerMessage:
        raise OSError("http://user:very-secret@host/ does not answer")

    with caplog.at_level(logging.WARNING), notify(run_of(64), [failing]):
        pass

    assert "very-secret" not in caplog.text
    assert "OSError" in caplog.text


def test_the_thread_of_a_watcher_has_the_context_of_the_run() -> None:
    """A watcher's thread has the context of the run, which tells the log whose it is; it is a daemon thread."""
    of_run: contextvars.ContextVar[str] = contextvars.ContextVar("of_run", default="none")
    found: list[object] = []

    def watch(_run: RunStarted) -> OnWorkerMessage:
        found.extend((of_run.get(), threading.current_thread().daemon))
        return lambda _worker, _message: None

    token = of_run.set("this one")
    with notify(run_of(64), [watch]):
        pass
    of_run.reset(token)

    assert found == ["this one", True]

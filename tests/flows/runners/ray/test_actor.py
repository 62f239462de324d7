"""flows.runners.ray.actor: what an actor says, as whoever asks it for news has it."""

import logging
import pickle
import threading
from collections.abc import Callable

import pytest

from flows import interpreter
from flows.runners.ray import actor as of_actors
from flows.runners.ray.actor import Actor
from flows.runners.said import Logged

LAST_WORDS = Logged("flows", logging.ERROR, "the GPU answers with errors alone")


@pytest.fixture
def until_heard(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What an actor made here wants to be called before its process ends itself."""
    wanted: list[Callable[[], object]] = []
    monkeypatch.setattr(of_actors, "become_a_worker", wanted.append)
    monkeypatch.setattr(of_actors, "log_to", lambda *_: None)
    monkeypatch.setattr(of_actors, "ANSWER_SECONDS", 0.0)
    return wanted


def test_last_words_are_waited_for(until_heard: list[Callable[[], object]]) -> None:
    """An actor that ends itself does so once its news was asked for: with its process they would be gone."""
    actor = Actor(logging.INFO)
    actor._hear(LAST_WORDS)
    ending = threading.Thread(target=until_heard[0])
    ending.start()
    ending.join(0.2)

    assert ending.is_alive()
    assert [pickle.loads(message) for message in actor.news(1.0)] == [LAST_WORDS]  # our own
    ending.join(of_actors.FAREWELL_SECONDS - 1.0)
    assert not ending.is_alive()


def test_an_actor_that_nobody_asks_ends_all_the_same(
    until_heard: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run may be gone."""
    monkeypatch.setattr(of_actors, "FAREWELL_SECONDS", 0.01)
    actor = Actor(logging.INFO)
    actor._hear(LAST_WORDS)
    until_heard[0]()

    assert len(actor.news(0.0)) == 1


def test_a_worker_ends_when_it_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """First that, then the end."""
    done: list[object] = []
    monkeypatch.setattr(interpreter, "_is_a_worker", threading.Event())
    monkeypatch.setattr(interpreter, "_before_the_end", [])
    monkeypatch.setattr(interpreter.os, "_exit", done.append)
    interpreter.become_a_worker(lambda: done.append("heard"))
    interpreter.end_worker(71)

    assert done == ["heard", 71]

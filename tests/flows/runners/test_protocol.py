"""flows.runners.protocol: the messages of a call, which are the same wherever it is executed."""

import pickle

import pytest

from flows.runners import Worker
from flows.runners.protocol import Call, CallBegan, CallEnded, answer, packed
from tests.flows import pool_jobs


def heard_of(call: Call) -> list[object]:
    messages: list[object] = []
    answer(lambda: call, messages.append)
    return messages


def test_a_call_sends_a_first_and_a_last_message() -> None:
    """The function's own messages lie between CallBegan and CallEnded, which has the function's value."""
    began, *said, ended = heard_of(Call(pool_jobs.say, ("one", 2)))

    assert isinstance(began, CallBegan)
    assert said == ["one", 2]
    assert ended == CallEnded("return")


@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        (CallEnded(error=pool_jobs.TwoPartError("cat.png", "too small")), pool_jobs.TwoPartError, "cat.png: too small"),
        (
            CallEnded(error=pool_jobs.UnpicklableError("cat.png", "too small")),
            RuntimeError,
            "UnpicklableError: cat.png: too small",
        ),
    ],
)
def test_an_error_survives_pickling(end: CallEnded, kind: type[Exception], text: str) -> None:
    """An error arrives unchanged, or as a RuntimeError with its text if its class cannot be unpickled."""
    arrived = pickle.loads(packed(end)).error

    assert type(arrived) is kind
    assert str(arrived) == text


def test_a_ray_actor_sends_the_same_messages_as_a_process(worker: Worker) -> None:
    """The class of a Ray actor returns the messages of a call in order, each once; a further request waits and gets
    none.
    """
    (began, *said), more, seconds = pool_jobs.done_by(worker, pool_jobs.talk_with_an_actor)

    assert isinstance(began, CallBegan)
    assert said == [1, "two", CallEnded("return")]
    assert more == []
    assert seconds > 0.2

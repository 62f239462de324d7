"""flows.runners.protocol: what is said of a call, wherever it is done."""

import pickle

import pytest

from flows.runners import Worker
from flows.runners.protocol import Call, CallBegan, CallEnded, answer, packed
from tests.flows import pool_jobs


def heard_of(call: Call) -> list[object]:
    messages: list[object] = []
    answer(lambda: call, messages.append)
    return messages


def test_a_call_begins_speaks_and_ends() -> None:
    """What the function says stands between a first and a last message; the last one has its value."""
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
def test_an_error_survives_the_way(end: CallEnded, kind: type[Exception], text: str) -> None:
    """As itself, or in its words where its class cannot be put together again."""
    arrived = pickle.loads(packed(end)).error

    assert type(arrived) is kind
    assert str(arrived) == text


def test_an_actor_says_the_same_as_a_process(worker: Worker) -> None:
    """The actor of a Ray cluster hands out the messages of a call in order, the end as the last, each of them once."""
    (began, *said), more, seconds = pool_jobs.done_by(worker, pool_jobs.talk_with_an_actor)

    assert isinstance(began, CallBegan)
    assert said == [1, "two", CallEnded("return")]
    assert more == []
    assert seconds > 0.2

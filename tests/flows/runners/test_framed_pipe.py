"""flows.runners.framed_pipe: messages between two processes, delivered complete or not at all."""

import os
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from flows.runners.framed_pipe import FramedPipe


@pytest.fixture
def ends() -> tuple[Connection, Connection]:
    """Both ends of a connection."""
    return Pipe()


def received(pipe: FramedPipe, number: int, seconds: float = 10) -> list[bytes]:
    """Return the next messages, up to this number, that arrive in time."""
    messages: list[bytes] = []
    end = time.monotonic() + seconds
    while len(messages) < number and time.monotonic() < end:
        messages += pipe.receive(0.05)
    return messages


def test_messages_arrive_complete_and_in_order(ends: tuple[Connection, Connection]) -> None:
    """Messages sent either way arrive complete and in order, empty and long ones too."""
    one, other = map(FramedPipe, ends)
    sent = [b"first", b"", b"x" * 5000]
    for message in sent:
        one.send(message)
    other.send(b"back")

    assert other.receive(0.0) == sent
    assert other.receive(0.0) == []
    assert one.receive(0.0) == [b"back"]


def test_a_message_larger_than_the_pipe_arrives(ends: tuple[Connection, Connection]) -> None:
    """A sender blocks while the pipe is full, and continues as the reader reads."""
    one, other = map(FramedPipe, ends)
    sender = threading.Thread(target=one.send, args=(b"x" * 5_000_000,), daemon=True)
    sender.start()
    messages = received(other, 1)
    sender.join(10)

    assert messages == [b"x" * 5_000_000]


@pytest.mark.parametrize("sent", [b"\x00\x00", b"\x00\x00\x00\x00\x00\x00\x10\x00half"], ids=["a length", "a message"])
@pytest.mark.parametrize("closed", [True, False])
def test_an_incomplete_message_does_not_block_the_reader(
    ends: tuple[Connection, Connection], sent: bytes, closed: bool
) -> None:
    """Messages before an incomplete one are delivered; after that, a closed end raises EOFError, an open one gives
    nothing.
    """
    other = FramedPipe(ends[1])
    FramedPipe(ends[0]).send(b"whole")
    os.write(ends[0].fileno(), sent)
    if closed:
        ends[0].close()
    began = time.monotonic()

    assert other.receive(0.1) == [b"whole"]
    if closed:
        with pytest.raises(EOFError):
            other.receive(0.1)
    else:
        assert other.receive(0.1) == []
    assert time.monotonic() - began < 2


def test_a_closed_end_is_an_error_for_the_other(ends: tuple[Connection, Connection]) -> None:
    """Sending to a closed end raises OSError, and receiving from it EOFError, even if messages are unread."""
    one = FramedPipe(ends[0])
    one.send(b"unread")
    ends[1].close()

    with pytest.raises(OSError):  # noqa: PT011  # any subclass
        one.send(b"more")
    with pytest.raises(EOFError):
        one.receive(1.0)


def test_threads_do_not_mix_their_messages(ends: tuple[Connection, Connection]) -> None:
    """Several threads send at once; every message arrives complete."""
    one, other = map(FramedPipe, ends)
    texts = [str(number).encode() * 300_000 for number in range(8)]
    threads = [threading.Thread(target=lambda text=text: [one.send(text) for _ in range(20)]) for text in texts]
    for thread in threads:
        thread.start()

    assert sorted(received(other, 160)) == sorted(texts * 20)

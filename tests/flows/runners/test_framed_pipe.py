"""flows.runners.framed_pipe: messages between two processes, whole or not at all."""

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
    """The next messages, as many as are expected, if they come in time."""
    messages: list[bytes] = []
    end = time.monotonic() + seconds
    while len(messages) < number and time.monotonic() < end:
        messages += pipe.receive(0.05)
    return messages


def test_messages_come_in_order_and_whole(ends: tuple[Connection, Connection]) -> None:
    """What is sent is received, in order, both ways; empty and long messages too."""
    one, other = map(FramedPipe, ends)
    sent = [b"first", b"", b"x" * 5000]
    for message in sent:
        one.send(message)
    other.send(b"back")

    assert other.receive(0.0) == sent
    assert other.receive(0.0) == []
    assert one.receive(0.0) == [b"back"]


def test_a_message_larger_than_the_line_gets_through(ends: tuple[Connection, Connection]) -> None:
    """A sender waits while the line is full, and goes on as the reader reads."""
    one, other = map(FramedPipe, ends)
    sender = threading.Thread(target=one.send, args=(b"x" * 5_000_000,), daemon=True)
    sender.start()
    messages = received(other, 1)
    sender.join(10)

    assert messages == [b"x" * 5_000_000]


@pytest.mark.parametrize("sent", [b"\x00\x00", b"\x00\x00\x00\x00\x00\x00\x10\x00half"], ids=["a length", "a message"])
@pytest.mark.parametrize("closed", [True, False])
def test_half_a_message_is_not_waited_for(ends: tuple[Connection, Connection], sent: bytes, closed: bool) -> None:
    """Of a sender that was killed in the middle of a message, those before it come; then that it has gone is told."""
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


def test_a_reader_that_is_gone_is_told(ends: tuple[Connection, Connection]) -> None:
    """Whoever sends to a closed end gets an OSError, and whoever listens there EOFError, also with words unread."""
    one = FramedPipe(ends[0])
    one.send(b"unread")
    ends[1].close()

    with pytest.raises(OSError):  # noqa: PT011  # any kind of it
        one.send(b"more")
    with pytest.raises(EOFError):
        one.receive(1.0)


def test_threads_do_not_mix_their_messages(ends: tuple[Connection, Connection]) -> None:
    """Several threads send at once; every message comes whole."""
    one, other = map(FramedPipe, ends)
    texts = [str(number).encode() * 300_000 for number in range(8)]
    threads = [threading.Thread(target=lambda text=text: [one.send(text) for _ in range(20)]) for text in texts]
    for thread in threads:
        thread.start()

    assert sorted(received(other, 160)) == sorted(texts * 20)

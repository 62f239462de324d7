"""flows.runners.mailbox: messages through a pipe, whole or not at all."""

import os
import threading
import time

from flows.runners.mailbox import Mailbox, Outbox


def test_messages_come_in_order_and_whole() -> None:
    """What is sent is received, in order, None and long messages too."""
    mailbox = Mailbox()
    outbox = Outbox(mailbox.writer)
    sent = ["first", {"second": [1, 2.5]}, None, "x" * 5000, ()]
    for message in sent:
        outbox.send(message)

    assert mailbox.receive(0.0) == sent
    assert mailbox.receive(0.0) == []


def test_a_message_larger_than_the_pipe_gets_through() -> None:
    """A sender waits while the pipe is full, and goes on as the reader reads."""
    mailbox = Mailbox()
    outbox = Outbox(mailbox.writer)
    sender = threading.Thread(target=outbox.send, args=("x" * 1_000_000,), daemon=True)
    sender.start()
    received: list[str] = []
    end = time.monotonic() + 10
    while not received and time.monotonic() < end:
        received += mailbox.receive(0.05)
    sender.join(10)

    assert received == ["x" * 1_000_000]


def test_half_a_message_is_not_waited_for() -> None:
    """Of a sender that was killed in the middle of a message, the messages before it come, at once."""
    mailbox = Mailbox()
    Outbox(mailbox.writer).send("whole")
    os.write(mailbox.writer.fileno(), b"\x00\x00\x10\x00half")
    began = time.monotonic()
    received = mailbox.receive(0.1) + mailbox.receive(0.1)

    assert received == ["whole"]
    assert time.monotonic() - began < 2


def test_threads_do_not_mix_their_messages() -> None:
    """Several threads send at once; every message comes whole."""
    mailbox = Mailbox()
    outbox = Outbox(mailbox.writer)
    texts = [str(number) * 200 for number in range(8)]
    threads = [threading.Thread(target=lambda text=text: [outbox.send(text) for _ in range(20)]) for text in texts]
    for thread in threads:
        thread.start()
    received: list[str] = []
    end = time.monotonic() + 10
    while len(received) < 160 and time.monotonic() < end:
        received += mailbox.receive(0.05)

    assert sorted(received) == sorted(texts * 20)

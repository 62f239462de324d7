"""Messages out of a worker process while it works: whole ones, also where the process is killed in the middle of one.

A queue of multiprocessing would not do: its reader waits for ever for the rest of a message whose sender was killed.
"""

import multiprocessing
import os
import pickle
import struct
import threading
from multiprocessing.connection import Connection
from typing import Any

_LENGTH = struct.Struct(">I")


class Outbox:
    """The worker process's end; any of its threads may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection  # closes its descriptor when it is collected
        self._file = open(connection.fileno(), "wb", closefd=False)  # noqa: SIM115  # as long as the process lives
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send one message; waits while the reader is far behind."""
        data = pickle.dumps(message)
        with self._lock:
            self._file.write(_LENGTH.pack(len(data)) + data)
            self._file.flush()


class Mailbox:
    """The end of the process that waits. One mailbox per worker process: a new process gets a new one."""

    def __init__(self) -> None:
        # The writing end stays open here too, as the process is started later, by another thread.
        self._reader, self.writer = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._unread = b""

    def receive(self, timeout_seconds: float) -> list[Any]:
        """The messages that have come; waits for the first one at most so long."""
        while self._reader.poll(timeout_seconds):
            self._unread += os.read(self._reader.fileno(), 1 << 20)
            timeout_seconds = 0.0
        messages = []
        while (end := self._end_of_first()) <= len(self._unread):
            messages.append(pickle.loads(self._unread[_LENGTH.size : end]))  # noqa: S301  # of our own process
            self._unread = self._unread[end:]
        return messages

    def _end_of_first(self) -> int:
        """Where the first unread message ends, as far as can be told; beyond what is here if it is not whole."""
        if len(self._unread) < _LENGTH.size:
            return _LENGTH.size
        return _LENGTH.size + int(_LENGTH.unpack_from(self._unread)[0])

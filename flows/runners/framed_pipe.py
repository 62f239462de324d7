"""A line between two processes: whole messages, also where the other one is killed in the middle of one.

The connections of multiprocessing would not do alone: they wait for the rest of a message as long as anybody, such as
a process that was forked meanwhile, holds the other end open.
"""

import os
import struct
import threading
from multiprocessing.connection import Connection

_LENGTH = struct.Struct(">Q")


class Line:
    """One end: any thread may send, one receives.

    Args:
        connection: of two directions; its descriptor is closed when it is collected.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._unread = bytearray()

    def send(self, message: bytes) -> None:
        """Send one message; waits while the reader is far behind.

        Raises:
            OSError: if there is no reader any more.
        """
        left = memoryview(_LENGTH.pack(len(message)) + message)
        with self._lock:
            while left:
                left = left[os.write(self._connection.fileno(), left) :]

    def receive(self, timeout_seconds: float) -> list[bytes]:
        """The messages that have come; waits at most so long for something of them.

        Raises:
            EOFError: if the other end is closed; what was sent whole before has been received.
        """
        is_open = True
        while is_open and self._connection.poll(timeout_seconds):
            data = self._read()
            self._unread += data
            is_open, timeout_seconds = bool(data), 0.0
        messages = []
        while (end := self._end_of_first()) <= len(self._unread):
            messages.append(bytes(self._unread[_LENGTH.size : end]))
            del self._unread[:end]
        if not is_open and not messages:
            raise EOFError
        return messages

    def _read(self) -> bytes:
        try:
            return os.read(self._connection.fileno(), 1 << 20)
        except ConnectionError:  # the other end was closed before it had read all
            return b""

    def _end_of_first(self) -> int:
        """Where the first unread message ends, as far as can be told; beyond what is here if it is not whole."""
        if len(self._unread) < _LENGTH.size:
            return _LENGTH.size
        return _LENGTH.size + int(_LENGTH.unpack_from(self._unread)[0])

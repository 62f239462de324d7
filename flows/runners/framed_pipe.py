"""Length-prefixed messages over a pipe between two processes, safe against a peer that is killed in mid-message.

multiprocessing's own connections are not safe: they wait for the rest of a message as long as any process, such as one
that was forked meanwhile, holds the other end open.
"""

import os
import struct
import threading
from multiprocessing.connection import Connection

_LENGTH = struct.Struct(">Q")


class FramedPipe:
    """One end of the pipe: any thread may send, but only one may receive.

    Args:
        connection: a bidirectional connection; its descriptor is closed when it is garbage-collected.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._unread = bytearray()

    def send(self, message: bytes) -> None:
        """Send one message; blocks while the pipe is full because the reader is behind.

        Raises:
            OSError: if the other end is closed.
        """
        left = memoryview(_LENGTH.pack(len(message)) + message)
        with self._lock:
            while left:
                left = left[os.write(self._connection.fileno(), left) :]

    def receive(self, timeout_seconds: float) -> list[bytes]:
        """Return the complete messages that have arrived; waits for data for at most `timeout_seconds`.

        Raises:
            EOFError: if the other end is closed and every message that it sent completely has been returned.
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
        """Return the index after the first unread message, which is beyond the buffer if the message is incomplete.

        If not even its length has arrived, this is the size of the length prefix.
        """
        if len(self._unread) < _LENGTH.size:
            return _LENGTH.size
        return _LENGTH.size + int(_LENGTH.unpack_from(self._unread)[0])

"""stdout and stderr that outlive their reader, and show what they cannot spell as escapes.

`nst run ... --json-lines | head -1` goes on to its end; a name in Greek does not end a command in a Latin-1 terminal.
"""

import errno
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from flows.environment import show_own_lines
from flows.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console


class _Lasting(io.FileIO):
    """Drops what nobody takes any more, so that nothing is left to complain of at the interpreter's end.

    Args:
        descriptor: of the stream.
        is_told: whether it must not be missed that the stream is cut short, as by a full disk; said once.
    """

    def __init__(self, descriptor: int, *, is_told: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._is_told, self._is_gone = is_told, False

    def write(self, data: "ReadableBuffer", /) -> int:
        """As a file's."""
        size = memoryview(data).nbytes
        if self._is_gone:
            return size
        try:
            return super().write(data)
        except OSError as error:
            self._is_gone = True
            if self._is_told and error.errno != errno.EPIPE:
                raise StorageError(f"stdout: {error.strerror}") from error
            return size


def outlive_readers() -> None:
    """Have this process go on quietly when whoever reads its stdout or stderr leaves."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _lasting(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed from the start, or another's
        return stream
    raw = _Lasting(stream.fileno(), is_told=stream is sys.stdout)
    by_line = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=by_line)


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Prints the log as Prefect's handler does, which is not made where there is one already.

    Attributes:
        console: of a live display, while there is one: what is printed through it stands above that.
    """

    console: "Console | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        """As a stream's."""
        if self.console is None:
            super().emit(record)
            return
        try:
            self.console.print(self.format(record), soft_wrap=True)
        except Exception:  # noqa: BLE001  # as a stream's: a line that cannot be printed is no matter of whoever logs
            self.handleError(record)


@contextmanager
def logged_to_terminal(level: int) -> Iterator[None]:
    """Print the log for as long as the block lasts, before Prefect is there as well as after."""
    handler = TerminalHandler()
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    show_own_lines()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)

"""Standard streams that are always open, survive a closed pipe and escape what they cannot encode; the terminal's log.

`nst run ... --json-lines | head -1` runs to its end, and a Greek name does not end a command in a Latin-1 terminal.
"""

import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import typer

from flows.environment import show_own_lines
from flows.errors import StorageError
from flows.wording import csv_safe

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console


class _SurvivingFile(io.FileIO):
    """A file that discards all further data after a failed write, so that the interpreter's last flush cannot fail.

    Args:
        descriptor: the stream's file descriptor.
        raises: whether the first failed write, unless it is due to a closed pipe, raises an error, so that output cut
            short by, for example, a full disk is noticed.
    """

    def __init__(self, descriptor: int, *, raises: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._raises, self._has_failed = raises, False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write data, or discard it after a failed write.

        Raises:
            StorageError: the first failed write.
        """
        size = memoryview(data).nbytes
        if self._has_failed:
            return size
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            if self._raises and error.errno != errno.EPIPE:
                raise StorageError(f"stdout: {error.strerror}") from error
            return size


def open_closed_streams() -> None:
    """Open the null device as each standard stream that is closed, as after `2>&-`.

    Python sets a stream that is closed to None. Its file descriptor would go to the next file that is opened, and what
    a subprocess writes to that stream would end up in that file.
    """
    for descriptor, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # gets the lowest free descriptor, which is this one
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            # On the stream's own descriptor, which stays open: whatever wraps the stream later may outlive this object.
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def outlive_readers() -> None:
    """Make stdout and stderr survive a reader that closes the pipe."""
    sys.stdout, sys.stderr = _surviving(sys.stdout), _surviving(sys.stderr)


def _surviving(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # replaced by other code
        return stream
    raw = _SurvivingFile(stream.fileno(), raises=stream is sys.stdout)
    by_line = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=by_line)


def print_csv(data: bytes) -> None:
    """Print CSV on stdout; on a terminal with control characters escaped, as its cells may be anybody's.

    A file or a program gets the bytes as they are.
    """
    if sys.stdout.isatty():
        data = csv_safe(data.decode(errors="replace")).encode()
    stream = typer.get_binary_stream("stdout")
    stream.write(data)
    stream.flush()


class TerminalHandler(logging.StreamHandler[TextIO]):
    """A handler that prints the log as Prefect's handler does; Prefect adds none if the logger has one already.

    Attributes:
        console: the console of the live display while there is one; lines printed through it appear above the display.
    """

    console: "Console | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record through the live display's console, or to the stream if there is none."""
        if self.console is None:
            super().emit(record)
            return
        try:
            self.console.print(self.format(record), soft_wrap=True)
        except Exception:  # noqa: BLE001  # as in StreamHandler: code that logs must not fail for this
            self.handleError(record)


@contextmanager
def logged_to_terminal(level: int) -> Iterator[None]:
    """Print the log during the block, both before and after Prefect is imported."""
    handler = TerminalHandler()
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    show_own_lines()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)

"""stdout and stderr that outlive their reader: `nst run ... --json-lines | head -1` goes on to its end."""

import errno
import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Unread(io.FileIO):
    """A stream that drops what nobody takes any more, and so has nothing left to complain of at the interpreter's end.

    A full disk is told once; that output is cut short must not be missed.
    """

    _is_gone = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """As a file's."""
        size = memoryview(data).nbytes
        if self._is_gone:
            return size
        try:
            return super().write(data)
        except OSError as error:
            self._is_gone = True
            if error.errno != errno.EPIPE:
                raise
            return size


def outlive_readers() -> None:
    """Have this process go on quietly when whoever reads its stdout or stderr leaves."""
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)


def _lasting(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed from the start, or another's
        return stream
    raw = _Unread(stream.fileno(), "wb", closefd=False)
    by_line = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=by_line)

"""Read Parquet as a header and numbered rows of text, a bounded number of rows at a time. Knows nothing of pairs.

The file is read in a subprocess, which may neither take the memory of this machine nor crash this process.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from flows import interpreter
from flows.errors import ManifestError, WorkerDied
from flows.manifest.parquet_process import Request
from flows.manifest.table import TableRow, is_empty

MAGIC = b"PAR1"
ROWS_AT_ONCE = 10_000
MEMORY_BYTES = 1_000_000_000
"""The memory for reading a file, besides what its letters take; a file of a hundred thousand rows takes a tenth."""
BYTES_PER_LETTER = 4
"""The memory for each letter that a file may have: the text as it is read, as it is answered, and a copy of each."""
SECONDS = 300
"""The processor time for reading a file; one of a hundred million cells, the most by default, takes half of it."""

_PROGRAM = "from flows.manifest.parquet_process import main; main()"
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Keeps memory low: other allocators, and threads that have nothing to do, reserve more than they use."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)
"""The signals by which a library ends that read a damaged file."""


@dataclass(frozen=True)
class ParquetRows:
    """A Parquet file with its schema read; its rows are numbered from 1."""

    data: bytes
    name: str
    header: TableRow
    row_count: int
    max_bytes: int
    notes: tuple[str, ...] = ()
    is_guarded: bool = False

    def line_of_row(self, number: int) -> int | None:
        """See `Table`."""
        return number if number <= self.row_count else None

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:  # noqa: ARG002  # part of Table's interface
        """See `Table`."""
        number = 0
        with closing(_answers(self.data, self.name, self.max_bytes, ROWS_AT_ONCE)) as answers:
            next(answers)  # the schema, again
            for rows in answers:
                for number, cells in enumerate(rows, start=number + 1):  # noqa: B020  # numbering continues
                    if not is_empty(cells):
                        yield TableRow(number, cells)


def read_parquet(data: bytes, name: str, max_bytes: int) -> ParquetRows:
    """Read the schema of a Parquet file and return the file, ready for its rows to be read.

    Raises:
        ManifestError: the file is damaged, has a nested column, is larger than `max_bytes`, or takes too much memory or
            time to read.
        WorkerDied: no process to read it in could be started, or it was stopped.
    """
    with closing(_answers(data, name, max_bytes, 0)) as answers:
        schema = next(answers)
    return ParquetRows(data, name, TableRow(1, schema["titles"]), schema["rows"], max_bytes)


def _answers(data: bytes, name: str, max_bytes: int, rows_at_once: int) -> Generator[Any, None, None]:
    """Yield what a subprocess answers: the schema, then each part of the rows. It ends with the iteration."""
    is_bounded = max_bytes < sys.maxsize
    memory_bytes = MEMORY_BYTES + BYTES_PER_LETTER * max_bytes + len(data) if is_bounded else None
    request = Request(name, max_bytes, rows_at_once, memory_bytes, SECONDS)
    process = _started()
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(BrokenPipeError), process.stdin as requests:  # it has died: so it answers nothing
            requests.write(request.line())
            requests.write(data)
        for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # it has died while it was writing
            answer = json.loads(line)
            if answer == []:
                return
            if isinstance(answer, dict) and "refused" in answer:
                raise ManifestError(answer["refused"])
            yield answer
        raise _error_of(name, process.wait())
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _started() -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603  # our own program
            interpreter.command(_PROGRAM),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library that aborts says so there, in words that help nobody
            env=os.environ | _ENVIRONMENT,
        )
    except OSError as error:
        raise WorkerDied(f"no process to read Parquet in could be started: {error}") from error


def _error_of(name: str, code: int) -> Exception:
    """Return the error for a file during which the subprocess ended with an exit code.

    Only a crash is the fault of the file: a signal to stop, as to all processes of a service, says nothing about it.
    """
    if code == -signal.SIGXCPU:
        return ManifestError(
            f"{name}: expected a Parquet file that is read in {SECONDS} s, found one that takes longer"
        )
    if code == -signal.SIGKILL:
        return WorkerDied(f"{name}: the process that reads it was killed; there may be too little memory")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if -code in _CRASHES:
        return ManifestError(
            f"{name}: expected a Parquet file, found what cannot be read as one (its reader ends with {how})"
        )
    return WorkerDied(f"{name}: the process that reads it was stopped, or could not start ({how}); try again")

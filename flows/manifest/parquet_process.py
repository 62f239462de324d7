"""The subprocess that reads a Parquet file, within a limit on its memory and its processor time.

`flows.manifest.parquet_rows` starts it as a program of its own. A file of a kilobyte can unpack to hundreds of
gigabytes, whatever sizes its own metadata declares, and a damaged one may crash or block the library that reads it.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from flows.errors import ManifestError
from flows.manifest.cells import cell_of

UUID = "extension<arrow.uuid>"
"""The name of the UUID type: older versions of pyarrow have no class for it."""


@dataclass(frozen=True)
class Request:
    """What is asked of the process; the bytes of the file follow.

    Attributes:
        name: the name of the file in messages.
        max_bytes: the most bytes, letters and cells that the file may have.
        rows_at_once: how many rows are read and answered at a time; 0 if only the schema is wanted.
        memory_bytes: the most memory beyond that of the process before it reads the file; None for no limit.
        seconds: the most seconds of processor time.
    """

    name: str
    max_bytes: int
    rows_at_once: int
    memory_bytes: int | None
    seconds: int

    def line(self) -> bytes:
        """Return the line of JSON that precedes the bytes of the file."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Answer one request from stdin on stdout, in lines of JSON.

    The first line has the titles and the number of rows; then a line for each part of the rows, and an empty list. A
    line with `refused` is the last one.
    """
    responses = sys.stdout.buffer
    request = Request(**json.loads(sys.stdin.buffer.readline()))
    data = sys.stdin.buffer.read()
    with suppress(BrokenPipeError):  # nobody wants the rest
        try:
            _answer(responses, request, data)
        except ManifestError as error:
            _send(responses, {"refused": str(error)})
        except MemoryError:
            most = (request.memory_bytes or 0) / 1e9
            _send(
                responses,
                {
                    "refused": f"{request.name}: expected a Parquet file that is read in {most:.1f} GB of "
                    "memory, found one that takes more; split it"
                },
            )
        except Exception as error:  # noqa: BLE001  # any error means a damaged file: an intact one raises none
            _send(responses, {"refused": _unreadable(request.name, error)})
    os._exit(0)  # nothing is left to flush, and the exit of a library that read a damaged file may fail


def _answer(responses: BinaryIO, request: Request, data: bytes) -> None:
    from pyarrow import parquet  # noqa: F401  # before the limit is set, which is for what is read, not for the library

    _limit(request)
    file = _opened(data, request)
    titles = [field.name for field in file.schema_arrow]
    _send(responses, {"titles": titles, "rows": file.metadata.num_rows})
    if request.rows_at_once:
        for part in _parts(file, request):
            _send(responses, part)
    _send(responses, [])


def _send(responses: BinaryIO, answer: Any) -> None:
    responses.write(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    responses.flush()


def _limit(request: Request) -> None:
    _, most_seconds = resource.getrlimit(resource.RLIMIT_CPU)
    if most_seconds == resource.RLIM_INFINITY or request.seconds < most_seconds:
        # The second limit stays as it is: at it the system sends SIGKILL, which would look like too little memory.
        resource.setrlimit(resource.RLIMIT_CPU, (request.seconds, most_seconds))
    if request.memory_bytes is None:
        return
    with suppress(OSError, ValueError), open("/proc/self/statm", "rb") as file:  # only Linux has it
        used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + request.memory_bytes, used + request.memory_bytes))


def _opened(data: bytes, request: Request) -> Any:
    """Return the file with its schema read.

    Raises:
        ManifestError: it has a nested column, or declares more than `max_bytes`.
    """
    import pyarrow as pa  # late: it is imported in this process alone
    from pyarrow import parquet

    plain = parquet.ParquetFile(pa.BufferReader(data))
    texts = [field.name for field in plain.schema_arrow if pa.types.is_string(field.type)]
    # With dictionary encoding, a text that occurs in many rows is held in memory once.
    file = parquet.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    metadata, fields = file.metadata, list(file.schema_arrow)
    if nested := next((field for field in fields if pa.types.is_nested(field.type)), None):
        raise ManifestError(f"{request.name}: column {nested.name!a}: expected texts or numbers, found {nested.type}")
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if max(unpacked, metadata.num_rows * len(fields)) > request.max_bytes:
        raise ManifestError(
            f"{request.name}: expected at most {request.max_bytes:,} bytes and cells when unpacked, found more; split "
            "it"
        )
    return file


def _parts(file: Any, request: Request) -> Iterator[list[tuple[str, ...]]]:
    """Yield the rows, a number of them at a time.

    Raises:
        ManifestError: a column is no text, or the rows have more than `max_bytes` letters.
    """
    letters = 0
    for batch in file.iter_batches(request.rows_at_once, use_threads=False):
        names = zip(batch.schema.names, batch.columns, strict=True)
        columns = [_cells_of(title, column, request.name) for title, column in names]
        letters += sum(len(cell) for column in columns for cell in column)
        if letters > request.max_bytes:
            raise ManifestError(f"{request.name}: expected at most {request.max_bytes:,} letters, found more; split it")
        if rows := list(zip(*columns, strict=True)):
            yield rows


def _cells_of(title: str, column: Any, name: str) -> list[str]:
    import pyarrow as pa  # late, as in `_opened`

    try:
        return _cells(column)
    except pa.ArrowInvalid as error:  # binary columns are read as text if they are valid UTF-8
        raise ManifestError(
            f"{name}: column {title!a}: expected texts or numbers, found {column.type} that is no text;"
            " leave it out, or write it as text"
        ) from error


def _cells(column: Any) -> list[str]:
    import pyarrow as pa  # late, as in `_opened`

    if pa.types.is_dictionary(column.type):
        words = _cells(column.dictionary)
        return ["" if index is None else words[index] for index in column.indices.to_pylist()]
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind) or str(kind) == UUID):
        column = column.cast(pa.string())
    return [cell_of(value) for value in column.to_pylist()]


def _unreadable(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{name}: expected a Parquet file, found what cannot be read as one ({reason})"

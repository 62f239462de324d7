"""Read Parquet as a header and numbered rows of text, a bounded number of rows at a time. Knows nothing of pairs.

pyarrow is imported only when such a file is read.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flows.errors import ManifestError
from flows.manifest.cells import cell_of
from flows.manifest.table import TableRow, is_empty

MAGIC = b"PAR1"
ROWS_AT_ONCE = 10_000
UUID = "extension<arrow.uuid>"
"""The name of the UUID type: older versions of pyarrow have no class for it."""


@dataclass(frozen=True)
class ParquetRows:
    """A Parquet file with its schema read; its rows are numbered from 1."""

    file: Any
    name: str
    header: TableRow
    max_bytes: int
    notes: tuple[str, ...] = ()
    is_guarded: bool = False

    def line_of_row(self, number: int) -> int | None:
        """See `Table`."""
        return number if number <= self.file.metadata.num_rows else None

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:  # noqa: ARG002  # part of Table's interface
        """See `Table`."""
        number = letters = 0
        for columns in self._parts():
            letters += sum(len(cell) for column in columns for cell in column)
            if letters > self.max_bytes:
                raise ManifestError(f"{self.name}: expected at most {self.max_bytes:,} letters, found more; split it")
            for number, row in enumerate(zip(*columns, strict=True), start=number + 1):  # noqa: B020  # numbering continues
                cells = list(row)
                if not is_empty(cells):
                    yield TableRow(number, cells)

    def _parts(self) -> Iterator[list[list[str]]]:
        """Yield the cells of `ROWS_AT_ONCE` rows at a time, column by column."""
        with _readable(self.name):
            for batch in self.file.iter_batches(ROWS_AT_ONCE, use_threads=False):
                columns = zip(batch.schema.names, batch.columns, strict=True)
                yield [self._cells_of(title, column) for title, column in columns]

    def _cells_of(self, title: str, column: Any) -> list[str]:
        import pyarrow as pa  # late, as in read_parquet

        try:
            return _cells(column)
        except pa.ArrowInvalid as error:  # binary columns are read as text if they are valid UTF-8
            raise ManifestError(
                f"{self.name}: column {title!a}: expected texts or numbers, found {column.type} that is no text;"
                " leave it out, or write it as text"
            ) from error


def read_parquet(data: bytes, name: str, max_bytes: int) -> ParquetRows:
    """Read the schema of a Parquet file and return the file, ready for its rows to be read.

    Raises:
        ManifestError: the file is damaged, has a nested column, or is larger than `max_bytes`.
    """
    import pyarrow as pa  # late, as importing it takes longer than reading most manifests
    from pyarrow import parquet

    with _readable(name):
        plain = parquet.ParquetFile(pa.BufferReader(data))
        texts = [field.name for field in plain.schema_arrow if pa.types.is_string(field.type)]
        # With dictionary encoding, a text that occurs in many rows is held in memory once.
        file = parquet.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    metadata, fields = file.metadata, list(file.schema_arrow)
    if nested := next((field for field in fields if pa.types.is_nested(field.type)), None):
        raise ManifestError(f"{name}: column {nested.name!a}: expected texts or numbers, found {nested.type}")
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if max(unpacked, metadata.num_rows * len(fields)) > max_bytes:
        raise ManifestError(
            f"{name}: expected at most {max_bytes:,} bytes and cells when unpacked, found more; split it"
        )
    return ParquetRows(file, name, TableRow(1, [field.name for field in fields]), max_bytes)


def _cells(column: Any) -> list[str]:
    import pyarrow as pa  # late, as in read_parquet

    if pa.types.is_dictionary(column.type):
        words = _cells(column.dictionary)
        return ["" if index is None else words[index] for index in column.indices.to_pylist()]
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind) or str(kind) == UUID):
        column = column.cast(pa.string())
    return [cell_of(value) for value in column.to_pylist()]


@contextmanager
def _readable(name: str) -> Iterator[None]:
    import pyarrow as pa  # late, as in read_parquet

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ManifestError(f"{name}: expected a Parquet file, found what cannot be read as one ({reason})") from error

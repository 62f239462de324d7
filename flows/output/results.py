"""Builds the results table, one row per manifest row, from the ledger and the run's copy of the manifest alone.

`table_rows` does not need pandas, so that `nst status` starts at once; `write_tables` does.
"""

import codecs
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows import storage
from flows.output.ledger import Ledger, LedgerIndex
from flows.output.outcomes import Row, outcomes
from flows.records import layout
from flows.records.columns import REAL_NUMBERS, REPEATED_TEXTS, TIMES, WHOLE_NUMBERS, Status
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.spreadsheets import QUOTING_ENDS, UnixLines, as_plain_text

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 1000
"""How many rows of the table are formatted as CSV at once."""


def table_rows(manifest: Manifest, run: RunRecord, ledger: Ledger, index: LedgerIndex | None = None) -> list[Row]:
    """Return one row per manifest row, in the manifest's order; missing values are None."""
    return [outcome.row for outcome in outcomes(manifest, run, ledger, index)]


def counts(rows: list[Row]) -> dict[Status, int]:
    """Count the rows of each status."""
    numbers: dict[Status, int] = {"succeeded": 0, "failed": 0, "rejected": 0, "pending": 0}
    for row in rows:
        numbers[row["status"]] += 1
    return numbers


@dataclass(frozen=True)
class TableFiles:
    """The addresses of the table's files: `csv` is safe to open in a spreadsheet, `parquet` is exact."""

    csv: str
    parquet: str


def write_tables(rows: list[Row], output: str, check_hold: Callable[[], None] = lambda: None) -> TableFiles:
    """Write `results.csv` and `results.parquet` and return their addresses.

    Args:
        rows: the rows of the table.
        output: the address of the output.
        check_hold: raises OutputBusy if another run has taken over the output; called directly before the files are
            written, because building a large table takes a while.
    """
    import pandas as pd  # imported here, because it takes most of a second and `nst status` does not need it

    # The types are given, not inferred: they must not depend on the rows, and a seed may need all 63 bits.
    frame = pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=_dtype(name)) for name in rows[0]})
    csv, parquet = _csv(frame), _parquet(frame)
    written = TableFiles(storage.join(output, layout.RESULTS_CSV), storage.join(output, layout.RESULTS_PARQUET))
    check_hold()
    storage.replace(written.csv, csv)
    storage.replace(written.parquet, parquet)
    return written


def _csv(frame: "pd.DataFrame") -> bytes:
    """Return the table as CSV that is safe to open in a spreadsheet."""
    texts = [name for name in frame.columns if _dtype(name) == "string"]
    buffer = io.BytesIO()
    lines: Any = UnixLines(codecs.getwriter("utf-8")(buffer))
    # In parts: copying the whole table, and holding its text twice, would double the memory at the end of a large run.
    for first in range(0, len(frame), ROWS_AT_ONCE):
        part = frame.iloc[first : first + ROWS_AT_ONCE].copy()
        for name in texts:
            part[name] = part[name].map(as_plain_text, na_action="ignore")
        part.rename(columns=as_plain_text).to_csv(lines, index=False, header=first == 0, lineterminator=QUOTING_ENDS)
    return buffer.getvalue()


def _parquet(frame: "pd.DataFrame") -> bytes:
    """Return the table as Parquet; its column types are fixed, so that the tables of many runs can be concatenated."""
    import pandas as pd  # imported here for the same reason
    import pyarrow as pa
    from pyarrow import parquet

    for name in frame.columns.intersection([*TIMES]):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    for name in frame.columns.intersection([*REPEATED_TEXTS]):
        frame[name] = frame[name].astype("category")
    schema = pa.schema([(name, _arrow_type(name)) for name in frame.columns])
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False), buffer)
    return buffer.getvalue()


def _dtype(column: str) -> Any:
    if column in WHOLE_NUMBERS:
        return "Int64"
    return "Float64" if column in REAL_NUMBERS else "string"


def _arrow_type(column: str) -> Any:
    import pyarrow as pa  # imported here for the same reason

    if column in WHOLE_NUMBERS:
        return pa.int64()
    if column in REAL_NUMBERS:
        return pa.float64()
    if column in TIMES:
        return pa.timestamp("us", tz="UTC")  # Spark reads no finer resolution
    # The index type is fixed, so that it does not depend on how many different values a run has.
    return pa.dictionary(pa.int32(), pa.string()) if column in REPEATED_TEXTS else pa.string()

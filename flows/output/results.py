"""The results table: one row per manifest row, built from the ledger and the manifest's snapshot alone.

`table_rows` needs no pandas, so `nst status` starts at once; `write_tables` does.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows import storage
from flows.output.ledger import Ledger, LedgerIndex
from flows.output.outcomes import Row, outcomes
from flows.records import layout
from flows.records.columns import REAL_NUMBERS, REPEATED_TEXTS, TIMES, WHOLE_NUMBERS, Status
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.spreadsheets import as_plain_text

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 1000
"""Of the table, turned into text together."""


def table_rows(manifest: Manifest, run: RunRecord, ledger: Ledger, index: LedgerIndex | None = None) -> list[Row]:
    """One row per manifest row, in the manifest's order; a value that a row does not have is None."""
    return [outcome.row for outcome in outcomes(manifest, run, ledger, index)]


def counts(rows: list[Row]) -> dict[Status, int]:
    """How many rows there are of each status."""
    found: dict[Status, int] = {"succeeded": 0, "failed": 0, "rejected": 0, "pending": 0}
    for row in rows:
        found[row["status"]] += 1
    return found


@dataclass(frozen=True)
class TableFiles:
    """The addresses of the table: `csv` is safe to open in a spreadsheet, `parquet` is exact."""

    csv: str
    parquet: str


def write_tables(rows: list[Row], output: str) -> TableFiles:
    """Write `results.csv` and `results.parquet`."""
    import pandas as pd  # here, because it takes most of a second to import and `nst status` does without

    # Types are named, not guessed: they must not depend on which rows there are, and a seed may need all 63 bits.
    frame = pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=_dtype(name)) for name in rows[0]})
    written = TableFiles(storage.join(output, layout.RESULTS_CSV), storage.join(output, layout.RESULTS_PARQUET))
    texts = [name for name in rows[0] if _dtype(name) == "string"]
    buffer = io.BytesIO()
    # In parts: a copy of the whole table, and its text twice over, would double what the end of a large run takes.
    for first in range(0, len(frame), ROWS_AT_ONCE):
        part = frame.iloc[first : first + ROWS_AT_ONCE].copy()
        for name in texts:
            part[name] = part[name].map(as_plain_text, na_action="ignore")
        part.rename(columns=as_plain_text).to_csv(buffer, index=False, header=first == 0)
    storage.replace(written.csv, buffer.getvalue())
    storage.replace(written.parquet, _parquet(frame))
    return written


def _parquet(frame: "pd.DataFrame") -> bytes:
    """The table with a type for every column, the same whatever the rows: those of many runs can be read as one."""
    import pandas as pd  # as above
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
    import pyarrow as pa  # as above

    if column in WHOLE_NUMBERS:
        return pa.int64()
    if column in REAL_NUMBERS:
        return pa.float64()
    if column in TIMES:
        return pa.timestamp("us", tz="UTC")  # Spark reads no finer ones
    # Of one width, whether a run has three devices or a table a million styles.
    return pa.dictionary(pa.int32(), pa.string()) if column in REPEATED_TEXTS else pa.string()

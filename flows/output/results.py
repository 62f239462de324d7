"""The results table: one row per manifest row, built from the ledger and the manifest's snapshot alone.

`table_rows` needs no pandas, so `nst status` starts at once; `write_tables` does.
"""

import io
from typing import Any

from flows import storage
from flows.output.ledger import Ledger, LedgerIndex
from flows.output.outcomes import Row, outcomes
from flows.records import REAL_NUMBERS, WHOLE_NUMBERS, Manifest, RunRecord, Status
from flows.wording import as_plain_text

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


def write_tables(rows: list[Row], output: str) -> tuple[str, str]:
    """Write `results.csv`, safe to open in a spreadsheet, and `results.parquet`, exact; their addresses."""
    import pandas as pd  # here, because it takes most of a second to import and `nst status` does without

    # Types are named, not guessed: they must not depend on which rows there are, and a seed may need all 63 bits.
    frame = pd.DataFrame({name: pd.array([row[name] for row in rows], dtype=_dtype(name)) for name in rows[0]})
    csv_address, parquet_address = storage.join(output, "results.csv"), storage.join(output, "results.parquet")
    texts = [name for name in rows[0] if _dtype(name) == "string"]
    buffer = io.BytesIO()
    # In parts: a copy of the whole table, and its text twice over, would double what the end of a large run takes.
    for first in range(0, len(frame), ROWS_AT_ONCE):
        part = frame.iloc[first : first + ROWS_AT_ONCE].copy()
        for name in texts:
            part[name] = part[name].map(as_plain_text, na_action="ignore")
        part.rename(columns=as_plain_text).to_csv(buffer, index=False, header=first == 0)
    storage.replace(csv_address, buffer.getvalue())
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    storage.replace(parquet_address, buffer.getvalue())
    return csv_address, parquet_address


def _dtype(column: str) -> Any:
    if column in WHOLE_NUMBERS:
        return "Int64"
    return "Float64" if column in REAL_NUMBERS else "string"

"""The results table: one row per manifest row, built from the ledger and the manifest's snapshot alone.

`table_rows` needs no pandas, so `nst status` starts at once; `write_tables` does.
"""

import io
from array import array
from typing import Any

from flows import storage
from flows.output.ledger import Ledger, LedgerIndex, PairKey
from flows.records import RESULT_COLUMNS, LossSample, Manifest, PairRecord, PairSpec, RejectedRow, RunRecord, Status
from flows.wording import as_plain_text, printable

WHOLE_NUMBERS = ("row", "attempts", "steps", "evaluations", "width", "height", "seed")

REAL_NUMBERS = ("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "seconds")

Row = dict[str, Any]

ROWS_AT_ONCE = 1000
"""Of the table, turned into text together."""


def table_rows(manifest: Manifest, run: RunRecord, ledger: Ledger, index: LedgerIndex | None = None) -> list[Row]:
    """One row per manifest row, in the manifest's order; a value that a row does not have is None."""
    index = index or ledger.index()
    keys: dict[str, PairKey] = {pair_id: (pair_id, fingerprint) for pair_id, fingerprint in run.fingerprints.items()}
    finished = index.done & set(keys.values())
    failed = [(key, index.attempts[key]) for key in keys.values() if key in index.attempts and key not in finished]
    attempts = dict(
        zip([key for key, _ in failed], storage.each(lambda one: ledger.read_attempt(*one), failed), strict=True)
    )

    columns = (*RESULT_COLUMNS, *manifest.extra_columns)

    def completed(row: Row) -> Row:
        return {column: row.get(column) for column in columns}

    rows = [completed(_rejected_row(row, manifest.extra_columns, run.run_id)) for row in manifest.rejected]
    for spec in manifest.pairs:
        key = keys[spec.pair_id]
        row = _pair_row(spec, run.run_id)
        if key in finished:
            row |= _record_columns(ledger.read_record(key, index))
        elif key in index.imageless:
            row |= {"error_kind": "image_missing", "error": "its image is gone: run again to have it made anew"}
        elif key in attempts:
            failure = attempts[key]
            row |= {
                "status": "failed",
                "error_kind": failure.error_kind,
                "error": failure.error,
                "run_id": failure.run_id,
            }
            row |= {"attempts": failure.attempt, "seconds": failure.seconds, "device": failure.device}
            row |= {"started_at": failure.started_at, "finished_at": failure.finished_at}
        rows.append(completed(row))
    return sorted(rows, key=lambda row: row["row"])


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


def write_history(run: RunRecord, output: str, ledger: Ledger, index: LedgerIndex) -> str:
    """Write `history.parquet`, the loss histories of all finished pairs of a run's manifest; its address."""
    import numpy as np  # here, as in `write_tables`
    import pandas as pd

    keys = sorted(index.done & {(pair_id, fingerprint) for pair_id, fingerprint in run.fingerprints.items()})
    whole_numbers = ("level", "step", "evaluation")
    # Plain arrays, not a tuple per sample: of ten thousand pairs there are hundreds of thousands.
    samples = {name: array("i" if name in whole_numbers else "d") for name in LossSample._fields}
    lengths = [0] * len(keys)
    for place, key in enumerate(keys):
        for sample in ledger.read_record(key, index).history:
            lengths[place] += 1
            for name, values in samples.items():
                values.append(getattr(sample, name))
    names = {"pair_id": [pair_id for pair_id, _ in keys], "fingerprint": [fingerprint for _, fingerprint in keys]}
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype="str").repeat(lengths).array for name, values in names.items()}
        | {name: np.frombuffer(values, values.typecode) for name, values in samples.items()}
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    address = storage.join(output, "history.parquet")
    storage.replace(address, buffer.getvalue())
    return address


def _dtype(column: str) -> Any:
    if column in WHOLE_NUMBERS:
        return "Int64"
    return "Float64" if column in REAL_NUMBERS else "string"


def _rejected_row(rejected: RejectedRow, extra_columns: tuple[str, ...], run_id: str) -> Row:
    # Not its options: their columns hold numbers, and what stands there may be why the row was rejected.
    titles = {title.strip(): title for title in rejected.cells if title not in extra_columns}
    row: Row = {title: rejected.cells.get(title) for title in extra_columns}
    row |= {name: rejected.cells[titles[name]] for name in ("content", "style") if name in titles}
    row["pair_id"] = rejected.cells[titles["id"]] if "id" in titles else None
    row |= {"run_id": run_id, "row": rejected.row, "status": "rejected", "error_kind": rejected.kind, "attempts": 0}
    row["error"] = rejected.reason()
    return {name: printable(value) if isinstance(value, str) else value for name, value in row.items()}


def _pair_row(spec: PairSpec, run_id: str) -> Row:
    row: Row = dict(spec.extra)
    row |= {"run_id": run_id, "pair_id": spec.pair_id, "row": spec.row}
    row |= {"content": spec.content_cell or spec.content, "style": spec.style_cell or spec.style}
    row |= {"status": "pending", "attempts": 0, "recipe": spec.options.recipe, "seed": spec.options.seed}
    return row | {"options_digest": spec.options.digest()}


def _record_columns(record: PairRecord) -> Row:
    # By name, and no more: the manifest's own columns may be called as any other field is.
    values = record.model_dump(include=set(RESULT_COLUMNS) - {"content", "style"})
    return values | {"status": "succeeded"}

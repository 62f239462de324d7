"""Joins each row of a manifest with its record or failed attempt. All records are parsed here, each of them once.

A parsed record takes a hundred times the memory of its row in the table, so the outcomes come from a generator, and
callers keep only what they need of each.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flows import storage
from flows.output.ledger import Ledger, LedgerIndex, PairKey
from flows.records import layout
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.columns import RESULT_COLUMNS
from flows.records.pairs import Manifest, PairSpec, RejectedRow
from flows.records.runs import RunRecord
from flows.wording import csv_safe, printable

Row = dict[str, Any]
"""A row of the results table: column -> value, None where the row has no value."""
_FROM_RECORD = tuple(name for name in RESULT_COLUMNS if name in PairRecord.model_fields.keys() - {"content", "style"})
"""The columns that are copied from a record's fields. Listed explicitly, because the manifest's own columns may have
the name of any other field."""
_IMAGE = re.compile(rf"{layout.IMAGES}/[A-Za-z0-9._-]+")
"""Pattern of a record's `output`: a record with any other value is never linked to, read or copied."""
_FROM_ATTEMPT = ("error_kind", "error", "run_id", "seconds", "device", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one manifest row.

    Attributes:
        row: its row of the results table.
        spec: its pair; None if the row was rejected.
        record: the record of its pair; None unless the pair is done.
    """

    row: Row
    spec: PairSpec | None = None
    record: PairRecord | None = None

    @property
    def image(self) -> str | None:
        """The image's path relative to the output; None unless the pair is done."""
        return self.record.output if self.record and _IMAGE.fullmatch(self.record.output) else None


def outcomes(manifest: Manifest, run: RunRecord, ledger: Ledger, index: LedgerIndex | None = None) -> Iterator[Outcome]:
    """Yield the outcome of every row, in the manifest's order.

    Args:
        manifest: the manifest of the run.
        run: the run's plan, with the fingerprint of every pair.
        ledger: the ledger of the output.
        index: the ledger's index, if the caller has it already.

    Raises:
        OutputError: if a record is damaged.
    """
    index = index or ledger.index()
    keys: dict[str, PairKey] = {pair_id: (pair_id, fingerprint) for pair_id, fingerprint in run.fingerprints.items()}
    attempts = _latest_attempts(keys, ledger, index)
    columns = dict.fromkeys((*RESULT_COLUMNS, *manifest.extra_columns))
    rows: list[PairSpec | RejectedRow] = [*manifest.pairs, *manifest.rejected]
    for manifest_row in sorted(rows, key=lambda entry: entry.row):
        if isinstance(manifest_row, RejectedRow):
            yield Outcome(columns | _rejected_row(manifest_row, manifest.extra_columns, run.run_id))
            continue
        # An earlier version may have rejected a row that this one accepts: the run has no fingerprint of it, and the
        # row is pending.
        key = keys.get(manifest_row.pair_id, (manifest_row.pair_id, ""))
        record = ledger.read_record(key, index) if key in index.done else None
        row = columns | _pair_row(manifest_row, run.run_id)
        if record is not None:
            row |= {name: getattr(record, name) for name in _FROM_RECORD} | {"status": "succeeded"}
            row["version_ids"] = json.dumps(record.versions) if record.versions else None
            row["picture_warnings"] = "; ".join(map(printable, record.notes)) or None
        elif key in index.imageless:
            row |= {"error_kind": "image_missing", "error": "its image is gone: run again to compute it again"}
        elif key in attempts:
            row |= _attempt_columns(attempts[key])
        yield Outcome(row, manifest_row, record)


def _latest_attempts(keys: dict[str, PairKey], ledger: Ledger, index: LedgerIndex) -> dict[PairKey, AttemptRecord]:
    """Return the latest failed attempt of each pair that is not done."""
    failed = [key for key in keys.values() if key in index.attempts and key not in index.done]
    return dict(
        zip(failed, storage.each(lambda key: ledger.read_attempt(key, index.attempts[key]), failed), strict=True)
    )


def _rejected_row(rejected: RejectedRow, extra_columns: tuple[str, ...], run_id: str) -> Row:
    # Its options are left empty: their columns hold numbers, and the bad cell may be one of them.
    titles = {title.strip(): title for title in rejected.cells if title not in extra_columns}
    row: Row = {title: rejected.cells.get(title) for title in extra_columns}
    row |= {name: rejected.cells[titles[name]] for name in ("content", "style") if name in titles}
    row["pair_id"] = rejected.cells[titles["id"]] if "id" in titles else None
    row |= {"run_id": run_id, "row": rejected.row, "status": "rejected", "error_kind": rejected.kind, "attempts": 0}
    row = {name: csv_safe(value) if isinstance(value, str) else value for name, value in row.items()}
    return row | {"error": printable(rejected.reason())}


def _pair_row(spec: PairSpec, run_id: str) -> Row:
    row: Row = dict(spec.extra)
    row |= {"run_id": run_id, "pair_id": spec.pair_id, "row": spec.row}
    row |= {"content": spec.content_cell or spec.content, "style": spec.style_cell or spec.style}
    row |= {"status": "pending", "attempts": 0, "recipe": spec.options.recipe, "seed": spec.options.seed}
    row |= {"steps_asked": spec.options.steps, "quality": spec.options.quality}
    return row | {"options_digest": spec.options.digest()}


def _attempt_columns(attempt: AttemptRecord) -> Row:
    columns = {name: getattr(attempt, name) for name in _FROM_ATTEMPT}
    return columns | {"status": "failed", "attempts": attempt.attempt, "error": printable(attempt.error)}

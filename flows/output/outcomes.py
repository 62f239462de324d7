"""What became of each row of a manifest, from the ledger alone. Every finished record is parsed here, once.

A record takes a hundred times the memory of its row: whoever asks goes through the outcomes one by one, and keeps what
it needs.
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
from flows.wording import in_csv, printable

Row = dict[str, Any]
"""Of the results table: column -> value; one that a row does not have is None."""
_FROM_RECORD = tuple(name for name in RESULT_COLUMNS if name in PairRecord.model_fields.keys() - {"content", "style"})
"""By name, and no more: the manifest's own columns may be called as any other field is."""
_IMAGE = re.compile(rf"{layout.IMAGES}/[A-Za-z0-9._-]+")
"""What a record's `output` looks like: nothing else is ever made a link, read or copied."""
_FROM_ATTEMPT = ("error_kind", "error", "run_id", "seconds", "device", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row.

    Attributes:
        row: its row of the results table.
        spec: its pair; None where it was rejected.
        record: of a pair that is done; None of any other.
    """

    row: Row
    spec: PairSpec | None = None
    record: PairRecord | None = None

    @property
    def image(self) -> str | None:
        """Where its image is, relative to the output prefix; None unless it is done."""
        return self.record.output if self.record and _IMAGE.fullmatch(self.record.output) else None


def outcomes(manifest: Manifest, run: RunRecord, ledger: Ledger, index: LedgerIndex | None = None) -> Iterator[Outcome]:
    """What became of every row, in the manifest's order.

    Raises:
        OutputError: if a record is damaged.
    """
    index = index or ledger.index()
    keys: dict[str, PairKey] = {pair_id: (pair_id, fingerprint) for pair_id, fingerprint in run.fingerprints.items()}
    attempts = _latest_attempts(keys, ledger, index)
    columns = dict.fromkeys((*RESULT_COLUMNS, *manifest.extra_columns))
    rows: list[PairSpec | RejectedRow] = [*manifest.pairs, *manifest.rejected]
    for one in sorted(rows, key=lambda row: row.row):
        if isinstance(one, RejectedRow):
            yield Outcome(columns | _rejected_row(one, manifest.extra_columns, run.run_id))
            continue
        # An earlier version may have refused a row that is read as a pair now: that one is pending.
        key = keys.get(one.pair_id, (one.pair_id, ""))
        record = ledger.read_record(key, index) if key in index.done else None
        row = columns | _pair_row(one, run.run_id)
        if record is not None:
            row |= {name: getattr(record, name) for name in _FROM_RECORD} | {"status": "succeeded"}
            row["version_ids"] = json.dumps(record.versions) if record.versions else None
            row["picture_warnings"] = "; ".join(map(printable, record.notes)) or None
        elif key in index.imageless:
            row |= {"error_kind": "image_missing", "error": "its image is gone: run again to have it made anew"}
        elif key in attempts:
            row |= _attempt_columns(attempts[key])
        yield Outcome(row, one, record)


def _latest_attempts(keys: dict[str, PairKey], ledger: Ledger, index: LedgerIndex) -> dict[PairKey, AttemptRecord]:
    """The latest failed attempt at each pair that is not done."""
    failed = [key for key in keys.values() if key in index.attempts and key not in index.done]
    return dict(
        zip(failed, storage.each(lambda key: ledger.read_attempt(key, index.attempts[key]), failed), strict=True)
    )


def _rejected_row(rejected: RejectedRow, extra_columns: tuple[str, ...], run_id: str) -> Row:
    # Not its options: their columns hold numbers, and what stands there may be why the row was rejected.
    titles = {title.strip(): title for title in rejected.cells if title not in extra_columns}
    row: Row = {title: rejected.cells.get(title) for title in extra_columns}
    row |= {name: rejected.cells[titles[name]] for name in ("content", "style") if name in titles}
    row["pair_id"] = rejected.cells[titles["id"]] if "id" in titles else None
    row |= {"run_id": run_id, "row": rejected.row, "status": "rejected", "error_kind": rejected.kind, "attempts": 0}
    row = {name: in_csv(value) if isinstance(value, str) else value for name, value in row.items()}
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

"""Builders of complete, plausible values of the flow's types, of which tests change what they need."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows import storage
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.pairs import PairSpec
from flows.records.plans import PlannedPair
from flows.records.runs import RunRecord
from nst_core.options import StylizeOptions

Painter = Callable[..., str]
"""What the fixtures `photo` and `style` are: (name, width, height, seed) -> address of a new image."""
FINGERPRINT = "0123456789abcdef0123"
OTHER_FINGERPRINT = "fedcba98765432100000"


def pair_spec(row: int = 2, content: str = "/in/cat.png", style: str = "/in/waves.png", **changes: Any) -> PairSpec:
    """Return a pair of the manifest's line `row`; `options=dict(...)` are StylizeOptions by name."""
    options = StylizeOptions(**changes.pop("options", {})).resolved()
    return PairSpec(row, changes.pop("pair_id", f"pair-{row}"), content, style, options, **changes)


def planned(spec: PairSpec, attempt: int = 1) -> PlannedPair:
    """Return a pair as it is planned with its files as they are now."""
    identities = [storage.identity(address) or "missing" for address in (spec.content, spec.style)]
    others = {column: storage.identity(address) or "missing" for column, address in spec.others.items()}
    return PlannedPair(spec, *identities, FINGERPRINT, attempt, others)


def pair_record(pair_id: str = "cat", fingerprint: str = FINGERPRINT, **changes: Any) -> PairRecord:
    """Return the record of a finished pair."""
    options = StylizeOptions(size_px=64).resolved()
    values: dict[str, Any] = {
        "pair_id": pair_id,
        "fingerprint": fingerprint,
        "run_id": "20260101T000000Z-000001",
        "content": "/in/cat.png",
        "style": "/in/waves.png",
        "output": f"images/{pair_id}-01234567.png",
        "attempts": 1,
        "total_loss": 0.1 + 0.2,
        "content_loss": 1e-7,
        "style_loss": 12345.678901234567,
        "tv_loss": 0.0,
        "initial_total_loss": 3.5,
        "steps": 20,
        "evaluations": 23,
        "stop_reason": "plateau",
        "width": 64,
        "height": 48,
        "seconds": 1.25,
        "device": "cpu",
        "precision": "fp32",
        "backbone": "vgg19",
        "weights_sha256": "ab" * 32,
        "recipe": options.recipe,
        "options_digest": options.digest(),
        "options": options,
        "seed": 7,
        "content_sha256": "0a" * 32,
        "style_sha256": "2b" * 32,
        "output_sha256": "4c" * 32,
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:02+00:00",
        "engine_version": "0.1.0",
        "notes": ("content: transparency laid over white",),
    }
    return PairRecord.model_validate(values | changes)


def attempt_record(pair_id: str = "cat", fingerprint: str = FINGERPRINT, **changes: Any) -> AttemptRecord:
    """Return the record of a failed attempt."""
    values: dict[str, Any] = {
        "pair_id": pair_id,
        "fingerprint": fingerprint,
        "run_id": "20260101T000000Z-000001",
        "attempt": 1,
        "error_kind": "bad_image",
        "error": "/in/cat.png: expected a whole PNG",
        "retryable": False,
        "seconds": 0.5,
        "device": "cpu",
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:01+00:00",
    }
    return AttemptRecord.model_validate(values | changes)


def run_record(fingerprints: dict[str, str] | None = None, **changes: Any) -> RunRecord:
    """Return the record of a run: what it was asked to do."""
    values: dict[str, Any] = {
        "run_id": "20260102T000000Z-000002",
        "manifest_uri": "/in/pairs.csv",
        "manifest_sha256": "6d" * 32,
        "options": StylizeOptions(size_px=64, steps=20),
        "settings": {"device": "cpu"},
        "backbone": "vgg19",
        "weights_sha256": "ab" * 32,
        "engine_version": "0.1.0",
        "device": "cpu",
        "precision": "fp32",
        "started_at": "2026-01-02T00:00:00+00:00",
        "fingerprints": fingerprints or {},
    }
    return RunRecord.model_validate(values | changes)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, as other tools print it."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def commit_with_image(output: str, record: PairRecord) -> None:
    """Commit a pair as a run does: write its image, then its record."""
    storage.replace(storage.join(output, record.output), b"an image of " + record.pair_id.encode())
    Ledger(output).commit(record)

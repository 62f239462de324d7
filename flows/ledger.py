"""OUT/_nst: the durable truth of what was asked, what is done and what failed.

    _nst/runs/<run_id>/manifest.csv                      what was asked, byte for byte
    _nst/runs/<run_id>/plan.json                         with which options, and the fingerprint of every pair
    _nst/records/<pair_id>-<fingerprint>.json            create-only: THE commit of a pair, after its image
    _nst/attempts/<pair_id>-<fingerprint>-<n>.json       every failed attempt with its reason

Knows nothing of torch, prefect or tables.
"""

import re
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from flows import storage
from flows.errors import OutputError
from flows.records import AttemptRecord, PairRecord, PlannedPair, RunRecord

Kind = TypeVar("Kind", bound=BaseModel)

PairKey = tuple[str, str]
"""(pair id, fingerprint)."""

_RECORD = re.compile(r"(.+)-([0-9a-f]{20})\.json")
_ATTEMPT = re.compile(r"(.+)-([0-9a-f]{20})-(\d+)\.json")


@dataclass(frozen=True)
class LedgerIndex:
    """Which pairs have a record, and how many failed attempts; from the names of files alone."""

    done: frozenset[PairKey] = frozenset()
    attempts: dict[PairKey, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ledger:
    """The `_nst` folder below an output prefix."""

    output: str

    def index(self) -> LedgerIndex:
        """What is done and what failed, from two listings."""
        records = map(_RECORD.fullmatch, storage.names(storage.join(self.output, "_nst", "records")))
        done = frozenset((found[1], found[2]) for found in records if found)
        attempts: dict[PairKey, int] = {}
        for found in map(_ATTEMPT.fullmatch, storage.names(storage.join(self.output, "_nst", "attempts"))):
            if found:
                key = (found[1], found[2])
                attempts[key] = max(attempts.get(key, 0), int(found[3]))
        return LedgerIndex(done, attempts)

    def commit(self, record: PairRecord) -> PairRecord:
        """Make the record of a finished pair; if another run was first, its record stands and is returned."""
        address = self._record_address((record.pair_id, record.fingerprint))
        created = storage.create(address, record.model_dump_json(indent=1).encode())
        return record if created else self.read_record((record.pair_id, record.fingerprint))

    def read_record(self, key: PairKey) -> PairRecord:
        """The record of a finished pair."""
        return _parsed(PairRecord, self._record_address(key))

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """Keep a failed attempt. Two runs that number theirs alike keep one of the two."""
        name = f"{attempt.pair_id}-{attempt.fingerprint}-{attempt.attempt}.json"
        storage.create(storage.join(self.output, "_nst", "attempts", name), attempt.model_dump_json(indent=1).encode())

    def read_attempt(self, key: PairKey, number: int) -> AttemptRecord:
        """A failed attempt."""
        name = f"{key[0]}-{key[1]}-{number}.json"
        return _parsed(AttemptRecord, storage.join(self.output, "_nst", "attempts", name))

    def start_run(self, run: RunRecord, manifest: bytes) -> None:
        """Keep what a run was asked to do; the plan is written last, so a run with a plan is whole."""
        folder = storage.join(self.output, "_nst", "runs", run.run_id)
        storage.create(storage.join(folder, "manifest.csv"), manifest)
        storage.create(storage.join(folder, "plan.json"), run.model_dump_json(indent=1).encode())
        storage.replace(storage.join(self.output, "_nst", "latest_run"), run.run_id.encode())

    def latest_run(self) -> tuple[RunRecord, bytes]:
        """The latest run with the bytes of its manifest.

        Raises:
            OutputError: if nothing was ever run into this output.
        """
        marker = storage.join(self.output, "_nst", "latest_run")
        if storage.identity(marker) is None:
            raise OutputError(f"{self.output}: no run has been made into this output; expected {marker}")
        folder = storage.join(self.output, "_nst", "runs", storage.read(marker).decode())
        run = _parsed(RunRecord, storage.join(folder, "plan.json"))
        return run, storage.read(storage.join(folder, "manifest.csv"))

    def _record_address(self, key: PairKey) -> str:
        return storage.join(self.output, "_nst", "records", f"{key[0]}-{key[1]}.json")


def key_of(pair: PlannedPair) -> PairKey:
    """The key of a planned pair."""
    return pair.spec.pair_id, pair.fingerprint


def _parsed(kind: type[Kind], address: str) -> Kind:
    try:
        return kind.model_validate_json(storage.read(address))
    except ValidationError as error:
        raise OutputError(
            f"{address}: expected a {kind.__name__}, found something else (damaged, or of another version: "
            f"{error.error_count()} problems). Move it away to have its pair done again"
        ) from error

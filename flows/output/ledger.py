"""OUT/_nst: the durable truth of what was asked, what is done and what failed.

    _nst/runs/<run_id>/manifest.csv                      what was asked, byte for byte
    _nst/runs/<run_id>/plan.json                         with which options, and the fingerprint of every pair
    _nst/records/<pair_id>-<fingerprint>.json            create-only: THE commit of a pair, after its image
    _nst/attempts/<pair_id>-<fingerprint>-<n>.json       every failed attempt with its reason
    _nst/records_snapshot.jsonl.gz                       a copy of many records, to go on sooner; never the truth

Knows nothing of torch, prefect or tables.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flows import storage
from flows.errors import CredentialsExpired, NotFound, OutputError
from flows.output.snapshot import Copy, Snapshot, read_snapshot, write_snapshot
from flows.records import layout
from flows.records.attempts import FOR_GOOD_KINDS, AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.records.runs import RunRecord
from flows.wording import printable, shortened
from nst_core import __version__

Kind = TypeVar("Kind", bound=BaseModel)

PairKey = tuple[str, str]
"""(pair id, fingerprint)."""

_RECORD = re.compile(r"(.+)-([0-9a-f]{20})\.json")
_OUTPUT = re.compile(rf'"output": ?"{layout.IMAGES}/([A-Za-z0-9._-]+)"')
_TIMELINE = re.compile(rf'"timeline": ?"{layout.TIMELINES}/([A-Za-z0-9._-]+)"')
"""In a record's JSON. Thousands are looked at before a run starts; reading each as a whole would take seconds."""
WORTH_A_SNAPSHOT = 100
"""Records; fewer are read as fast as their copy."""
_ATTEMPT = re.compile(r"(.+)-([0-9a-f]{20})-(\d+)\.json")
_IN_WORDS: dict[type[BaseModel], tuple[str, str]] = {
    PairRecord: ("the record of a pair", "move it away to have its pair done again"),
    AttemptRecord: ("the record of a failed attempt", "move it away to have its pair tried again"),
    RunRecord: ("the plan of a run", "nst run MANIFEST --output OUT writes a new one"),
}
"""Each kind of file, and what to do about one that is damaged."""


@dataclass(frozen=True)
class LedgerIndex:
    """Which pairs are done, and how many failed attempts the others have.

    Attributes:
        done: pairs with a record and the image that it names.
        attempts: the number of the latest failed attempt.
        imageless: pairs whose record names an image that is not there: they are to be done again.
        copies: the records, by the names of their files.
        read_now: how many of them no snapshot had.
    """

    done: frozenset[PairKey] = frozenset()
    attempts: dict[PairKey, int] = field(default_factory=dict)
    imageless: frozenset[PairKey] = frozenset()
    copies: dict[str, Copy] = field(default_factory=dict)
    read_now: int = 0


@dataclass(frozen=True)
class FilesOfRecords:
    """The files that records name, without their folders."""

    images: frozenset[str]
    timelines: frozenset[str]


@dataclass(frozen=True)
class _Copies:
    """Records by the names of their files, and how many of them were in no snapshot and had to be read one by one."""

    by_name: dict[str, Copy]
    read_now: int


@dataclass(frozen=True)
class Ledger:
    """The `_nst` folder below an output prefix."""

    output: str

    def index(self) -> LedgerIndex:
        """What is done and what failed, from three listings and the records that no snapshot has."""
        found_records = self._copies()
        copies = found_records.by_name
        # After the records: a record that was listed had its image by then.
        images = set(storage.names(storage.join(self.output, layout.IMAGES)))
        keys = {name: (found[1], found[2]) for name in copies if (found := _RECORD.fullmatch(name))}
        imageless = frozenset(
            key for name, key in keys.items() if (image := _image_of(copies[name].text)) and image not in images
        )
        attempts: dict[PairKey, int] = {}
        for found in map(_ATTEMPT.fullmatch, storage.names(storage.join(self.output, layout.ATTEMPTS))):
            if found:
                key = (found[1], found[2])
                attempts[key] = max(attempts.get(key, 0), int(found[3]))
        done = frozenset(keys.values()) - imageless
        return LedgerIndex(done, attempts, imageless, copies, found_records.read_now)

    def files_of_records(self) -> FilesOfRecords:
        """The names of all files that a record names.

        Raises:
            OutputError: if a record is damaged.
        """
        copies = self._copies().by_name
        images = {name: _image_of(copy.text) for name, copy in copies.items()}
        damaged = [name for name, image in images.items() if image is None]
        if damaged:
            address = storage.join(self.output, layout.RECORDS, damaged[0])
            raise OutputError(_unreadable(PairRecord, address, copies[damaged[0]].text))
        timelines = [found[1] for copy in copies.values() if (found := _TIMELINE.search(copy.text))]
        return FilesOfRecords(frozenset(filter(None, images.values())), frozenset(timelines))

    def save_snapshot(self, index: LedgerIndex) -> None:
        """Keep a copy of all records in one file, if many of them are in none yet."""
        if index.read_now >= WORTH_A_SNAPSHOT:
            write_snapshot(self._snapshot_address(), index.copies)

    def _copies(self) -> _Copies:
        """Every record that is there."""
        folder = storage.join(self.output, layout.RECORDS)
        entries = [entry for entry in storage.entries(folder) if _RECORD.fullmatch(entry.name)]
        snapshot = read_snapshot(self._snapshot_address()) if len(entries) >= WORTH_A_SNAPSHOT else Snapshot()
        known = snapshot.current(entries)
        new = [entry for entry in entries if entry.name not in known]
        texts = storage.each(lambda entry: _text_or_none(storage.join(folder, entry.name)), new)
        known |= {
            entry.name: Copy(entry.version, text) for entry, text in zip(new, texts, strict=True) if text is not None
        }
        return _Copies(known, read_now=len(new))

    def _snapshot_address(self) -> str:
        return storage.join(self.output, layout.SNAPSHOT)

    def commit(self, record: PairRecord) -> PairRecord:
        """Make the record of a finished pair; if another run was first, its record stands and is returned."""
        address = self._record_address((record.pair_id, record.fingerprint))
        created = storage.create(address, record.model_dump_json().encode())
        return record if created else self.read_record((record.pair_id, record.fingerprint))

    def read_record(self, key: PairKey, index: LedgerIndex | None = None) -> PairRecord:
        """The record of a finished pair, from an index that has it or from its file."""
        address = self._record_address(key)
        copy = index.copies.get(storage.name_of(address)) if index else None
        return _parsed(PairRecord, address, copy.text if copy else None)

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """Keep a failed attempt. Two runs that number theirs alike keep one of the two.

        Raises:
            CredentialsExpired: if that is why it failed: then it was no attempt at the pair, which stays pending.
        """
        if attempt.error_kind == CredentialsExpired.kind:
            raise CredentialsExpired(attempt.error)
        name = f"{attempt.pair_id}-{attempt.fingerprint}-{attempt.attempt}.json"
        storage.create(storage.join(self.output, layout.ATTEMPTS, name), attempt.model_dump_json(indent=1).encode())

    def read_attempt(self, key: PairKey, number: int) -> AttemptRecord:
        """A failed attempt."""
        name = f"{key[0]}-{key[1]}-{number}.json"
        return _parsed(AttemptRecord, storage.join(self.output, layout.ATTEMPTS, name))

    def failed_for_good(self, keys: Iterable[PairKey], index: LedgerIndex) -> frozenset[PairKey]:
        """Those pairs whose latest attempt failed for good: another one with this fingerprint would only repeat it."""
        failed = [key for key in keys if key in index.attempts]
        return frozenset(
            key
            for key, is_settled in zip(failed, storage.each(partial(self._is_settled, index), failed), strict=True)
            if is_settled
        )

    def _is_settled(self, index: LedgerIndex, key: PairKey) -> bool:
        try:
            attempt = self.read_attempt(key, index.attempts[key])
        except (NotFound, OutputError):  # moved away, or damaged: it is tried
            return False
        # Earlier releases called more of them not retryable.
        return not attempt.retryable and attempt.error_kind in FOR_GOOD_KINDS

    def manifest_address(self, run_id: str) -> str:
        """Where the manifest of a run is kept, byte for byte and of whatever format."""
        return storage.join(self.output, layout.RUNS, run_id, "manifest.csv")

    def start_run(self, run: RunRecord, manifest: bytes) -> None:
        """Keep what a run was asked to do; the plan is written last, so a run with a plan is whole."""
        folder = storage.join(self.output, layout.RUNS, run.run_id)
        storage.create(self.manifest_address(run.run_id), manifest)
        storage.create(storage.join(folder, "plan.json"), run.model_dump_json(indent=1).encode())
        storage.replace(self._latest_address(), run.run_id.encode())

    def has_run(self) -> bool:
        """Whether anything was ever run into this output."""
        return storage.identity(self._latest_address()) is not None

    def latest_run(self) -> RunRecord:
        """What the latest run was asked to do.

        Raises:
            OutputError: if nothing was ever run into this output.
        """
        marker = self._latest_address()
        if not self.has_run():
            raise OutputError(f"{self.output}: no run has been made into this output; expected {marker}")
        folder = storage.join(self.output, layout.RUNS, storage.read(marker).decode())
        return _parsed(RunRecord, storage.join(folder, "plan.json"))

    def planned_here(self, pair_ids: Collection[str]) -> frozenset[str]:
        """Those of some pairs that any run ever made here had, as far as the plans can be read."""
        wanted = frozenset(pair_ids)
        plans = [one.name for one in storage.tree(storage.join(self.output, layout.RUNS))]
        addresses = [storage.join(self.output, layout.RUNS, name) for name in plans if name.endswith("/plan.json")]
        return frozenset().union(*storage.each(partial(_planned, wanted), addresses))

    def manifest_of(self, run_id: str) -> bytes:
        """The manifest of a run, byte for byte."""
        return storage.read(self.manifest_address(run_id))

    def _latest_address(self) -> str:
        return storage.join(self.output, layout.LATEST_RUN)

    def _record_address(self, key: PairKey) -> str:
        return storage.join(self.output, layout.RECORDS, f"{key[0]}-{key[1]}.json")


def key_of(pair: PlannedPair) -> PairKey:
    """The key of a planned pair."""
    return pair.spec.pair_id, pair.fingerprint


def _planned(wanted: frozenset[str], address: str) -> frozenset[str]:
    try:
        planned: dict[str, Any] = json.loads(storage.read(address))["fingerprints"]
        return wanted & planned.keys()
    except (NotFound, ValueError, KeyError, TypeError, AttributeError):  # moved away, or damaged
        return frozenset()


def _image_of(text: str) -> str | None:
    """The name of the image that a record names; None if the record is damaged, which its reader will say."""
    found = _OUTPUT.search(text)
    return found[1] if found else None


def _text_or_none(address: str) -> str | None:
    try:
        return storage.read(address).decode(errors="replace")
    except NotFound:  # moved away since it was listed
        return None


def _parsed(kind: type[Kind], address: str, text: str | None = None) -> Kind:
    found = storage.read(address) if text is None else text
    try:
        return kind.model_validate_json(found)
    except ValidationError as error:
        raise OutputError(_unreadable(kind, address, found)) from error


def _unreadable(kind: type[BaseModel], address: str, found: str | bytes) -> str:
    """What to say of a file of ours that cannot be read: a newer version's is no damage, and stays where it is."""
    what, remedy = _IN_WORDS[kind]
    maker = _maker(found)
    if maker == __version__:
        return f"{address}: expected {what}, found one that is damaged: {remedy}"
    made_by, use = (f"engine {maker}", "that version") if maker else ("another version", "the one that made it")
    return (
        f"{address}: expected {what}, found what this version ({__version__}) cannot read: made by {made_by}, or "
        f"damaged. Use {use}; if it is damaged, {remedy}"
    )


def _maker(found: str | bytes) -> str | None:
    """The version that made a file, as far as it says so."""
    try:
        maker = json.loads(found)["engine_version"]
    except (ValueError, KeyError, TypeError):
        return None
    return printable(shortened(maker)) if isinstance(maker, str) else None

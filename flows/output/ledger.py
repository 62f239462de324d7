"""Reads and writes OUT/_nst, the durable state of an output: what was requested, what is done and what failed.

    _nst/runs/<run_id>/manifest.csv                      the manifest of a run, byte for byte
    _nst/runs/<run_id>/plan.json                         its options, and the fingerprint of every pair
    _nst/records/<pair_id>-<fingerprint>.json            create-only: THE commit of a pair, written after its image
    _nst/attempts/<pair_id>-<fingerprint>-<n>.json       every failed attempt with its reason
    _nst/records_snapshot.jsonl.gz                       a cache of many records, so that a run starts sooner

Imports neither torch nor prefect, and knows nothing of tables.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
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
from nst_core.options.stylize_options import RECORDED

Kind = TypeVar("Kind", bound=BaseModel)

PairKey = tuple[str, str]
"""(pair id, fingerprint)."""

_RECORD = re.compile(r"(.+)-([0-9a-f]{20})\.json")
_OUTPUT = re.compile(rf'"output": ?"{layout.IMAGES}/([A-Za-z0-9._-]+)"')
"""The image that a record names, found in its JSON text. Before a run starts, thousands of records are searched for it;
parsing all of them would take seconds."""
_TIMELINE = re.compile(rf'"timeline": ?"{layout.TIMELINES}/([A-Za-z0-9._-]+)"')
"""The timeline that a record names, found in the same way."""
WORTH_A_SNAPSHOT = 100
"""Number of records from which a snapshot pays: fewer are read as fast as the snapshot itself."""
_ATTEMPT = re.compile(r"(.+)-([0-9a-f]{20})-(\d+)\.json")
_DESCRIPTIONS: dict[type[BaseModel], tuple[str, str]] = {
    PairRecord: ("the record of a pair", "move it away to have its pair done again"),
    AttemptRecord: ("the record of a failed attempt", "move it away to have its pair tried again"),
    RunRecord: ("the plan of a run", "nst run MANIFEST --output OUT writes a new one"),
}
"""Kind of file -> what messages call it, and what the user can do about a damaged one."""


@dataclass(frozen=True)
class LedgerIndex:
    """Which pairs are done, and how many failed attempts the others have.

    Attributes:
        done: pairs that have a record, and the image that it names.
        attempts: pair -> the number of its latest failed attempt.
        imageless: pairs whose record names an image that does not exist: they have to be done again.
        copies: file name of a record -> its text and version.
        read_now: how many of the records were in no snapshot, and so were read one by one.
    """

    done: frozenset[PairKey] = frozenset()
    attempts: dict[PairKey, int] = field(default_factory=dict)
    imageless: frozenset[PairKey] = frozenset()
    copies: dict[str, Copy] = field(default_factory=dict)
    read_now: int = 0


@dataclass(frozen=True)
class FilesOfRecords:
    """The names of the images and timelines that records name, without their folders."""

    images: frozenset[str]
    timelines: frozenset[str]


@dataclass(frozen=True)
class _Records:
    """All records by file name, and how many of them were in no snapshot and had to be read one by one."""

    by_name: dict[str, Copy]
    read_now: int


@dataclass(frozen=True)
class Ledger:
    """The `_nst` folder below an output prefix."""

    output: str

    def index(self) -> LedgerIndex:
        """Return what is done and what failed, from three listings and the records that are in no snapshot."""
        records = self._records()
        copies = records.by_name
        # Listed after the records: an image is written before its record, so each listed record's image is seen here.
        images = set(storage.names(storage.join(self.output, layout.IMAGES)))
        keys = {name: (match[1], match[2]) for name in copies if (match := _RECORD.fullmatch(name))}
        imageless = frozenset(
            key for name, key in keys.items() if (image := _image_of(copies[name].text)) and image not in images
        )
        attempts: dict[PairKey, int] = {}
        for match in map(_ATTEMPT.fullmatch, storage.names(storage.join(self.output, layout.ATTEMPTS))):
            if match:
                key = (match[1], match[2])
                attempts[key] = max(attempts.get(key, 0), int(match[3]))
        done = frozenset(keys.values()) - imageless
        return LedgerIndex(done, attempts, imageless, copies, records.read_now)

    def files_of_records(self) -> FilesOfRecords:
        """Return the names of all images and timelines that records name.

        Raises:
            OutputError: if a record is damaged.
        """
        copies = self._records().by_name
        images = {name: _image_of(copy.text) for name, copy in copies.items()}
        damaged = [name for name, image in images.items() if image is None]
        if damaged:
            address = storage.join(self.output, layout.RECORDS, damaged[0])
            raise OutputError(_unreadable(PairRecord, address, copies[damaged[0]].text))
        timelines = [match[1] for copy in copies.values() if (match := _TIMELINE.search(copy.text))]
        return FilesOfRecords(frozenset(filter(None, images.values())), frozenset(timelines))

    def save_snapshot(self, index: LedgerIndex) -> None:
        """Write all records into one snapshot file, if many of them are in no snapshot yet."""
        if index.read_now >= WORTH_A_SNAPSHOT:
            write_snapshot(self._snapshot_address(), index.copies)

    def _records(self) -> _Records:
        """Return every record of the output, from the snapshot where it is current and else from its file."""
        folder = storage.join(self.output, layout.RECORDS)
        entries = [entry for entry in storage.entries(folder) if _RECORD.fullmatch(entry.name)]
        snapshot = read_snapshot(self._snapshot_address()) if len(entries) >= WORTH_A_SNAPSHOT else Snapshot()
        known = snapshot.current(entries)
        new = [entry for entry in entries if entry.name not in known]
        texts = storage.each(lambda entry: _text_or_none(storage.join(folder, entry.name)), new)
        known |= {
            entry.name: Copy(entry.version, text) for entry, text in zip(new, texts, strict=True) if text is not None
        }
        return _Records(known, read_now=len(new))

    def _snapshot_address(self) -> str:
        return storage.join(self.output, layout.SNAPSHOT)

    def commit(self, record: PairRecord) -> PairRecord:
        """Create the record of a finished pair; if another run was first, return the record of that run instead."""
        address = self._record_address((record.pair_id, record.fingerprint))
        created = storage.create(address, record.model_dump_json().encode())
        return record if created else self.read_record((record.pair_id, record.fingerprint))

    def read_record(self, key: PairKey, index: LedgerIndex | None = None) -> PairRecord:
        """Return the record of a finished pair, from the index if one is passed, else from its file."""
        address = self._record_address(key)
        copy = index.copies.get(storage.name_of(address)) if index else None
        return _parsed(PairRecord, address, copy.text if copy else None)

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """Create the record of a failed attempt. If two runs use the same number, only the first attempt is kept.

        Raises:
            CredentialsExpired: if the attempt failed for that reason: it does not count then, and the pair stays
                pending.
        """
        if attempt.error_kind == CredentialsExpired.kind:
            raise CredentialsExpired(attempt.error)
        name = f"{attempt.pair_id}-{attempt.fingerprint}-{attempt.attempt}.json"
        storage.create(storage.join(self.output, layout.ATTEMPTS, name), attempt.model_dump_json(indent=1).encode())

    def read_attempt(self, key: PairKey, number: int) -> AttemptRecord:
        """Return the record of a pair's failed attempt of that number."""
        name = f"{key[0]}-{key[1]}-{number}.json"
        return _parsed(AttemptRecord, storage.join(self.output, layout.ATTEMPTS, name))

    def failed_for_good(self, keys: Iterable[PairKey], index: LedgerIndex) -> frozenset[PairKey]:
        """Return the pairs whose latest attempt failed for good: with this fingerprint, another one would fail too."""
        failed = [key for key in keys if key in index.attempts]
        return frozenset(
            key
            for key, is_for_good in zip(failed, storage.each(partial(self._is_for_good, index), failed), strict=True)
            if is_for_good
        )

    def _is_for_good(self, index: LedgerIndex, key: PairKey) -> bool:
        try:
            attempt = self.read_attempt(key, index.attempts[key])
        except (NotFound, OutputError):  # moved away or damaged: the pair is tried again
            return False
        # Earlier releases recorded more kinds of errors as not retryable.
        return not attempt.retryable and attempt.error_kind in FOR_GOOD_KINDS

    def manifest_address(self, run_id: str) -> str:
        """Return the address of a run's copy of its manifest: byte for byte, and in any format despite its name."""
        return storage.join(self.output, layout.RUNS, run_id, "manifest.csv")

    def start_run(self, run: RunRecord, manifest: bytes, check_hold: Callable[[], None] = lambda: None) -> None:
        """Write a run's manifest and plan, then mark it as the latest run; a run that has a plan is complete.

        Args:
            run: the run.
            manifest: its manifest, byte for byte.
            check_hold: raises OutputBusy if another run has taken over the output; called directly before the run is
                marked, so that it does not become the latest run in place of the other.
        """
        folder = storage.join(self.output, layout.RUNS, run.run_id)
        storage.create(self.manifest_address(run.run_id), manifest)
        plan_address, plan = storage.join(folder, "plan.json"), run.model_dump_json(indent=1).encode()
        storage.create(plan_address, plan)
        storage.probe(plan_address, plan)
        check_hold()
        storage.replace(self._latest_address(), run.run_id.encode())

    def has_run(self) -> bool:
        """Tell whether a run was ever made into this output."""
        return storage.identity(self._latest_address()) is not None

    def latest_run_id(self) -> str:
        """Return the id of the latest run.

        Raises:
            OutputError: if no run was ever made into this output.
        """
        marker = self._latest_address()
        if not self.has_run():
            is_file = not storage.is_s3(self.output) and os.path.isfile(self.output)
            found = ", found a file; expected the folder that `nst run` wrote to" if is_file else f"; expected {marker}"
            raise OutputError(f"{self.output}: no run has been made into this output{found}")
        return storage.read(marker).decode()

    def latest_run(self) -> RunRecord:
        """Return the plan of the latest run.

        Raises:
            OutputError: if no run was ever made into this output, or the plan is damaged.
        """
        return self.run(self.latest_run_id())

    def run(self, run_id: str) -> RunRecord:
        """Return the plan of a run.

        Raises:
            OutputError: if the plan is damaged.
            NotFound: if there is no such run.
        """
        return _parsed(RunRecord, storage.join(self.output, layout.RUNS, run_id, "plan.json"))

    def planned_here(self, pair_ids: Collection[str]) -> frozenset[str]:
        """Return those of some pair ids that any run of this output ever planned; unreadable plans are skipped."""
        wanted = frozenset(pair_ids)
        files = [entry.name for entry in storage.tree(storage.join(self.output, layout.RUNS))]
        addresses = [storage.join(self.output, layout.RUNS, name) for name in files if name.endswith("/plan.json")]
        return frozenset().union(*storage.each(partial(_planned, wanted), addresses))

    def manifest_of(self, run_id: str) -> bytes:
        """Return the manifest of a run, byte for byte."""
        return storage.read(self.manifest_address(run_id))

    def _latest_address(self) -> str:
        return storage.join(self.output, layout.LATEST_RUN)

    def _record_address(self, key: PairKey) -> str:
        return storage.join(self.output, layout.RECORDS, f"{key[0]}-{key[1]}.json")


def key_of(pair: PlannedPair) -> PairKey:
    """Return the key of a planned pair."""
    return pair.spec.pair_id, pair.fingerprint


def _planned(wanted: frozenset[str], address: str) -> frozenset[str]:
    """Return those of the wanted pair ids that a plan has; none if it cannot be read."""
    try:
        planned: dict[str, Any] = json.loads(storage.read(address))["fingerprints"]
        return wanted & planned.keys()
    except (NotFound, ValueError, KeyError, TypeError, AttributeError):  # moved away, or damaged
        return frozenset()


def _image_of(text: str) -> str | None:
    """Return the image that a record names; None if the record is damaged, which parsing it later reports."""
    match = _OUTPUT.search(text)
    return match[1] if match else None


def _text_or_none(address: str) -> str | None:
    try:
        return storage.read(address).decode(errors="replace")
    except NotFound:  # moved away since it was listed
        return None


def _parsed(kind: type[Kind], address: str, text: str | None = None) -> Kind:
    """Parse a file of the ledger; `text` is its contents where they are known."""
    content = storage.read(address) if text is None else text
    try:
        return kind.model_validate_json(content, context=RECORDED)
    except ValidationError as error:
        raise OutputError(_unreadable(kind, address, content)) from error


def _unreadable(kind: type[BaseModel], address: str, content: str | bytes) -> str:
    """Return the message for a file that cannot be parsed: one of a newer version is not damaged, and should stay."""
    what, remedy = _DESCRIPTIONS[kind]
    maker = _maker(content)
    if maker == __version__:
        return f"{address}: expected {what}, found one that is damaged: {remedy}"
    made_by, use = (f"engine {maker}", "that version") if maker else ("another version", "the one that made it")
    return (
        f"{address}: expected {what}, found what this version ({__version__}) cannot read: made by {made_by}, or "
        f"damaged. Use {use}; if it is damaged, {remedy}"
    )


def _maker(content: str | bytes) -> str | None:
    """Return the engine version in a file; None if there is none."""
    try:
        maker = json.loads(content)["engine_version"]
    except (ValueError, KeyError, TypeError):
        return None
    return printable(shortened(maker)) if isinstance(maker, str) else None

"""The files of an inbox: what is claimed, started and finished, and the answers beside the manifests.

    INBOX/<name>.csv                    dropped by a data team; never touched
    INBOX/<name>.rejected.json          the answer, with the first bad rows ...
    INBOX/<name>.accepted.json          ... or with the run and its output
    INBOX/<name>.finished.json          the counts, once the run has ended
    INBOX/<name>.claimed-<key>          the manifest as it was claimed, byte for byte, until its run has ended
    INBOX/_nst/claims/<key>.json        create-only: a manifest of this name with these bytes is taken
    INBOX/_nst/starts/<key>-<n>.json    create-only: the n-th run that was started for it
    INBOX/_nst/finished/<key>.json      create-only, written last: nothing more is done for it
    INBOX/_nst/seen/<digest>.json       a file of this name, time and size was looked at
    INBOX/_nst/lease.json               which visit is at work here

A manifest whose name cannot be that of an answer too is answered as `answer_stem` says.
The claimed copy lies beside the manifest, so that relative addresses mean the same. No torch, no prefect.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from flows import storage
from flows.errors import OutputError
from flows.records import short_digest
from flows.storage import Entry, addresses
from flows.wording import printable

ENDING = ".csv"
MOST_NAME_BYTES = 255
"""Of a file's name, on most file systems."""
_LONGEST_ANSWER = ".rejected.json"

Kind = TypeVar("Kind", bound=BaseModel)

_START = re.compile(r"(.+)-(\d+)\.json")


class Claim(BaseModel):
    """A manifest that is taken: who else finds it leaves it alone.

    Attributes:
        key: made from name and content; the same bytes under the same name are one claim.
        name: of the manifest, as a message shows it.
        sha256: of the manifest; None where it was not read.
        snapshot: address of the copy that is run; None where there is nothing to run.
        problem: why it cannot be used, where that was clear before it was read.
        answered_as: the names of its answers begin so, where they cannot begin as its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    sha256: str | None
    output: str
    snapshot: str | None
    problem: str | None
    claimed_at: str
    claimed_by: str
    answered_as: str | None = None

    @property
    def stem(self) -> str:
        """What the names of its answers begin with: the manifest's name without its ending, where that can be."""
        return self.answered_as or self.name.removesuffix(ENDING)


class Start(BaseModel):
    """A run that was started for a claim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    number: int
    run_id: str
    started_at: str


@dataclass(frozen=True)
class InboxFiles:
    """The files of one inbox, an absolute folder or `s3://` prefix."""

    place: str

    def address(self, name: str) -> str:
        """Where a dropped file is."""
        return storage.join(self.place, name)

    def snapshot_address(self, stem: str, key: str) -> str:
        """Where the claimed copy of a manifest is: no name that another visit would take for a manifest."""
        return self.address(f"{stem}.claimed-{key[-12:]}")

    def seen(self) -> frozenset[str]:
        """The digests of all files that were looked at."""
        return frozenset(name.removesuffix(".json") for name in storage.names(self._folder("seen")))

    def mark_seen(self, entry: Entry, key: str) -> None:
        """Spare later visits from reading this file again."""
        storage.create(storage.join(self._folder("seen"), f"{seen_digest(entry)}.json"), _json({"key": key}))

    def claim(self, claim: Claim) -> bool:
        """Take a manifest; False if it is taken already."""
        address = self._claim_address(claim.key)
        return storage.create(address, claim.model_dump_json(indent=1).encode())

    def open_claims(self) -> list[Claim]:
        """The claims that are not finished, the oldest first."""
        finished = set(storage.names(self._folder("finished")))
        names = [name for name in storage.names(self._folder("claims")) if name not in finished]
        claims = storage.each(lambda name: _read(storage.join(self._folder("claims"), name), Claim), names)
        return sorted(claims, key=lambda claim: (claim.claimed_at, claim.key))

    def latest_starts(self) -> dict[str, int]:
        """Key -> number of the latest run, of every claim that has one."""
        latest: dict[str, int] = {}
        for found in map(_START.fullmatch, storage.names(self._folder("starts"))):
            if found:
                latest[found[1]] = max(latest.get(found[1], 0), int(found[2]))
        return latest

    def start(self, key: str, number: int) -> Start:
        """The n-th run of a claim."""
        return _read(self._start_address(key, number), Start)

    def add_start(self, start: Start) -> None:
        """Keep which run was started."""
        storage.create(self._start_address(start.key, start.number), start.model_dump_json(indent=1).encode())

    def answer(self, claim: Claim, word: str, content: dict[str, Any], *, in_place_of: tuple[str, ...] = ()) -> None:
        """Write `<name>.<word>.json` beside the manifest, and remove what an earlier version of it was answered."""
        facts = {"manifest": claim.name, "manifest_sha256": claim.sha256}
        storage.replace(self.address(f"{claim.stem}.{word}.json"), _json(facts | content))
        for other in in_place_of:
            storage.remove(self.address(f"{claim.stem}.{other}.json"))

    def finish(self, claim: Claim, content: dict[str, Any]) -> None:
        """Nothing more is to be done for a claim."""
        storage.create(storage.join(self._folder("finished"), f"{claim.key}.json"), _json(content))
        if claim.snapshot is not None:
            storage.remove(claim.snapshot)

    def _folder(self, name: str) -> str:
        return storage.join(self.place, "_nst", name)

    def _claim_address(self, key: str) -> str:
        return storage.join(self._folder("claims"), f"{key}.json")

    def _start_address(self, key: str, number: int) -> str:
        return storage.join(self._folder("starts"), f"{key}-{number}.json")


def seen_digest(entry: Entry) -> str:
    """One for each file as a listing has it: a file that is written anew has another."""
    return short_digest([entry.name, entry.version, entry.size], 32)


def claim_key(name: str, content: str) -> str:
    """A claim's name: readable, safe as a file name, and another one for other bytes.

    >>> claim_key("spring pictures.csv", "ab" * 32)
    'spring-pictures-67274ee991df54ee'
    """
    return f"{_readable(name)}-{short_digest([name, content], 16)}"


def answer_stem(folder: str, name: str) -> str:
    r"""What the names of the answers to a dropped file begin with; one of its own for a name that is no safe start.

    >>> answer_stem("/in", "spring.csv"), answer_stem("s3://bucket/in", "what\n.csv")
    ('spring', 'what-fbad2d58')
    """
    stem = name.removesuffix(ENDING)
    address = storage.join(folder, stem + _LONGEST_ANSWER)
    is_plain = stem != "" and printable(stem) == stem and addresses.problem_of(address) is None
    if is_plain and len((stem + _LONGEST_ANSWER).encode()) <= MOST_NAME_BYTES:
        return stem
    return f"{_readable(name)}-{short_digest(name, 8)}"


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name.removesuffix(ENDING))[:60].strip("-.") or "manifest"


def _read(address: str, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(storage.read(address))
    except ValidationError as error:
        raise OutputError(f"{address} cannot be read; remove it, and its manifest is looked at anew") from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="backslashreplace")

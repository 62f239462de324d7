"""The files of an inbox: what is claimed, started and finished, and the answers beside the manifests.

    INBOX/<name>                        dropped by a data team, `spring.csv` for one; never touched
    INBOX/<name>.rejected.json, .html   the answer, with the first bad rows ...
    INBOX/<name>.accepted.json          ... or with the run and its output
    INBOX/<name>.finished.json, .html   the counts, once the run has ended
    INBOX/<name>.claimed-<key>          the manifest as it was claimed, byte for byte, until its run has ended
    INBOX/_nst/claims/<key>.json        create-only: a manifest of this name with these bytes is taken
    INBOX/_nst/starts/<key>-<n>.json    create-only: the n-th run that was started for it
    INBOX/_nst/finished/<key>.json      create-only, written last: nothing more is done for it, unless it was rejected
                                        and is handed in again
    INBOX/_nst/seen/<digest>.json       a file of this name, time and size was looked at
    INBOX/_nst/lease.json               which visit is at work here

A manifest whose name cannot be that of an answer too is answered as `answers_name` says.
The claimed copy lies beside the manifest, so that relative addresses mean the same. No torch, no prefect.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from flows import storage
from flows.errors import CredentialsExpired, NotFound, OutputError, StorageError, Unavailable
from flows.inbox.names import is_safe, output_name
from flows.records.digests import short_digest
from flows.storage import Entry

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=BaseModel)

REJECTED = "rejected"
"""The status with which such a claim is finished."""
_START = re.compile(r"(.+)-(\d+)\.json")
_ANEW = "remove it, and of _nst/starts what is called so, and save its manifest again"


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
    def answers(self) -> str:
        """What the names of its answers begin with: the manifest's own, where that can be."""
        return self.answered_as or self.name


class Start(BaseModel):
    """A run that was started for a claim.

    Attributes:
        found_busy: how many starts before it did nothing, as another run was writing to the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    number: int
    run_id: str
    started_at: str
    found_busy: int = 0


@dataclass(frozen=True)
class Answer:
    """What is written beside a manifest.

    Attributes:
        content: for programs.
        page: the same as HTML, for people; None where there is nothing to look at.
    """

    content: dict[str, Any]
    page: bytes | None = None


@dataclass(frozen=True)
class InboxFiles:
    """The files of one inbox.

    Attributes:
        place: absolute folder or `s3://` prefix.
        outputs: below which its manifests' outputs are.
    """

    place: str
    outputs: str

    def output_address(self, name: str) -> str:
        """Where the output of a manifest is."""
        return storage.join(self.outputs, output_name(name))

    def address(self, name: str) -> str:
        """Where a dropped file is."""
        return storage.join(self.place, name)

    def snapshot_address(self, name: str, key: str) -> str:
        """Where the claimed copy of a manifest is: no name that another visit would take for a manifest."""
        return self.address(f"{name}.claimed-{key[-12:]}")

    def seen(self) -> frozenset[str]:
        """The digests of all files that were looked at."""
        return frozenset(name.removesuffix(".json") for name in storage.names(self._folder("seen")))

    def mark_seen(self, entry: Entry, key: str) -> None:
        """Spare later visits from reading this file again."""
        storage.create(storage.join(self._folder("seen"), f"{self.seen_digest(entry)}.json"), _json({"key": key}))

    def seen_digest(self, entry: Entry) -> str:
        """One for each file as a listing has it: a file that is written anew has another, be it with the same bytes."""
        # An object's version follows from its bytes alone, that of a local file tells when it was written.
        when = [entry.modified] if storage.is_s3(self.place) else []
        return short_digest([entry.name, entry.version, entry.size, *when], 32)

    def claim(self, claim: Claim) -> bool:
        """Take a manifest; False if it is taken already, and was not rejected."""
        create = partial(storage.create, self._claim_address(claim.key), claim.model_dump_json(indent=1).encode())
        return create() or (self._forget_rejected(claim.key) and create())

    def _forget_rejected(self, key: str) -> bool:
        """Forget a claim that ended in a rejection, as what was wrong may be right by now; whether it had ended so."""
        finished = self._finished_address(key)
        try:
            status = json.loads(storage.read(finished)).get("status")
        except (NotFound, ValueError):  # none, or a damaged one
            return False
        if status != REJECTED:
            return False
        storage.remove(finished)  # first: a claim that is not finished is gone on with, whoever dies in between
        storage.remove(self._claim_address(key))
        return True

    def is_finished(self, key: str) -> bool:
        """Whether nothing more is to be done for a claim."""
        return storage.identity(self._finished_address(key)) is not None

    def open_claims(self, on_refused: Callable[[str, OutputError], None] | None = None) -> list[Claim]:
        """The claims that are not finished, the oldest first.

        Args:
            on_refused: told the name and the error of each that is not to be gone on with.
        """
        finished = set(storage.names(self._folder("finished")))
        names = [name for name in storage.names(self._folder("claims")) if name not in finished]
        claims = list[Claim]()
        for name, found in zip(names, storage.each(self._claim_or_error, names), strict=True):
            if isinstance(found, Claim):
                claims.append(found)
            elif on_refused is not None:
                on_refused(name, found)
        return sorted(claims, key=lambda claim: (claim.claimed_at, claim.key))

    def _claim_or_error(self, name: str) -> Claim | OutputError:
        address = storage.join(self._folder("claims"), name)
        try:
            claim = _read(address, Claim)
        except OutputError as error:
            return error
        if self._is_from_here(claim, name):
            return claim
        return OutputError(
            f"{address}: expected what a visit to {self.place} with outputs below {self.outputs} writes, found other "
            f"addresses; {_ANEW}"
        )

    def _is_from_here(self, claim: Claim, name: str) -> bool:
        """Whether a claim says what a visit would: whoever may drop manifests may write a claim as well."""
        if claim.key != name.removesuffix(".json") or "/" in claim.answers:
            return False
        if claim.snapshot is None and not claim.output:
            return True
        expected = self.snapshot_address(claim.name, claim.key), self.output_address(claim.name)
        return is_safe(claim.name) and (claim.snapshot, claim.output) == expected

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

    def answer(self, claim: Claim, word: str, answer: Answer, *, in_place_of: tuple[str, ...] = ()) -> None:
        """Write `<name>.<word>.json` beside the manifest, and its page, where there is one.

        What an earlier version of the manifest was answered is removed.
        """
        facts = {"manifest": claim.name, "manifest_sha256": claim.sha256}
        storage.replace(self._answer_address(claim, word, "json"), _json(facts | answer.content))
        page = self._answer_address(claim, word, "html")
        if answer.page is not None:
            storage.replace(page, answer.page)
        else:
            _take_back(page)
        for other in in_place_of:
            for ending in ("json", "html"):
                _take_back(self._answer_address(claim, other, ending))

    def finish(self, claim: Claim, content: dict[str, Any]) -> None:
        """Nothing more is to be done for a claim."""
        storage.create(self._finished_address(claim.key), _json(content))
        if claim.snapshot is not None:
            storage.remove(claim.snapshot)

    def _answer_address(self, claim: Claim, word: str, ending: str) -> str:
        return self.address(f"{claim.answers}.{word}.{ending}")

    def _folder(self, name: str) -> str:
        return storage.join(self.place, "_nst", name)

    def _claim_address(self, key: str) -> str:
        return storage.join(self._folder("claims"), f"{key}.json")

    def _finished_address(self, key: str) -> str:
        return storage.join(self._folder("finished"), f"{key}.json")

    def _start_address(self, key: str, number: int) -> str:
        return storage.join(self._folder("starts"), f"{key}-{number}.json")


def _take_back(address: str) -> None:
    """Remove an answer of before; one that has to stay is no reason to keep the others, or the new one, back."""
    try:
        storage.remove(address)
    except (Unavailable, CredentialsExpired):
        raise
    except StorageError as error:
        logger.warning("inbox: an answer of before stays, as it cannot be removed: %s", error)


def _read(address: str, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(storage.read(address))
    except ValidationError as error:
        raise OutputError(f"{address}: cannot be read (damaged, or of another version); {_ANEW}") from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="backslashreplace")

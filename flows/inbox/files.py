"""The state of an inbox as files: claims, starts and finished markers, and the answers next to the manifests.

    INBOX/<name>                        a manifest that a data team dropped, such as `spring.csv`; never modified
    INBOX/<name>.rejected.json, .html   the answer to a rejected manifest, with its first bad rows
    INBOX/<name>.accepted.json          the answer to an accepted manifest, with its run and output
    INBOX/<name>.finished.json, .html   the counts, once the run has ended
    INBOX/<name>.claimed-<key>          a byte-for-byte copy of the claimed manifest, kept until its run has ended
    INBOX/_nst/claims/<key>.json        create-only: a manifest with this name and these bytes is claimed
    INBOX/_nst/starts/<key>-<n>.json    create-only: the n-th run that was started for it
    INBOX/_nst/finished/<key>.json      create-only, written last: the claim needs no more work, unless it was rejected
                                        and the manifest is dropped again
    INBOX/_nst/seen/<digest>.json       a file with this name, time and size has been looked at
    INBOX/_nst/lease.json               the visit that is working here now

Where answers cannot begin with the name of their manifest, `answers_name` gives the name that they begin with.
The claimed copy lies next to the manifest, so that relative addresses in it resolve the same. Imports neither torch nor
Prefect.
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
from flows.errors import CredentialsExpired, NotAFile, NotFound, OutputError, StorageError, TooLarge, Unavailable
from flows.inbox.names import is_safe, output_name
from flows.records.digests import short_digest
from flows.storage import Entry

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=BaseModel)

REJECTED = "rejected"
"""The status in the finished marker of a rejected claim."""
_START = re.compile(r"(.+)-(\d+)\.json")
"""Matches the name of a start file: key, number."""
_COPY = re.compile(r".+\.claimed-([0-9a-f]{12})", re.DOTALL)
"""Matches the name of a claimed copy: the end of its claim's key."""
_KEY_END = 12
"""How many characters of a claim's key the name of its copy ends with."""
_MOST_BYTES = 100_000
"""The most bytes of a claim or a start. Anyone who may drop manifests may also write these files."""
_OLD_ANSWER = "an earlier answer"
_START_OVER = "remove it and the files of that name in _nst/starts, and save its manifest again"


class Claim(BaseModel):
    """A claim on a manifest: only one visit can create it, and the others leave the manifest alone.

    Attributes:
        key: identifies the claim; derived from name and content, so the same bytes under the same name are one claim.
        name: the name of the manifest, as messages show it.
        sha256: the SHA-256 of the manifest; None if it was not read.
        output: the address of the run's output; empty where the manifest cannot be used.
        snapshot: the address of the copy that is run; None where there is nothing to run.
        problem: why the manifest cannot be used, if that was clear before it was parsed.
        claimed_at: the time of the claim, in ISO format.
        claimed_by: the process and the machine that claimed it.
        answered_as: what the names of its answers begin with, if they cannot begin with its own name.
        version: a number above those of all earlier claims on the same output that were open at the time of the claim:
            the order of their runs, which must not depend on clocks. Claims of earlier releases have none.
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
    version: int = 0

    @property
    def answers(self) -> str:
        """What the names of its answers begin with: the manifest's own name where that is possible."""
        return self.answered_as or self.name


class Start(BaseModel):
    """A run that was started for a claim.

    Attributes:
        key: the key of the claim.
        number: which start of the claim this is, from 1.
        run_id: the id of the run.
        started_at: the time of the start, in ISO format.
        found_busy: how many earlier starts did nothing because another run was writing to the output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    number: int
    run_id: str
    started_at: str
    found_busy: int = 0


@dataclass(frozen=True)
class Answer:
    """An answer that is written next to a manifest.

    Attributes:
        content: the answer for programs, written as JSON.
        page: the same answer for people, as HTML; None if there is no page.
    """

    content: dict[str, Any]
    page: bytes | None = None


@dataclass(frozen=True)
class InboxFiles:
    """The files of one inbox.

    Attributes:
        place: the inbox, an absolute folder or `s3://` prefix.
        outputs: the folder or prefix that holds the outputs of its manifests.
    """

    place: str
    outputs: str

    def output_address(self, name: str) -> str:
        """Return the address of a manifest's output."""
        return storage.join(self.outputs, output_name(name))

    def address(self, name: str) -> str:
        """Return the address of a dropped file."""
        return storage.join(self.place, name)

    def snapshot_address(self, name: str, key: str) -> str:
        """Return the address of a manifest's claimed copy, whose name no visit takes for a manifest."""
        return self.address(f"{name}.claimed-{key[-_KEY_END:]}")

    def seen(self) -> frozenset[str]:
        """Return the digests of all files that have been looked at."""
        return frozenset(name.removesuffix(".json") for name in storage.names(self._folder("seen")))

    def mark_seen(self, entry: Entry, key: str) -> None:
        """Record that a file has been looked at, so that later visits do not read it again."""
        storage.create(storage.join(self._folder("seen"), f"{self.seen_digest(entry)}.json"), _json({"key": key}))

    def seen_digest(self, entry: Entry) -> str:
        """Return a digest of a file's facts in a listing; rewriting the file changes it, even with the same bytes."""
        # The version of an S3 object depends on its bytes alone; that of a local file includes the time of writing.
        when = [entry.modified] if storage.is_s3(self.place) else []
        return short_digest([entry.name, entry.version, entry.size, *when], 32)

    def claim(self, claim: Claim) -> bool:
        """Claim a manifest; False if it is claimed already, unless that claim ended in a rejection."""
        create = partial(storage.create, self._claim_address(claim.key), claim.model_dump_json(indent=1).encode())
        return create() or (self._forget_rejected(claim.key) and create())

    def _forget_rejected(self, key: str) -> bool:
        """Delete a claim that ended in a rejection, as the cause may be gone by now; return whether there was one."""
        finished = self._finished_address(key)
        try:
            status = json.loads(storage.read(finished)).get("status")
        except (NotFound, ValueError):  # there is no finished marker, or it is damaged
            return False
        if status != REJECTED:
            return False
        storage.remove(finished)  # first: if this process dies in between, the next visit continues an unfinished claim
        storage.remove(self._claim_address(key))
        return True

    def is_finished(self, key: str) -> bool:
        """Return whether a claim needs no more work."""
        return storage.identity(self._finished_address(key)) is not None

    def open_claims(self, on_refused: Callable[[str, OutputError], None] | None = None) -> list[Claim]:
        """Return the claims that are not finished: of those on the same output the earliest first, by any clock.

        Args:
            on_refused: called with the name and the error of each claim that cannot be used.
        """
        finished = set(storage.names(self._folder("finished")))
        names = [name for name in storage.names(self._folder("claims")) if name not in finished]
        claims = list[Claim]()
        for name, result in zip(names, storage.each(self._claim_or_error, names), strict=True):
            if isinstance(result, Claim):
                claims.append(result)
            elif on_refused is not None:
                on_refused(name, result)
        return sorted(claims, key=lambda claim: (claim.version, claim.claimed_at, claim.key))

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
            f"addresses; {_START_OVER}"
        )

    def _is_from_here(self, claim: Claim, name: str) -> bool:
        """Return whether a visit would have written this claim: anyone who may drop manifests could forge one."""
        if claim.key != name.removesuffix(".json") or "/" in claim.answers:
            return False
        if claim.snapshot is None and not claim.output:
            return True
        expected = self.snapshot_address(claim.name, claim.key), self.output_address(claim.name)
        return is_safe(claim.name) and (claim.snapshot, claim.output) == expected

    def latest_starts(self) -> dict[str, int]:
        """Map the key of every claim that has been started to the number of its latest start."""
        latest: dict[str, int] = {}
        for match in map(_START.fullmatch, storage.names(self._folder("starts"))):
            if match:
                latest[match[1]] = max(latest.get(match[1], 0), int(match[2]))
        return latest

    def start(self, key: str, number: int) -> Start:
        """Read the n-th start of a claim."""
        return _read(self._start_address(key, number), Start)

    def add_start(self, start: Start) -> None:
        """Record which run was started."""
        storage.create(self._start_address(start.key, start.number), start.model_dump_json(indent=1).encode())

    def answer(self, claim: Claim, word: str, answer: Answer, *, in_place_of: tuple[str, ...] = ()) -> None:
        """Write `<name>.<word>.json` next to the manifest, and the HTML page if the answer has one.

        Args:
            claim: the claim that is answered.
            word: the kind of the answer: `rejected`, `accepted` or `finished`.
            answer: its contents.
            in_place_of: kinds of answers to an earlier version of the manifest, which are removed.
        """
        facts = {"manifest": claim.name, "manifest_sha256": claim.sha256}
        storage.replace(self._answer_address(claim, word, "json"), _json(facts | answer.content))
        page = self._answer_address(claim, word, "html")
        if answer.page is not None:
            storage.replace(page, answer.page)
        else:
            _try_to_remove(page, _OLD_ANSWER)
        for other in in_place_of:
            for ending in ("json", "html"):
                _try_to_remove(self._answer_address(claim, other, ending), _OLD_ANSWER)

    def finish(self, claim: Claim, content: dict[str, Any]) -> None:
        """Mark a claim as finished and remove its copy of the manifest."""
        storage.create(self._finished_address(claim.key), _json(content))
        if claim.snapshot is not None:
            storage.remove(claim.snapshot)

    def copies_of_finished(self) -> list[tuple[str, str]]:
        """Return the key and the claimed copy of each finished claim whose visit was killed before it removed it."""
        copies = [match for match in map(_COPY.fullmatch, storage.names(self.place)) if match]
        if not copies:
            return []
        finished = [name.removesuffix(".json") for name in storage.names(self._folder("finished"))]
        by_end = {key[-_KEY_END:]: key for key in finished}
        return [(by_end[copy[1]], self.address(copy[0])) for copy in copies if copy[1] in by_end]

    def remove_copy(self, address: str) -> None:
        """Remove a claimed copy that a killed visit left behind."""
        _try_to_remove(address, "a copy that a killed visit left behind")

    def sweep(self) -> None:
        """Remove the temporary files of visits that were killed while they wrote them."""
        storage.sweep([self.place], trees=[storage.join(self.place, "_nst")])

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


def _try_to_remove(address: str, what: str) -> None:
    """Remove a file; failing to remove it must not hold back the other removals or a new answer."""
    try:
        storage.remove(address)
    except (Unavailable, CredentialsExpired):
        raise
    except StorageError as error:
        logger.warning("inbox: %s stays, as it cannot be removed: %s", what, error)


def _read(address: str, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(storage.read(address, _MOST_BYTES))
    except (ValidationError, TooLarge, NotAFile) as error:
        raise OutputError(f"{address}: cannot be read (damaged, or of another version); {_START_OVER}") from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="backslashreplace")

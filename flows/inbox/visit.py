"""An inbox: manifests that data teams drop are claimed once, answered, run, and marked as finished.

One visit looks at every manifest and takes each as far as it goes at that moment:

    arrived -> claimed -> rejected
                       -> accepted: its run is started -> ... -> finished

Visits are short, repeated, and may die anywhere: every step is a create-only file, and a run is started under a key
that makes the second start of the same run find the first. A lease keeps two visits from the same work; it lapses
when its holder dies. Knows no Prefect: who starts runs is a `Runs`.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from flows import storage
from flows.errors import (
    CredentialsExpired,
    Forbidden,
    ManifestError,
    NotAllowed,
    NotFound,
    OutputBusy,
    StorageError,
    TooLarge,
    Unavailable,
)
from flows.inbox.answers import acceptance, conclusion, rejection, rejection_of_rows
from flows.inbox.arrivals import SETTLE_SECONDS, arrived
from flows.inbox.files import REJECTED, Answer, Claim, InboxFiles, Start
from flows.inbox.inbox import Inbox, Visit
from flows.inbox.names import answers_name, claim_key, is_manifest, is_safe
from flows.inbox.runs import Runs, RunState, StartRequest, error_of
from flows.limits import Limits
from flows.manifest import parse_manifest, within_limits
from flows.output import lease
from flows.records.digests import short_digest
from flows.records.pairs import Manifest
from flows.records.timestamps import utc_now
from flows.storage import Entry
from flows.wording import printable
from nst_core.errors import NstError

logger = logging.getLogger(__name__)

RENAME = (
    "expected a file name of 1 to 100 of the characters A-Z a-z 0-9 . _ - and space, a letter or digit first, before "
    "its ending; rename the file"
)
MAX_STARTS = 4
"""A run that could not be carried out is started again, this often in all."""
RESTART_SECONDS = 60.0
"""Before the second start; ten times as long before each further one."""
BUSY_SECONDS = 600.0
"""Before the next start where one found another run at work in the output: that one may take hours."""


def visit(inbox: Inbox, runs: Runs, limits: Limits, settle_seconds: float = SETTLE_SECONDS) -> Visit:
    """Take every manifest of an inbox as far as it goes now.

    Raises:
        NotAllowed: if the limits keep the inbox or its outputs closed.
        CredentialsExpired, Unavailable: if the inbox as a whole cannot be looked at.
    """
    limits.check_readable(inbox.place)
    limits.check_writable(inbox.outputs)
    try:
        with limits.writing(inbox.place), lease.held(inbox.place):
            return _Visitor(inbox, runs, inbox.narrowed(limits)).visit(settle_seconds)
    except OutputBusy:
        return Visit(busy=True)


@dataclass(frozen=True)
class _Content:
    """What lies under a manifest's name: its bytes, or why it cannot be one."""

    data: bytes | None = None
    problem: str | None = None


class _Visitor:
    def __init__(self, inbox: Inbox, runs: Runs, limits: Limits) -> None:
        self._inbox, self._runs, self._limits = inbox, runs, limits
        self._files = InboxFiles(inbox.place, inbox.outputs)
        self._visit = Visit()
        self._closed: set[str] = set()

    def visit(self, settle_seconds: float) -> Visit:
        seen = self._files.seen()

        def is_new(entry: Entry) -> bool:
            return is_manifest(entry.name) and self._files.seen_digest(entry) not in seen

        for entry in arrived(self._inbox.place, is_new, settle_seconds):
            self._carefully(printable(entry.name), partial(self._claim, entry))
        latest = self._files.latest_starts()
        busy_outputs: set[str] = set()
        for claim in self._files.open_claims(self._trouble):
            self._carefully(claim.name, partial(self._go_on, claim, latest.get(claim.key, 0), busy_outputs))
            if claim.key not in self._closed:
                busy_outputs.add(claim.output.casefold())  # which may be one folder, whatever its letters' case
        return self._visit

    def _carefully(self, name: str, step: Callable[[], None]) -> None:
        """One manifest's trouble is no reason to leave the others alone."""
        try:
            step()
        except CredentialsExpired:
            raise
        except NstError as error:
            self._trouble(name, error)

    def _trouble(self, name: str, error: NstError) -> None:
        logger.error("inbox: %s: %s", name, error)  # the message says all
        self._visit.troubled.append(name)

    # ------------------------------------------------------------ arrived -> claimed

    def _claim(self, entry: Entry) -> None:
        content = self._content(entry)
        if content is None:  # it is gone again
            return
        data, problem = content.data, content.problem
        if data is not None and len(data) != entry.size:  # it is being written after all
            return
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        key = claim_key(entry.name, sha256 or entry.version)
        answers = answers_name(self._inbox.place, entry.name)
        snapshot = None
        if data is not None and problem is None:
            snapshot = self._files.snapshot_address(entry.name, key)
            # Before the claim: who takes over from here finds the bytes that were claimed.
            storage.create(snapshot, data)
        claim = Claim(
            key=key,
            name=printable(entry.name),
            sha256=sha256,
            output=self._files.output_address(entry.name) if problem is None else "",
            snapshot=snapshot,
            problem=problem,
            claimed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            claimed_by=f"process {os.getpid()} on {socket.gethostname()}",
            answered_as=None if answers == entry.name else answers,
        )
        is_new = self._files.claim(claim)
        self._files.mark_seen(entry, key)
        if is_new:
            logger.info("inbox: %s: claimed as %s", claim.name, key)
        elif snapshot is not None and self._files.is_finished(key):
            storage.remove(snapshot)  # the same bytes again, long done
            logger.info("inbox: %s: the same bytes were done before, as %s", claim.name, key)

    def _content(self, entry: Entry) -> _Content | None:
        """What lies under a name; None where it is gone since it was listed."""
        if not is_safe(entry.name):
            return _Content(problem=RENAME)
        address = self._files.address(entry.name)
        try:
            self._limits.check_readable(address)  # a link may lead elsewhere
            data = storage.read(address, self._limits.max_manifest_bytes, within=self._limits.readable)
        except (NotAllowed, TooLarge) as error:
            return _Content(problem=str(error))
        except NotFound as error:
            return _Content(problem=str(error)) if entry in storage.entries(self._inbox.place) else None
        except Forbidden as error:
            if storage.is_s3(address):  # more likely the service's rights than this one file's
                raise
            return _Content(problem=f"{error}; let the service read it, and drop it again")
        return _Content(data, None if data else "the file is empty")

    # ------------------------------------------------------------ claimed -> rejected, started -> finished

    def _go_on(self, claim: Claim, starts: int, busy_outputs: set[str]) -> None:
        if claim.problem is not None or claim.snapshot is None:
            self._reject(claim, rejection(claim, claim.problem or "nothing was read", None))
            return
        if starts:
            self._follow(claim, self._files.start(claim.key, starts))
            return
        data = None
        try:
            data = self._claimed(claim)
            manifest = self._manifest(claim, data)
        except (ManifestError, NotFound, NotAllowed) as error:  # the copy may have been removed, or made a link
            self._reject(claim, rejection(claim, str(error), data))
            return
        if manifest.rejected and (self._inbox.bad_rows == "refuse" or not manifest.pairs):
            self._reject(claim, rejection_of_rows(claim, manifest, data, self._limits.max_manifest_bytes))
        elif claim.output.casefold() in busy_outputs:
            self._visit.waiting.append(claim.name)
        else:
            self._start(claim, 1, manifest)

    def _claimed(self, claim: Claim) -> bytes:
        assert claim.snapshot is not None
        return storage.read(claim.snapshot, self._limits.max_manifest_bytes, within=self._limits.readable)

    def _manifest(self, claim: Claim, data: bytes) -> Manifest:
        """What the claimed bytes say; in errors, under the name that their owner knows."""
        limits, address = self._limits, self._files.address(claim.name)
        manifest = parse_manifest(
            data, address, self._inbox.options, max_rows=limits.max_rows, max_bytes=limits.max_manifest_bytes
        )
        return within_limits(manifest, limits)

    def _reject(self, claim: Claim, answer: Answer) -> None:
        reason = answer.content["reason"]
        self._answer(claim, "rejected", answer, in_place_of=("accepted", "finished"))
        self._files.finish(claim, {"status": REJECTED, "reason": reason})
        self._closed.add(claim.key)
        self._visit.rejected.append(claim.name)
        logger.error("inbox: %s: rejected: %s", claim.name, reason)

    def _start(self, claim: Claim, number: int, manifest: Manifest | None = None, found_busy: int = 0) -> None:
        assert claim.snapshot is not None
        request = StartRequest(
            key=_key_of_start(claim, number),
            name=f"inbox {claim.answers}",
            manifest=claim.snapshot,
            output=claim.output,
            options=self._inbox.options,
            settings=self._inbox.settings,
        )
        run_id = self._runs.start(request)
        start = Start(key=claim.key, number=number, run_id=run_id, started_at=utc_now(), found_busy=found_busy)
        self._files.add_start(start)
        manifest = manifest or self._manifest(claim, self._claimed(claim))
        accepted = acceptance(claim, start, manifest, self._inbox.settings.backbone)
        self._answer(claim, "accepted", accepted, in_place_of=("rejected", "finished"))
        self._visit.started.append(claim.name)
        logger.info("inbox: %s: run %s started (%d)", claim.name, start.run_id, number)

    def _follow(self, claim: Claim, start: Start) -> None:
        state = self._runs.state_of(start.run_id)
        if not state.is_final:
            self._visit.running.append(claim.name)
        elif state.stage != "failed":
            self._finish(claim, start, state)
        elif isinstance(error_of(state), OutputBusy):  # no death: one that was called dead, say, is at work there
            self._start_again(claim, start, state, BUSY_SECONDS, found_busy=start.found_busy + 1)
        elif (deaths := start.number - start.found_busy) < MAX_STARTS:
            self._start_again(claim, start, state, RESTART_SECONDS * 10 ** (deaths - 1), found_busy=start.found_busy)
        else:
            self._finish(claim, start, state)

    def _start_again(self, claim: Claim, start: Start, state: RunState, pause_seconds: float, found_busy: int) -> None:
        """Once the pause is over, as the next start."""
        if datetime.now(UTC) - datetime.fromisoformat(start.started_at) < timedelta(seconds=pause_seconds):
            self._visit.waiting.append(claim.name)
            return
        logger.warning("inbox: %s: %s; started again", claim.name, printable(state.message or state.name))
        self._start(claim, start.number + 1, found_busy=found_busy)

    def _finish(self, claim: Claim, start: Start, state: RunState) -> None:
        answer = conclusion(claim, start, state, self._inbox.place)
        content = answer.content
        self._answer(claim, "finished", answer)
        self._files.finish(claim, {name: content[name] for name in ("finished_at", "status", "message", "run_id")})
        self._closed.add(claim.key)
        self._visit.finished.append(claim.name)
        level = logging.ERROR if state.stage != "ended" else logging.INFO
        logger.log(level, "inbox: %s: finished: %s %s", claim.name, content["status"], content["message"])

    def _answer(self, claim: Claim, word: str, answer: Answer, *, in_place_of: tuple[str, ...] = ()) -> None:
        """Answer beside the manifest; where that can never be, the log and the visit say it instead, this once."""
        try:
            self._files.answer(claim, word, answer, in_place_of=in_place_of)
        except (Unavailable, CredentialsExpired):
            raise
        except StorageError as error:
            content = answer.content
            said = f"{claim.name}: {word}: {content.get('reason', content.get('message', claim.output))}"
            logger.error("inbox: %s (the answer cannot be written: %s)", said, error)  # noqa: TRY400  # as above
            self._visit.unanswered.append(said)


def _key_of_start(claim: Claim, number: int) -> str:
    """The same whoever makes this start; another one where a manifest is claimed again that was done before."""
    return f"{claim.key}-{short_digest([claim.claimed_at, claim.claimed_by], 8)}-{number}"

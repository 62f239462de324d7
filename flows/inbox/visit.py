"""Visit an inbox: claim, answer, run and finish the manifests that data teams drop, each of them once.

A visit looks at every manifest and takes each through as many steps as are possible at that moment:

    arrived -> claimed -> rejected
                       -> accepted: its run is started -> ... -> finished

Visits are short, repeated, and may die anywhere: every step creates a file that did not exist before, and a run is
started with an idempotency key, so that starting it a second time finds the first. A lease keeps two visits from doing
the same work; it expires when its holder dies. A visit may also be suspended for longer than that and wake up, when
everything that it has read is out of date: it looks at its lease, and at the finished marker, before it changes
anything, and stops if another visit has taken over. Does not import Prefect: runs are started through a `Runs`.
"""

import hashlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from flows import storage
from flows.errors import (
    CredentialsExpired,
    Forbidden,
    ManifestError,
    NotAllowed,
    NotDecoded,
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
from flows.inbox.runs import Runs, StartRequest
from flows.limits import Limits
from flows.manifest import parse_manifest, within_limits
from flows.output import lease
from flows.records import layout
from flows.records.digests import short_digest
from flows.records.pairs import Manifest
from flows.records.runs import RunState
from flows.records.timestamps import utc_now
from flows.storage import Entry
from flows.wording import printable
from nst_core.errors import NstError

logger = logging.getLogger(__name__)

RENAME = (
    "expected a file name of 1 to 100 of the characters A-Z a-z 0-9 . _ - and space, a letter or digit first, before "
    "its ending; rename the file"
)
"""The answer to a file whose name cannot become the name of an output."""
MAX_STARTS = 4
"""How often a run that fails is started in all."""
RESTART_SECONDS = 60.0
"""The pause before the second start; each further pause is ten times as long."""
BUSY_SECONDS = 600.0
"""The pause after a start that found another run writing to the output, which may take hours."""
VISIT = lease.Writer("visit", "inbox", layout.LEASE, "It does what there is to do, and so does the next visit")
"""The lease on an inbox."""


def visit(inbox: Inbox, runs: Runs, limits: Limits, settle_seconds: float = SETTLE_SECONDS) -> Visit:
    """Take every manifest of an inbox through as many steps as are possible now.

    Args:
        inbox: the inbox.
        runs: starts runs and reads their states.
        limits: the operator's limits.
        settle_seconds: how long a local file must stay unchanged before it counts as complete.

    Returns:
        What became of the manifests.

    Raises:
        NotAllowed: if the limits forbid to read the inbox or to write to its outputs.
        CredentialsExpired: if the credentials for the inbox have expired.
        Unavailable: if the storage of the inbox does not respond.
    """
    limits.check_readable(inbox.place)
    limits.check_writable(inbox.outputs)
    done = Visit()
    try:
        with limits.writing(inbox.place), lease.held(inbox.place, by=VISIT) as hold:
            _Visitor(inbox, runs, inbox.narrowed(limits), hold, done).visit(settle_seconds)
    except OutputBusy:
        done.busy = True
    return done


@dataclass(frozen=True)
class _Content:
    """The content of a dropped file: its bytes, or the reason why it cannot be used."""

    data: bytes | None = None
    problem: str | None = None


class _Visitor:
    def __init__(self, inbox: Inbox, runs: Runs, limits: Limits, hold: lease.Held, done: Visit) -> None:
        self._inbox, self._runs, self._limits, self._hold = inbox, runs, limits, hold
        self._files = InboxFiles(inbox.place, inbox.outputs)
        self._visit = done
        self._finished_keys: set[str] = set()

    def visit(self, settle_seconds: float) -> None:
        seen = self._files.seen()

        def is_new(entry: Entry) -> bool:
            return is_manifest(entry.name) and self._files.seen_digest(entry) not in seen

        new = arrived(self._inbox.place, is_new, settle_seconds)
        earlier = self._files.open_claims() if new else []
        for entry in new:
            self._attempt(printable(entry.name), partial(self._claim, entry, earlier))
        latest = self._files.latest_starts()
        busy_outputs: set[str] = set()
        for claim in self._files.open_claims(self._on_trouble):
            self._attempt(claim.name, partial(self._advance, claim, latest.get(claim.key, 0), busy_outputs))
            if claim.key not in self._finished_keys:
                # Where case does not matter, names that differ in it alone are the same folder.
                busy_outputs.add(claim.output.casefold())
        self._attempt("what killed visits left behind", self._clean_up)

    def _attempt(self, name: str, step: Callable[[], None]) -> None:
        """Do a step for one manifest; an error is logged and does not stop the visit to the others.

        This includes errors that nobody foresaw: a file that one team dropped must not hold up all the others.
        """
        try:
            step()
        except (CredentialsExpired, OutputBusy):
            raise
        except NstError as error:
            self._on_trouble(name, error)
        except Exception:
            logger.exception("inbox: %s: an error of this program that nobody foresaw", name)
            self._visit.troubled.append(name)

    def _on_trouble(self, name: str, error: NstError) -> None:
        logger.error("inbox: %s: %s", name, printable(str(error)))  # without a traceback: the message says everything
        self._visit.troubled.append(name)

    def _is_open(self, claim: Claim) -> bool:
        """Return whether a claim still needs work, whatever this visit has read before.

        Raises:
            OutputBusy: if another visit has taken over the inbox.
        """
        self._hold.check()
        return not self._files.is_finished(claim.key)

    def _clean_up(self) -> None:
        """Remove what killed visits left behind: copies of finished manifests, and old temporary files."""
        for key, copy in self._files.copies_of_finished():
            self._hold.check()
            if self._files.is_finished(key):  # still: a rejected manifest may have been claimed again
                self._files.remove_copy(copy)
        self._files.sweep()

    # ------------------------------------------------------------ arrived -> claimed

    def _claim(self, entry: Entry, earlier: Sequence[Claim]) -> None:
        content = self._content(entry)
        if content is None:  # it was removed since it was listed
            return
        data, problem = content.data, content.problem
        # A local file may still be growing. An S3 object is complete, and may be stored compressed, with another size.
        if data is not None and len(data) != entry.size and storage.is_local(self._inbox.place):
            return
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        key = claim_key(entry.name, sha256 or entry.version)
        answers = answers_name(self._inbox.place, entry.name)
        self._hold.check()
        snapshot = None
        if data is not None and problem is None:
            snapshot = self._files.snapshot_address(entry.name, key)
            # Before the claim, so that a visit which takes over finds the claimed bytes.
            storage.create(snapshot, data)
        output = self._files.output_address(entry.name) if problem is None else ""
        claim = Claim(
            key=key,
            name=printable(entry.name),
            sha256=sha256,
            output=output,
            snapshot=snapshot,
            problem=problem,
            claimed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            claimed_by=f"process {os.getpid()} on {socket.gethostname()}",
            answered_as=None if answers == entry.name else answers,
            version=1 + max((one.version for one in earlier if one.output.casefold() == output.casefold()), default=0),
        )
        is_new = self._files.claim(claim)
        self._files.mark_seen(entry, key)
        if is_new:
            logger.info("inbox: %s: claimed as %s", claim.name, key)
        elif snapshot is not None and self._files.is_finished(key):
            storage.remove(snapshot)  # a claim on the same bytes is finished already
            logger.info("inbox: %s: the same bytes were done before, as %s", claim.name, key)

    def _content(self, entry: Entry) -> _Content | None:
        """Read a dropped file; None if it was removed since it was listed."""
        if not is_safe(entry.name):
            return _Content(problem=RENAME)
        address = self._files.address(entry.name)
        try:
            self._limits.check_readable(address)  # a symbolic link may lead elsewhere
            data = storage.read(address, self._limits.max_manifest_bytes, within=self._limits.readable)
        except (NotAllowed, TooLarge, NotDecoded) as error:
            return _Content(problem=str(error))
        except NotFound as error:
            return _Content(problem=str(error)) if entry in storage.entries(self._inbox.place) else None
        except Forbidden as error:
            if not storage.is_local(address):  # more likely caused by the service's permissions than by this file's
                raise
            return _Content(problem=f"{error}; let the service read it, and drop it again")
        return _Content(data, None if data else "the file is empty")

    # ------------------------------------------------------------ claimed -> rejected, started -> finished

    def _advance(self, claim: Claim, starts: int, busy_outputs: set[str]) -> None:
        if claim.problem is not None or claim.snapshot is None:
            self._reject(claim, rejection(claim, claim.problem or "nothing was read", None))
            return
        if starts:
            self._follow(claim, self._files.start(claim.key, starts))
            return
        manifest = self._accepted(claim)
        if manifest is None:
            return
        if claim.output.casefold() in busy_outputs:
            self._visit.waiting.append(claim.name)
        else:
            self._start(claim, 1, manifest)

    def _accepted(self, claim: Claim) -> Manifest | None:
        """Return the claimed manifest if it may be run; otherwise reject it, and return None."""
        data = None
        try:
            data = self._read_snapshot(claim)
            manifest = self._manifest(claim, data)
        except (ManifestError, NotFound, NotAllowed) as error:  # the copy may have been removed or replaced
            self._reject(claim, rejection(claim, str(error), data))
            return None
        if manifest.rejected and (self._inbox.bad_rows == "refuse" or not manifest.pairs):
            self._reject(claim, rejection_of_rows(claim, manifest, data, self._limits.max_manifest_bytes))
            return None
        return manifest

    def _read_snapshot(self, claim: Claim) -> bytes:
        """Read the claimed copy, which lies in the team's folder, where others may replace it.

        Raises:
            ManifestError: if it does not have the claimed bytes any more.
        """
        assert claim.snapshot is not None
        data = storage.read(claim.snapshot, self._limits.max_manifest_bytes, within=self._limits.readable)
        if hashlib.sha256(data).hexdigest() != claim.sha256:
            raise ManifestError(
                f"{printable(storage.name_of(claim.snapshot))}: expected the bytes that were claimed, found others: "
                f"somebody has replaced this copy; save {claim.name} again"
            )
        return data

    def _manifest(self, claim: Claim, data: bytes) -> Manifest:
        """Parse the claimed bytes; errors call the manifest by the name that its owner knows."""
        limits, address = self._limits, self._files.address(claim.name)
        manifest = parse_manifest(
            data, address, self._inbox.options, max_rows=limits.max_rows, max_bytes=limits.max_manifest_bytes
        )
        return within_limits(manifest, limits)

    def _reject(self, claim: Claim, answer: Answer) -> None:
        reason = answer.content["reason"]
        if not self._answer(claim, "rejected", answer, in_place_of=("accepted", "finished")):
            return
        self._files.finish(claim, {"status": REJECTED, "reason": reason})
        self._finished_keys.add(claim.key)
        self._visit.rejected.append(claim.name)
        logger.error("inbox: %s: rejected: %s", claim.name, reason)

    def _start(self, claim: Claim, number: int, manifest: Manifest, found_busy: int = 0) -> None:
        assert claim.snapshot is not None
        if not self._is_open(claim):
            return
        request = StartRequest(
            key=_start_key(claim, number),
            name=f"inbox {claim.answers}",
            manifest=claim.snapshot,
            manifest_sha256=manifest.sha256,
            output=claim.output,
            options=self._inbox.options,
            settings=self._inbox.settings,
        )
        run_id = self._runs.start(request)
        start = Start(key=claim.key, number=number, run_id=run_id, started_at=utc_now(), found_busy=found_busy)
        self._files.add_start(start)
        accepted = acceptance(claim, start, manifest, self._inbox.settings.backbone)
        if not self._answer(claim, "accepted", accepted, in_place_of=("rejected", "finished")):
            return
        self._visit.started.append(claim.name)
        logger.info("inbox: %s: run %s started (%d)", claim.name, start.run_id, number)

    def _follow(self, claim: Claim, start: Start) -> None:
        state = self._runs.state_of(start.run_id)
        if not state.is_final:
            self._visit.running.append(claim.name)
        elif state.stage != "failed":
            self._finish(claim, start, state)
        elif isinstance(state.error, OutputBusy):  # no failure: a run that counts as dead may still work
            self._start_again(claim, start, state, BUSY_SECONDS, found_busy=start.found_busy + 1)
        elif (failures := start.number - start.found_busy) < MAX_STARTS:
            self._start_again(claim, start, state, RESTART_SECONDS * 10 ** (failures - 1), found_busy=start.found_busy)
        else:
            self._finish(claim, start, state)

    def _start_again(self, claim: Claim, start: Start, state: RunState, pause_seconds: float, found_busy: int) -> None:
        """Start the run again if the pause since its latest start is over."""
        # A start may also lie in the future, if a wrong clock recorded it. One that lies further ahead than the pause
        # counts as over: otherwise, by a clock that was a year ahead, the run would wait for a year.
        if abs(datetime.now(UTC) - datetime.fromisoformat(start.started_at)) < timedelta(seconds=pause_seconds):
            self._visit.waiting.append(claim.name)
            return
        manifest = self._accepted(claim)
        if manifest is None:
            return
        logger.warning("inbox: %s: %s; started again", claim.name, printable(state.message or state.name))
        self._start(claim, start.number + 1, manifest, found_busy)

    def _finish(self, claim: Claim, start: Start, state: RunState) -> None:
        answer = conclusion(claim, start, state, self._inbox.place)
        content = answer.content
        if not self._answer(claim, "finished", answer):
            return
        self._files.finish(claim, {name: content[name] for name in ("finished_at", "status", "message", "run_id")})
        self._finished_keys.add(claim.key)
        self._visit.finished.append(claim.name)
        level = logging.ERROR if state.stage != "ended" else logging.INFO
        logger.log(level, "inbox: %s: finished: %s %s", claim.name, content["status"], content["message"])

    def _answer(self, claim: Claim, word: str, answer: Answer, *, in_place_of: tuple[str, ...] = ()) -> bool:
        """Write the answer next to the manifest; if that is impossible, report it once in the log and the result.

        Returns:
            False if another visit has finished the claim in the meantime, so that its answers stay as they are.
        """
        if not self._is_open(claim):
            return False
        try:
            self._files.answer(claim, word, answer, in_place_of=in_place_of)
        except (Unavailable, CredentialsExpired):
            raise
        except StorageError as error:
            content = answer.content
            text = f"{claim.name}: {word}: {content.get('reason', content.get('message', claim.output))}"
            logger.error("inbox: %s (the answer cannot be written: %s)", text, error)  # noqa: TRY400  # as above
            self._visit.unanswered.append(text)
        return True


def _start_key(claim: Claim, number: int) -> str:
    """Return the idempotency key of a start: the same in every visit, but new for each claim on the same manifest."""
    return f"{claim.key}-{short_digest([claim.claimed_at, claim.claimed_by], 8)}-{number}"

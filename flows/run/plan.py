"""What is left to do, in batches of one style and size. No torch, no prefect.

A batch is what one task does on one device: the unit of scheduling, not of arithmetic. How many of its pairs the device
takes at once is the worker's to say, so batches are as large as a fair sharing out over the devices allows.

A pair's fingerprint is made of all that decides its result: the identity of both inputs, the resolved options, the
weights and the version of the engine. A pair with a record of that fingerprint, and the image that it names, is done;
anything else is left.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flows import storage
from flows.errors import ManifestError, NotAFile, StorageError
from flows.output.ledger import LedgerIndex, PairKey, key_of
from flows.records.digests import short_digest
from flows.records.pairs import OF_THE_STYLE, Manifest, PairSpec
from flows.records.plans import Batch, PlannedPair, RunPlan
from flows.records.runs import RunRecord
from flows.settings import Selection
from nst_core import __version__

NOTHING_EARLIER: Mapping[str, str] = MappingProxyType({})

MISSING = "missing"
"""Identity of an input that is not there: the pair is planned all the same, and fails with that reason."""

DIGITS = 20
"""Of a fingerprint, as the names of records have them."""

ROUNDS = 4
"""Batches per device, where there are several: the last ones end at about the same time although groups differ."""

FULL_BATCH = 64
"""Pairs that fill a large GPU more than once: below this, more of its time goes into a batch's start and end."""


def _none_of(_keys: Iterable[PairKey]) -> frozenset[PairKey]:
    return frozenset()


@dataclass(frozen=True)
class Earlier:
    """What an output knows of pairs before a run.

    Attributes:
        index: what is done, and what failed how often.
        retried: the run whose failures are to be done again; None where this is no retry.
        failed_for_good: those of some pairs that failed in a way that another attempt would only repeat.
    """

    index: LedgerIndex = field(default_factory=LedgerIndex)
    retried: RunRecord | None = None
    failed_for_good: Callable[[Iterable[PairKey]], frozenset[PairKey]] = _none_of


@dataclass(frozen=True)
class Share:
    """How work is shared out: over so many devices, in tasks of at most so many pairs."""

    devices: int = 1
    pairs_per_task: int = 256


def plan_run(
    manifest: Manifest,
    weights_sha256: str,
    selection: Selection,
    earlier: Earlier,
    share: Share,
    readable: storage.Places | None = None,
) -> RunPlan:
    """Split the manifest's pairs into those done, those left (in batches), and those not selected.

    A local picture that does not really lie in a `readable` place counts as missing.

    Raises:
        ManifestError: if `selection.only` names an id that the manifest does not have.
    """
    check_ids(manifest, selection)
    index, before = earlier.index, earlier.retried.fingerprints if earlier.retried else NOTHING_EARLIER
    pairs = fingerprinted(manifest.pairs, index, weights_sha256, before, readable)
    done = tuple(pair for pair in pairs if key_of(pair) in index.done)
    left = [pair for pair in pairs if key_of(pair) not in index.done]
    wanted = [pair for pair in left if _is_selected(pair, selection, earlier)]
    # Whoever names a pair, or asks for what failed, wants it tried; a run that comes every night does not.
    failed_for_good = (
        frozenset() if selection.only or selection.only_failed else earlier.failed_for_good(map(key_of, wanted))
    )
    todo = [pair for pair in wanted if key_of(pair) not in failed_for_good][: selection.limit]
    chosen = {pair.spec.pair_id for pair in todo}
    unselected = tuple(pair for pair in left if pair.spec.pair_id not in chosen)
    batches = in_batches(todo, share.pairs_per_task, share.devices)
    return RunPlan(batches, done, unselected, len(failed_for_good))


def fingerprinted(
    specs: Iterable[PairSpec],
    index: LedgerIndex,
    weights_sha256: str,
    earlier: Mapping[str, str] = NOTHING_EARLIER,
    readable: storage.Places | None = None,
) -> list[PlannedPair]:
    """The pairs with the identities of their inputs, every file looked at once.

    Attempts are counted by fingerprint; those with a pair's `earlier` one, before a retry with other options, count
    too.
    """
    specs = list(specs)
    taken = _Taken(index)
    identities = identities_of(sorted({address for spec in specs for address in spec.pictures.values()}), readable)
    digests: dict[int, str] = {}  # rows without options of their own share one object
    planned = []
    for spec in specs:
        digest = digests.get(id(spec.options)) or digests.setdefault(id(spec.options), spec.options.digest())
        found = {column: identities[address] for column, address in spec.pictures.items()}
        fingerprint = taken.free_fingerprint(spec.pair_id, fingerprint_of(found, digest, weights_sha256))
        keys: list[PairKey] = [(spec.pair_id, one) for one in (fingerprint, earlier.get(spec.pair_id, fingerprint))]
        attempts = max(index.attempts.get(key, 0) for key in keys)
        content, style = found.pop("content"), found.pop("style")
        planned.append(PlannedPair(spec, content, style, fingerprint, attempts + 1, found))
    return planned


def fingerprint_of(identities: Mapping[str, str], options_digest: str, weights_sha256: str) -> str:
    """20 hex digits of all that decides a pair's result.

    Args:
        identities: of its pictures, by column.
        options_digest: of its resolved options.
        weights_sha256: of the backbone's file.
    """
    content, style = identities["content"], identities["style"]
    others = {column: one for column, one in identities.items() if column not in ("content", "style")}
    # Only where there are any: the fingerprints of other pairs stay what they were.
    further = [others] if others else []
    return short_digest([content, style, options_digest, weights_sha256, __version__, *further], DIGITS)


class _Taken:
    """The keys of records and attempts that a pair cannot use, although it has the same fingerprint."""

    def __init__(self, index: LedgerIndex) -> None:
        self._imageless = index.imageless
        self._existing = index.done | index.imageless | index.attempts.keys()
        self._folded = {(pair_id.casefold(), fingerprint) for pair_id, fingerprint in self._existing}

    def free_fingerprint(self, pair_id: str, fingerprint: str) -> str:
        """Return the fingerprint of a pair, or one derived from it if a file of that name cannot be this pair's.

        A record whose image is gone is never changed, so another takes its place. A record or attempt of an id that
        differs only in case is another pair's, and on a file system that ignores case it has the same file name. The
        fingerprint is derived on every file system, so that an output can be copied to any other.
        """
        while (pair_id, fingerprint) in self._imageless or self._is_of_another_spelling(pair_id, fingerprint):
            fingerprint = short_digest([fingerprint, "done again"], DIGITS)
        return fingerprint

    def _is_of_another_spelling(self, pair_id: str, fingerprint: str) -> bool:
        is_own = (pair_id, fingerprint) in self._existing
        return not is_own and (pair_id.casefold(), fingerprint) in self._folded


def identities_of(addresses: list[str], readable: storage.Places | None = None) -> dict[str, str]:
    """Each file's identity; `MISSING` where there is none, or where it cannot be had: the worker then finds out why.

    Raises:
        StorageError: if not one of the files could be looked at: then the trouble is not with the files.
    """
    found = looked_at(addresses, readable)
    return {address: one if isinstance(one, str) else MISSING for address, one in found.items()}


def looked_at(addresses: list[str], readable: storage.Places | None = None) -> dict[str, str | StorageError | None]:
    """Each file's identity, or the error of the look at it; None where there is none.

    Raises:
        StorageError: if not one of the files could be looked at.
    """
    found = storage.identities(addresses, readable)
    errors = [one for one in found.values() if isinstance(one, StorageError) and not isinstance(one, NotAFile)]
    if errors and len(errors) == len(found):
        raise errors[0]
    return found


def in_batches(pairs: list[PlannedPair], pairs_per_task: int, devices: int) -> tuple[Batch, ...]:
    """Pairs grouped by style, options (so by size) and kinds of further pictures, cut so that every device has work."""
    size = max(1, min(pairs_per_task, _fair_size(len(pairs), max(1, devices))))
    groups: dict[tuple[object, ...], list[PlannedPair]] = {}
    for pair in pairs:
        alike = pair.spec.options.model_copy(update={"seed": 0})
        groups.setdefault((*style_key(pair.spec), tuple(pair.spec.others), alike.digest()), []).append(pair)
    return tuple(
        Batch(_batch_name(group[start : start + size]), tuple(group[start : start + size]))
        for group in groups.values()
        for start in range(0, len(group), size)
    )


def style_key(spec: PairSpec) -> tuple[str, ...]:
    """The addresses of all pictures that make a pair's style."""
    return (spec.style, *(spec.others.get(column, "") for column in OF_THE_STYLE))


def _fair_size(pairs: int, devices: int) -> int:
    """Pairs per batch: a device's share, in several batches where that leaves each of them worth its while."""
    share = math.ceil(pairs / devices)
    if devices == 1:
        return share
    return max(math.ceil(share / ROUNDS), min(share, FULL_BATCH))


def _batch_name(pairs: list[PlannedPair]) -> str:
    first = pairs[0].spec
    style = storage.name_of(first.style).rpartition(".")[0] or storage.name_of(first.style)
    rows = f"row {first.row}" if len(pairs) == 1 else f"{len(pairs)} pairs from row {first.row}"
    return f"{style} at {first.options.size_px} px: {rows}"


def check_ids(manifest: Manifest, selection: Selection) -> None:
    """Refuse a selection of ids that the manifest does not have.

    Raises:
        ManifestError: naming the first of them.
    """
    known = {pair.pair_id for pair in manifest.pairs}
    unknown = [pair_id for pair_id in selection.only if pair_id not in known]
    if unknown:
        raise ManifestError(
            f"{storage.name_of(manifest.uri)}: no valid row has the id {unknown[0]!r}; "
            f"`nst validate --json` lists the ids of all valid rows"
        )


def _is_selected(pair: PlannedPair, selection: Selection, earlier: Earlier) -> bool:
    pair_id = pair.spec.pair_id
    if selection.only and pair_id not in selection.only:
        return False
    if selection.max_attempts is not None and pair.attempt > selection.max_attempts:
        return False
    if selection.only_failed:
        return earlier.retried is not None and has_failed(pair_id, earlier.retried, earlier.index)
    return True


def has_failed(pair_id: str, run: RunRecord, index: LedgerIndex) -> bool:
    """Whether a pair is one that a run's table calls failed."""
    key = (pair_id, run.fingerprints.get(pair_id, ""))
    return key in index.attempts and key not in index.done and key not in index.imageless

"""Plan a run: find the pairs that are left to do and group them into batches with the same style and options.

A batch is what one task does on one device: the unit of scheduling, not of computation. The worker decides how many of
a batch's pairs the device computes at once, so batches are as large as a fair distribution over the devices allows.

A pair's fingerprint is a digest of everything that determines its result: the identities of its inputs, the resolved
options, the weights and the engine's version. A pair is done if there is a record with its fingerprint, and the image
that the record names exists; all other pairs are left to do. This module imports neither torch nor prefect.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flows import storage
from flows.errors import ManifestError, NotAFile, StorageError
from flows.output.ledger import LedgerIndex, PairKey, key_of
from flows.records.digests import short_digest
from flows.records.pairs import STYLE_COLUMNS, Manifest, PairSpec
from flows.records.plans import Batch, PlannedPair, RunPlan
from flows.records.runs import RunRecord
from flows.settings import Selection
from nst_core import __version__

NOTHING_EARLIER: Mapping[str, str] = MappingProxyType({})

MISSING = "missing"
"""The identity of an input that does not exist: the pair is planned all the same, and fails for that reason."""

DIGITS = 20
"""The number of hex digits of a fingerprint, as in the names of records."""

ROUNDS = 4
"""The number of batches per device if there are several devices, so that all devices finish at about the same time
although batches differ in cost."""

FULL_BATCH = 64
"""A number of pairs that fills a large GPU more than once; in smaller batches, more of its time would go into starting
and ending them."""


@dataclass(frozen=True)
class Earlier:
    """What an output contains of earlier runs.

    Attributes:
        index: the index of the ledger: which pairs are done, and how often each failed.
        retried: the run whose failures a retry does again; None if this is no retry.
        failed_for_good: returns those of the given pairs that failed permanently, so that another attempt would only
            repeat the error.
    """

    index: LedgerIndex = field(default_factory=LedgerIndex)
    retried: RunRecord | None = None
    failed_for_good: Callable[[Iterable[PairKey]], frozenset[PairKey]] = lambda _keys: frozenset()


@dataclass(frozen=True)
class Share:
    """How work is distributed: the number of devices, and the maximum number of pairs per task."""

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
    """Split the manifest's pairs into those done, those to do (in batches), and those not selected.

    Args:
        manifest: the manifest whose pairs are planned.
        weights_sha256: the sha256 of the backbone's weights file.
        selection: the rows that the caller selected.
        earlier: what the output contains of earlier runs.
        share: how work is distributed over the devices.
        readable: the places that may be read; a local image outside of them after symbolic links are resolved counts
            as missing. None allows all.

    Raises:
        ManifestError: if `selection.only` names an id that the manifest does not have.
    """
    check_ids(manifest, selection)
    index = earlier.index
    before = failed_fingerprints(earlier.retried, index) if earlier.retried else NOTHING_EARLIER
    pairs = fingerprinted(manifest.pairs, index, weights_sha256, before, readable)
    done = tuple(pair for pair in pairs if key_of(pair) in index.done)
    left = [pair for pair in pairs if key_of(pair) not in index.done]
    to_retry = pairs_to_retry(earlier.retried, index) if earlier.retried else frozenset()
    wanted = [pair for pair in left if _is_selected(pair, selection, to_retry)]
    # A user who names a pair, or retries what failed, wants it tried again; a nightly run does not.
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
    """Return the pairs with the identities of their inputs and their fingerprints; every file is examined only once.

    Args:
        specs: the pairs.
        index: the index of the ledger, from which attempts are counted.
        weights_sha256: the sha256 of the backbone's weights file.
        earlier: the fingerprints that the pairs had before a retry with other options, by pair id; attempts are
            counted by fingerprint, and those with the earlier one count too.
        readable: the places that may be read, as in `plan_run`.
    """
    specs = list(specs)
    taken = _Taken(index)
    identities = identities_of(sorted({address for spec in specs for address in spec.pictures.values()}), readable)
    digests: dict[int, str] = {}  # by object id: all rows without options of their own share one object
    planned = []
    for spec in specs:
        digest = digests.get(id(spec.options)) or digests.setdefault(id(spec.options), spec.options.digest())
        by_column = {column: identities[address] for column, address in spec.pictures.items()}
        fingerprint = taken.free_fingerprint(spec.pair_id, fingerprint_of(by_column, digest, weights_sha256))
        keys: list[PairKey] = [(spec.pair_id, known) for known in (fingerprint, earlier.get(spec.pair_id, fingerprint))]
        attempts = max(index.attempts.get(key, 0) for key in keys)
        content, style = by_column.pop("content"), by_column.pop("style")
        planned.append(PlannedPair(spec, content, style, fingerprint, attempts + 1, by_column))
    return planned


def fingerprint_of(identities: Mapping[str, str], options_digest: str, weights_sha256: str) -> str:
    """Return the fingerprint: 20 hex digits of a digest of everything that determines a pair's result.

    Args:
        identities: the identities of the pair's images, by column.
        options_digest: the digest of its resolved options.
        weights_sha256: the sha256 of the backbone's weights file.
    """
    content, style = identities["content"], identities["style"]
    others = {column: identity for column, identity in identities.items() if column not in ("content", "style")}
    # Added only if there are any, so that the fingerprints of all other pairs stay as in earlier versions.
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
    """Return each file's identity, or `MISSING` if it does not exist or cannot be examined: the worker finds out why.

    Raises:
        StorageError: if none of the files could be examined: then the cause is not the files.
    """
    results = examine_files(addresses, readable)
    return {address: result if isinstance(result, str) else MISSING for address, result in results.items()}


def examine_files(addresses: list[str], readable: storage.Places | None = None) -> dict[str, str | StorageError | None]:
    """Examine files: return each one's identity, None if it does not exist, or the error of examining it.

    Raises:
        StorageError: if none of the files could be examined.
    """
    results = storage.identities(addresses, readable)
    errors = [result for result in results.values() if isinstance(result, StorageError)]
    errors = [error for error in errors if not isinstance(error, NotAFile)]
    if errors and len(errors) == len(results):
        raise errors[0]
    return results


def in_batches(pairs: list[PlannedPair], pairs_per_task: int, devices: int) -> tuple[Batch, ...]:
    """Group pairs by style, options (hence size) and image columns, and split groups so that every device has work."""
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
    """Return the addresses of all images that belong to a pair's style."""
    return (spec.style, *(spec.others.get(column, "") for column in STYLE_COLUMNS))


def _fair_size(pairs: int, devices: int) -> int:
    """Return the number of pairs per batch: a device's share, split into several batches if those stay large enough."""
    share = math.ceil(pairs / devices)
    if devices == 1:
        return share
    return max(math.ceil(share / ROUNDS), min(share, FULL_BATCH))


def _batch_name(pairs: list[PlannedPair]) -> str:
    first = pairs[0].spec
    rows = f"row {first.row}" if len(pairs) == 1 else f"{len(pairs)} pairs from row {first.row}"
    return f"{storage.stem_of(first.style)} at {first.options.size_px} px: {rows}"


def check_ids(manifest: Manifest, selection: Selection) -> None:
    """Check that the manifest has all ids of a selection.

    Raises:
        ManifestError: if not; its message names the first unknown id.
    """
    known = {pair.pair_id for pair in manifest.pairs}
    unknown = [pair_id for pair_id in selection.only if pair_id not in known]
    if unknown:
        raise ManifestError(
            f"{storage.name_of(manifest.uri)}: no valid row has the id {unknown[0]!r}; "
            f"`nst validate --json` lists the ids of all valid rows"
        )


def _is_selected(pair: PlannedPair, selection: Selection, to_retry: frozenset[str]) -> bool:
    pair_id = pair.spec.pair_id
    if selection.only and pair_id not in selection.only:
        return False
    if selection.max_attempts is not None and pair.attempt > selection.max_attempts:
        return False
    return not selection.only_failed or pair_id in to_retry


def pairs_to_retry(run: RunRecord, index: LedgerIndex) -> frozenset[str]:
    """Return the ids of the pairs that a run's results table has as failed, or that an interrupted retry left undone.

    A retry with other options or mended images gives its pairs new fingerprints, under which they have not failed yet.
    """
    return frozenset(
        key[0]
        for key in run.fingerprints.items()
        if (key in index.attempts or key[0] in run.retrying) and key not in index.done and key not in index.imageless
    )


def failed_fingerprints(run: RunRecord, index: LedgerIndex) -> dict[str, str]:
    """Return by pair id the fingerprint of a run's pairs, or the one before an interrupted retry if it failed more."""

    def attempts(pair_id: str, fingerprint: str) -> int:
        return index.attempts.get((pair_id, fingerprint), 0)

    return {
        pair_id: max((now, run.retrying.get(pair_id, now)), key=lambda one: attempts(pair_id, one))
        for pair_id, now in run.fingerprints.items()
    }

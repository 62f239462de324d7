"""Reject the rows of a manifest that exceed the operator's limits, each with its reason."""

import dataclasses
import os
from collections.abc import Iterable

from flows import storage
from flows.errors import StorageError
from flows.limits import Limits
from flows.records.pairs import CellError, Manifest, PairSpec, RejectedRow
from flows.storage.places import is_below, refusal
from flows.wording import shortened
from nst_core.geometry.levels import steps_at
from nst_core.options import StylizeOptions

KIND = "not_allowed"
"""The `kind` of rows that exceed the limits; rows that are invalid in themselves have the kind `manifest`."""

UNBOUNDED = ("max_seconds",)
"""Options that are unbounded if they are not set."""


def within_limits(manifest: Manifest, limits: Limits) -> Manifest:
    """Return the manifest with the rows that exceed the limits moved to its rejected rows.

    If the readable places are limited, symbolic links in the local addresses of the other rows are resolved, so that
    changing a link later cannot lead to another place.
    """
    if limits.readable is None and limits.max_image_bytes is None and not limits.max_options:
        return manifest
    checks = _Checks(limits, manifest.pairs)
    refused = {pair.row: errors for pair in manifest.pairs if (errors := checks.errors_of(pair))}
    allowed = refuse(manifest, refused)
    if limits.readable is None:
        return allowed
    return dataclasses.replace(allowed, pairs=tuple(_with_real_paths(pair, checks.real) for pair in allowed.pairs))


def refuse(manifest: Manifest, refused: dict[int, tuple[CellError, ...]]) -> Manifest:
    """Return the manifest with some of its pairs rejected.

    Args:
        manifest: the manifest.
        refused: the reasons, by the line of the pair.
    """
    if not refused:
        return manifest
    rejected = [_rejected(pair, refused[pair.row]) for pair in manifest.pairs if pair.row in refused]
    return dataclasses.replace(
        manifest,
        pairs=tuple(pair for pair in manifest.pairs if pair.row not in refused),
        rejected=tuple(sorted((*manifest.rejected, *rejected), key=lambda row: row.row)),
    )


def refusals_of(manifest: Manifest) -> dict[int, tuple[CellError, ...]]:
    """Return the refused rows as `refuse` takes them, to refuse the same rows again even if limits or files changed."""
    return {row.row: row.errors for row in manifest.rejected if row.kind == KIND}


class _Checks:
    """The checks of one manifest; every distinct address and every distinct set of options is checked once."""

    def __init__(self, limits: Limits, pairs: Iterable[PairSpec]) -> None:
        self._limits = limits
        addresses = sorted({address for pair in pairs for address in pair.pictures.values()})
        self.real = _real_paths(addresses) if limits.readable is not None else {}
        self._addresses = {address: self._place_problem(address) for address in addresses}
        if limits.max_image_bytes is not None:
            reachable = [address for address, problem in self._addresses.items() if problem is None]
            sizes = storage.each(_size_or_none, reachable)
            self._addresses |= dict(zip(reachable, map(self._size_problem, sizes), strict=True))
        self._options: dict[int, tuple[CellError, ...]] = {}

    def errors_of(self, pair: PairSpec) -> tuple[CellError, ...]:
        errors = [
            CellError(column, shortened(pair.cell_of(column)), problem)
            for column, address in pair.pictures.items()
            if (problem := self._addresses[address])
        ]
        key = id(pair.options)  # rows with the same option cells share one object
        if key not in self._options:
            self._options[key] = option_refusals(pair.options, self._limits.max_options)
        return (*errors, *self._options[key])

    def _place_problem(self, address: str) -> str | None:
        places = self._limits.readable
        return None if places is None or is_below(self.real[address], places) else refusal("read", places)

    def _size_problem(self, size: int | None) -> str | None:
        most = self._limits.max_image_bytes
        if size is None or most is None or size <= most:
            return None
        return f"expected an image of at most {most:,} bytes here, found {size:,}"


def option_refusals(options: StylizeOptions, bounds: dict[str, float]) -> tuple[CellError, ...]:
    """Return an error for each option of a pair that exceeds its bound."""
    errors = []
    for name, most in bounds.items():
        # Large images get fewer of the recipe's steps, but the image may turn out smaller than requested, so the steps
        # of a small one are counted.
        value = steps_at(1, 1, options) if name == "steps" else getattr(options, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if value is None and name in UNBOUNDED:
            errors.append(CellError(name, "", f"expected at most {most:g} here, got no bound; set it"))
        elif any(number is not None and number > most for number in numbers):
            errors.append(CellError(name, shortened(str(value)), f"expected at most {most:g} here, got {value}"))
    return tuple(errors)


def _size_or_none(address: str) -> int | None:
    try:
        return storage.size(address)
    except StorageError:
        return None  # the worker will find the cause and report it


def _real_paths(addresses: Iterable[str]) -> dict[str, str]:
    """Resolve the symbolic links of addresses. Each folder is resolved once, as many images are in few folders."""
    folders: dict[str, str] = {}
    real = {}
    for address in addresses:
        folder, name = os.path.split(address)
        if not storage.is_local(address):
            real[address] = address
            continue
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        path = os.path.join(folders[folder], name)
        real[address] = os.path.realpath(path) if name in ("", ".", "..") or os.path.islink(path) else path
    return real


def _with_real_paths(pair: PairSpec, real: dict[str, str]) -> PairSpec:
    others = {column: real[address] for column, address in pair.others.items()}
    content, style = real[pair.content], real[pair.style]
    if (content, style, others) == (pair.content, pair.style, pair.others):
        return pair
    return dataclasses.replace(pair, content=content, style=style, others=others)


def _rejected(pair: PairSpec, errors: tuple[CellError, ...]) -> RejectedRow:
    cells = {"id": pair.pair_id, "content": pair.content_cell, "style": pair.style_cell, **pair.extra}
    return RejectedRow(pair.row, errors, cells, KIND)

"""The rows of a manifest that the operator's limits do not allow become rejected rows, each with its reason."""

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
"""Of a row that the limits refuse; a row that is wrong in itself is of kind `manifest`."""

UNBOUNDED = ("max_seconds",)
"""Options that mean "as much as it takes" where they are left out."""


def within_limits(manifest: Manifest, limits: Limits) -> Manifest:
    """The manifest with the rows that the limits refuse among its rejected ones.

    Local addresses of the others are made real, links followed, so that a link changed later leads nowhere new.
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
    """The manifest with some of its pairs, given by line, rejected for these reasons."""
    if not refused:
        return manifest
    rejected = [_rejected(pair, refused[pair.row]) for pair in manifest.pairs if pair.row in refused]
    return dataclasses.replace(
        manifest,
        pairs=tuple(pair for pair in manifest.pairs if pair.row not in refused),
        rejected=tuple(sorted((*manifest.rejected, *rejected), key=lambda row: row.row)),
    )


def refusals_of(manifest: Manifest) -> dict[int, tuple[CellError, ...]]:
    """What `refuse` needs to do it again, also when the limits or the files are others."""
    return {row.row: row.errors for row in manifest.rejected if row.kind == KIND}


class _Checks:
    """The checks of one manifest; every address and every set of options is looked at once."""

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
        key = id(pair.options)  # rows without options of their own share one object
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
        return f"expected a picture of at most {most:,} bytes here, found {size:,}"


def option_refusals(options: StylizeOptions, bounds: dict[str, float]) -> tuple[CellError, ...]:
    """What is wrong with the options of a pair where they are bounded."""
    errors = []
    for name, most in bounds.items():
        # Of a large picture the recipe's steps are fewer, but it may turn out smaller than asked for.
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
        return None  # the worker finds out why, and says so


def _real_paths(addresses: Iterable[str]) -> dict[str, str]:
    """What each address leads to. Every folder is looked up once: a hundred thousand pictures lie in few."""
    folders: dict[str, str] = {}
    real = {}
    for address in addresses:
        folder, name = os.path.split(address)
        if storage.is_s3(address):
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

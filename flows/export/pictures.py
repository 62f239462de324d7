"""Which pictures: one of every succeeded row of an output's latest run, in the order of its manifest.

A row that is pending, failed or rejected has none now, and may have had one of which an earlier export took a copy.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows import storage
from flows.errors import OutputError
from flows.output import Ledger, Row, latest_run, outcomes
from flows.records.columns import RESULT_COLUMNS


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture.

    Attributes:
        row: its row of the results table.
        address: of the file in the output.
        sha256: of the file, as its record has it.
        folder: the content's, below the one that all contents of the manifest share; empty if it is that.
    """

    row: Row
    address: str
    sha256: str
    folder: str

    @property
    def ending(self) -> str:
        """That of the file, with its dot."""
        return os.path.splitext(self.address)[1]

    @property
    def said(self) -> str:
        """Its row as messages name it."""
        return f"line {self.row['row']} {self.row['pair_id']}"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A row without a picture now; its `folder` is as that of a picture, and empty where it was rejected."""

    row: Row
    folder: str


@dataclass(frozen=True)
class Pictures:
    """The finished pictures of a run, the rows that have none, and the columns that every row has."""

    pictures: tuple[Picture, ...]
    unfinished: tuple[Unfinished, ...]
    columns: tuple[str, ...]


def pictures_of(output: str) -> Pictures:
    """The finished pictures of an output's latest run.

    Raises:
        OutputError: if nothing was ever run into it, nothing is finished yet, or a record is damaged.
        StorageError: if it cannot be read.
    """
    latest = latest_run(output)
    manifest = latest.manifest
    # Of all rows, finished or not: what a picture is called must not depend on how far the run is.
    shared = _shared(pair.content for pair in manifest.pairs)
    found: list[Picture] = []
    unfinished: list[Unfinished] = []
    for one in outcomes(manifest, latest.record, Ledger(output)):
        folder = _below(one.spec.content, shared) if one.spec else ""
        if one.record and one.image:
            found.append(Picture(one.row, storage.join(output, one.image), one.record.output_sha256, folder))
        else:
            unfinished.append(Unfinished(one.row, folder))
    if not found:
        raise OutputError(f"{output}: expected finished pairs to export, found none; `nst status` says why")
    columns = tuple(dict.fromkeys((*RESULT_COLUMNS, *manifest.extra_columns)))
    return Pictures(tuple(found), tuple(unfinished), columns)


def _shared(contents: Iterable[str]) -> tuple[str, ...]:
    """The folder that all contents lie below, in its parts."""
    folders = [_folder(content) for content in set(contents)]
    return tuple(os.path.commonprefix(folders)) if folders else ()  # of lists it compares the parts


def _below(content: str, shared: Sequence[str]) -> str:
    return "/".join(part for part in _folder(content)[len(shared) :] if part and part != "s3:")


def _folder(content: str) -> tuple[str, ...]:
    return tuple(storage.parent_of(content).replace("s3://", "s3:/").split("/"))

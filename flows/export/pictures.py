"""Finds the images to export: one for each succeeded row of an output's latest run, in the order of its manifest.

Pending, failed and rejected rows have no image now, but may have had one that an earlier export copied.
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
    """A finished image.

    Attributes:
        row: its row of the results table.
        address: address of the file in the output.
        sha256: sha256 of the file, from its record.
        folder: folder of the content image, relative to the common folder of all content images of the manifest;
            empty if it is that folder.
    """

    row: Row
    address: str
    sha256: str
    folder: str

    @property
    def ending(self) -> str:
        """The file's extension, with its dot."""
        return os.path.splitext(self.address)[1]

    @property
    def label(self) -> str:
        """The image's row, as messages name it."""
        return f"line {self.row['row']} {self.row['pair_id']}"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A row that has no image now.

    Attributes:
        row: its row of the results table.
        folder: as in `Picture`; empty if the row was rejected.
    """

    row: Row
    folder: str


@dataclass(frozen=True)
class Pictures:
    """The finished images of a run, the rows that have no image, and the columns of all rows."""

    pictures: tuple[Picture, ...]
    unfinished: tuple[Unfinished, ...]
    columns: tuple[str, ...]


def pictures_of(output: str) -> Pictures:
    """Return the finished images of an output's latest run.

    Raises:
        OutputError: if no run was ever made into this output, no pair is finished yet, or a record is damaged.
        StorageError: if the output cannot be read.
    """
    latest = latest_run(output)
    manifest = latest.manifest
    # Of all rows, finished or not: an image's name must not depend on how far the run has come.
    common = _common_folder(pair.content for pair in manifest.pairs)
    pictures: list[Picture] = []
    unfinished: list[Unfinished] = []
    for outcome in outcomes(manifest, latest.record, Ledger(output)):
        folder = _relative_folder(outcome.spec.content, common) if outcome.spec else ""
        if outcome.record and outcome.image:
            address = storage.join(output, outcome.image)
            pictures.append(Picture(outcome.row, address, outcome.record.output_sha256, folder))
        else:
            unfinished.append(Unfinished(outcome.row, folder))
    if not pictures:
        raise OutputError(f"{output}: expected finished pairs to export, found none; `nst status` says why")
    columns = tuple(dict.fromkeys((*RESULT_COLUMNS, *manifest.extra_columns)))
    return Pictures(tuple(pictures), tuple(unfinished), columns)


def _common_folder(contents: Iterable[str]) -> tuple[str, ...]:
    """Return the deepest folder that contains all content images, split into its parts."""
    folders = [_folder(content) for content in set(contents)]
    return tuple(os.path.commonprefix(folders)) if folders else ()  # of sequences, it compares whole parts


def _relative_folder(content: str, common: Sequence[str]) -> str:
    """Return the folder of a content image relative to the common folder."""
    return "/".join(part for part in _folder(content)[len(common) :] if part and part != "s3:")


def _folder(content: str) -> tuple[str, ...]:
    """Return the folder of a content image, split into its parts."""
    return tuple(storage.parent_of(content).replace("s3://", "s3:/").split("/"))

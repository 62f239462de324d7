"""Packs images into tar files as WebDataset reads them: `KEY.png`, and next to it `KEY.json` with its row.

A finished shard is never changed: new images go into further shards. The same images always give the same bytes.
"""

import hashlib
import io
import itertools
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from flows import storage
from flows.export.copying import DAMAGED, PICTURE_ERRORS
from flows.export.metadata_files import row_json
from flows.export.pictures import Picture
from flows.export.state_file import ExportedFile
from flows.storage.temporary import named_as_temporary, temporary_file

READ_AT_ONCE = 16
"""How many images are read concurrently, and so held in memory."""


@dataclass
class Shard:
    """A local temporary tar file that is being filled.

    Attributes:
        file: the temporary file.
        tar: the tar archive in it.
        samples: name of each image in it -> sha256.
    """

    file: IO[bytes]
    tar: tarfile.TarFile
    samples: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes written so far, without the end marker of the archive."""
        return self.tar.offset

    def add(self, name: str, picture: Picture, data: bytes, columns: Sequence[str]) -> None:
        """Add an image and its row.

        Args:
            name: name of the image in the dataset.
            picture: the image.
            data: its bytes.
            columns: the columns of its row.
        """
        stem = name.removesuffix(picture.ending)
        for member, content in ((name, data), (f"{stem}.json", row_json(picture, columns))):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            with named_as_temporary():
                self.tar.addfile(info, io.BytesIO(content))
        self.samples[name] = picture.sha256

    def close(self) -> ExportedFile:
        """Finish the archive and return its entry for the state file."""
        with named_as_temporary():
            self.tar.close()
            self.file.flush()
            self.file.seek(0)
            sha256 = hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]  # a file, as IO
        return ExportedFile(sha256=sha256, size=self.file.tell(), samples=self.samples)


@contextmanager
def new_shard() -> Iterator[Shard]:
    """Provide an empty shard, whose temporary file is removed at the end of the block.

    Raises:
        StorageError: if the disk is full.
    """
    # The archive is not closed after an error: it has no file of its own, and closing it would write to the shard.
    with temporary_file() as file:
        yield Shard(file, tarfile.open(fileobj=file, mode="w"))  # noqa: SIM115


def shard_names(taken: Mapping[str, ExportedFile]) -> Iterator[str]:
    """Yield the names of further shards, without those that are taken."""
    names = (f"shard-{number:06d}.tar" for number in itertools.count())
    return (name for name in names if name not in taken)


def read_pictures(
    wanted: Sequence[tuple[str, Picture]], readable: storage.Places | None
) -> Iterator[tuple[str, Picture, bytes | str]]:
    """Yield each image with its bytes, or with the reason why it is left out; `READ_AT_ONCE` images are read ahead.

    Args:
        wanted: (name, image) of each image to read.
        readable: the folders from which images may be read; None: any.

    Raises:
        StorageError: if the output cannot be read.
    """

    def read(item: tuple[str, Picture]) -> bytes | str:
        picture = item[1]
        try:
            data = storage.read(picture.address, within=readable)
        except PICTURE_ERRORS as error:
            return str(error)
        is_whole = hashlib.sha256(data).hexdigest() == picture.sha256
        return data if is_whole else f"{picture.address}: {DAMAGED}"

    for start in range(0, len(wanted), READ_AT_ONCE):
        part = wanted[start : start + READ_AT_ONCE]
        for (name, picture), data in zip(part, storage.each(read, part), strict=True):
            yield name, picture, data

"""Pictures in tar files as WebDataset reads them: `KEY.png` and beside it `KEY.json`, its row.

A shard is never changed once it is there: what is new goes into further ones. Its bytes follow from its pictures.
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
from flows.export.copying import DAMAGED, PICTURE_S_OWN
from flows.export.listing import row_json
from flows.export.pictures import Picture
from flows.export.state_file import KeptFile
from flows.storage.temporary import named_as_temporary, temporary_file

READ_AT_ONCE = 16


@dataclass
class Shard:
    """A tar file on this disk while it is being filled."""

    file: IO[bytes]
    tar: tarfile.TarFile
    samples: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes so far, but for the end mark."""
        return self.tar.offset

    def add(self, name: str, picture: Picture, data: bytes, columns: Sequence[str]) -> None:
        """Take a picture in, with its row."""
        stem = name.removesuffix(picture.ending)
        for member, content in ((name, data), (f"{stem}.json", row_json(picture, columns))):
            facts = tarfile.TarInfo(member)
            facts.size = len(content)
            with named_as_temporary():
                self.tar.addfile(facts, io.BytesIO(content))
        self.samples[name] = picture.sha256

    def close(self) -> KeptFile:
        """Finish the file; what is to be written down of it."""
        with named_as_temporary():
            self.tar.close()
            self.file.flush()
            self.file.seek(0)
            sha256 = hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]  # a file, as IO
        return KeptFile(sha256=sha256, size=self.file.tell(), samples=self.samples)


@contextmanager
def new_shard() -> Iterator[Shard]:
    """An empty shard.

    Raises:
        StorageError: if there is no room for it on this disk.
    """
    # A tar file that is left open by an error is no file of its own: nothing more is to be written then.
    with temporary_file() as file:
        yield Shard(file, tarfile.open(fileobj=file, mode="w"))  # noqa: SIM115


def shard_names(taken: Mapping[str, KeptFile]) -> Iterator[str]:
    """The names of further shards."""
    names = (f"shard-{number:06d}.tar" for number in itertools.count())
    return (name for name in names if name not in taken)


def read_pictures(
    wanted: Sequence[tuple[str, Picture]], readable: storage.Places | None
) -> Iterator[tuple[str, Picture, bytes | str]]:
    """Each picture with its bytes, or with why it is left out; some are read ahead.

    Raises:
        StorageError: if the output cannot be read.
    """

    def read(one: tuple[str, Picture]) -> bytes | str:
        picture = one[1]
        try:
            data = storage.read(picture.address, within=readable)
        except PICTURE_S_OWN as error:
            return str(error)
        is_whole = hashlib.sha256(data).hexdigest() == picture.sha256
        return data if is_whole else f"{picture.address}: {DAMAGED}"

    for start in range(0, len(wanted), READ_AT_ONCE):
        part = wanted[start : start + READ_AT_ONCE]
        for (name, picture), data in zip(part, storage.each(read, part), strict=True):
            yield name, picture, data

"""One picture from an output to a destination: copied, linked or copied by S3 itself, and held against its record."""

from dataclasses import dataclass

from flows import storage
from flows.errors import NotAFile, NotAllowed, NotFound, OutputError
from flows.export.pictures import Picture
from flows.export.up_to_date import is_of

PICTURE_S_OWN = (NotFound, NotAFile, NotAllowed)
"""Errors that are about one picture; any other, such as a full disk, would be that of all."""
DAMAGED = "is not what was made; remove it, and run again to have it made anew"


@dataclass(frozen=True)
class Way:
    """How pictures get to a destination.

    Attributes:
        destination: folder or `s3://` prefix.
        linked: whether a picture on this disk gets a second name instead of a copy.
        readable: where pictures may lie; None: anywhere.
    """

    destination: str
    linked: bool = False
    readable: storage.Places | None = None

    def take(self, name: str, picture: Picture) -> str | None:
        """Bring a picture there; or why it is left out.

        Raises:
            OutputError: if there can be no links.
            StorageError: if nothing can be written there.
        """
        target = storage.join(self.destination, name)
        try:
            if not storage.is_s3(picture.address) and not is_of(picture.address, picture.sha256):
                return _damage(picture.address)
            self._bring(picture.address, target)
        except PICTURE_S_OWN as error:
            return str(error)
        if storage.is_s3(picture.address) and not storage.is_s3(target) and not is_of(target, picture.sha256):
            storage.remove(target)
            return _damage(picture.address)
        return None

    def _bring(self, source: str, target: str) -> None:
        if not self.linked:
            storage.copy(source, target, self.readable)
        elif not storage.link(source, target, self.readable):
            raise OutputError(f"{target}: cannot be a hard link of {source}: leave --link out to have copies")


def _damage(address: str) -> str:
    if storage.identity(address) is None:
        return f"{address}: no such file"
    return f"{address}: {DAMAGED}"

"""Copies one image from an output to a destination, or hard-links it, and verifies it against its record's sha256."""

from dataclasses import dataclass

from flows import storage
from flows.errors import NotAFile, NotAllowed, NotFound, OutputError
from flows.export.pictures import Picture
from flows.export.up_to_date import has_sha256

PICTURE_ERRORS = (NotFound, NotAFile, NotAllowed)
"""Errors that concern one image only; any other error, such as a full disk, would occur for every image."""
DAMAGED = "is not what was made; remove it, and run again to compute it again"


@dataclass(frozen=True)
class Copier:
    """Copies images to a destination.

    Attributes:
        destination: folder or `s3://` prefix.
        linked: whether local images are hard-linked instead of copied.
        readable: the folders from which images may be read; None: any.
    """

    destination: str
    linked: bool = False
    readable: storage.Places | None = None

    def copy(self, name: str, picture: Picture) -> str | None:
        """Copy an image to a name below the destination.

        Returns:
            Why the image is left out; None if it was copied.

        Raises:
            OutputError: if hard links are not possible.
            StorageError: if the destination cannot be written.
        """
        target = storage.join(self.destination, name)
        try:
            if storage.is_local(picture.address) and not has_sha256(picture.address, picture.sha256):
                return _damage(picture.address)
            self._copy_or_link(picture.address, target)
        except PICTURE_ERRORS as error:
            return str(error)
        is_download = storage.is_local(target) and not storage.is_local(picture.address)
        if is_download and not has_sha256(target, picture.sha256):
            storage.remove(target)
            return _damage(picture.address)
        return None

    def _copy_or_link(self, source: str, target: str) -> None:
        if not self.linked:
            storage.copy(source, target, self.readable)
        elif not storage.link(source, target, self.readable):
            raise OutputError(f"{target}: cannot be a hard link of {source}: leave --link out to have copies")


def _damage(address: str) -> str:
    """Return why an image that does not have its record's sha256 is left out."""
    if storage.identity(address) is None:
        return f"{address}: no such file"
    return f"{address}: {DAMAGED}"

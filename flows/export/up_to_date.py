"""Which files of an export are there already, whole: what was finished once, and what a cut export had copied."""

import hashlib
from collections.abc import Iterable

from flows import storage
from flows.export.destination import Destination
from flows.export.pictures import Picture
from flows.export.state_file import KeptFile


def names_there(destination: Destination, wanted: dict[str, Picture]) -> frozenset[str]:
    """Those of the wanted names whose files are there and hold what they have to."""
    begun = [name for name in wanted if name in destination.found and name in destination.kept.files]
    same = [name for name in begun if destination.kept.files[name].sha256 == wanted[name].sha256]
    seen = {name for name in same if destination.kept.files[name].version == destination.found[name].version}
    rest = [name for name in same if name not in seen]
    images = _versions_of(wanted[name] for name in rest) if storage.is_s3(destination.address) else {}

    def is_whole(name: str) -> bool:
        if storage.is_s3(destination.address):
            return images[wanted[name].address] == destination.found[name].version
        return is_of(storage.join(destination.address, name), wanted[name].sha256)

    return frozenset(seen).union(name for name, whole in zip(rest, storage.each(is_whole, rest), strict=True) if whole)


def shards_there(destination: Destination) -> dict[str, KeptFile]:
    """The shards that are there and whole."""
    return {
        name: file
        for name, file in destination.kept.files.items()
        if name in destination.found and _is_whole_shard(destination, name, file)
    }


def is_of(address: str, sha256: str) -> bool:
    """Whether a file on a disk holds what has this sha256; of one that is too large to be read, taken for granted."""
    found = storage.identity(address)
    return found == f"sha256:{sha256}" or (found is not None and found.startswith("unread:"))


def _is_whole_shard(destination: Destination, name: str, file: KeptFile) -> bool:
    entry = destination.found[name]
    if entry.version == file.version:
        return True
    # An object is there as a whole or not at all.
    if entry.size != file.size or storage.is_s3(destination.address):
        return entry.size == file.size
    return is_of(storage.join(destination.address, name), file.sha256)


def _versions_of(pictures: Iterable[Picture]) -> dict[str, str]:
    """What S3 calls the contents of some pictures: an ETag, which of an object written at once is its MD5.

    Where it is not, as of encrypted objects, two of the same content differ, and the picture is copied once more.
    """
    addresses = [picture.address for picture in pictures]
    if not addresses:
        return {}
    if storage.is_s3(addresses[0]):
        folder = storage.parent_of(addresses[0])
        listed = {entry.name: entry.version for entry in storage.entries(folder)}
        return {address: listed.get(storage.name_of(address), "") for address in addresses}
    return dict(zip(addresses, storage.each(_etag, addresses), strict=True))


def _etag(address: str) -> str:
    return f'"{hashlib.md5(storage.read(address), usedforsecurity=False).hexdigest()}"'

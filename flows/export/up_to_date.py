"""Finds the files of an export that already exist and are whole, whether the export that wrote them ended or not."""

import hashlib
from collections.abc import Iterable

from flows import storage
from flows.export.destination import Destination
from flows.export.pictures import Picture
from flows.export.state_file import ExportedFile


def up_to_date_names(destination: Destination, wanted: dict[str, Picture]) -> frozenset[str]:
    """Return those wanted names whose files exist and have the sha256 of their image."""
    begun = [name for name in wanted if name in destination.existing and name in destination.state.files]
    same = [name for name in begun if destination.state.files[name].sha256 == wanted[name].sha256]
    unchanged = {name for name in same if destination.state.files[name].version == destination.existing[name].version}
    unsure = [name for name in same if name not in unchanged]
    etags = _etags_of(wanted[name] for name in unsure) if storage.is_s3(destination.address) else {}

    def is_whole(name: str) -> bool:
        if storage.is_s3(destination.address):
            return etags[wanted[name].address] == destination.existing[name].version
        return has_sha256(storage.join(destination.address, name), wanted[name].sha256)

    checked = zip(unsure, storage.each(is_whole, unsure), strict=True)
    return frozenset(unchanged).union(name for name, whole in checked if whole)


def complete_shards(destination: Destination) -> dict[str, ExportedFile]:
    """Return the shards that exist and are whole, by name."""
    return {
        name: file
        for name, file in destination.state.files.items()
        if name in destination.existing and _is_complete_shard(destination, name, file)
    }


def has_sha256(address: str, sha256: str) -> bool:
    """Tell whether a local file has this sha256; a file that is too large to be hashed is assumed to have it."""
    identity = storage.identity(address)
    return identity == f"sha256:{sha256}" or (identity is not None and identity.startswith("unread:"))


def _is_complete_shard(destination: Destination, name: str, file: ExportedFile) -> bool:
    entry = destination.existing[name]
    if entry.version == file.version:
        return True
    # S3 writes an object completely or not at all, so its size is enough.
    if entry.size != file.size or storage.is_s3(destination.address):
        return entry.size == file.size
    return has_sha256(storage.join(destination.address, name), file.sha256)


def _etags_of(pictures: Iterable[Picture]) -> dict[str, str]:
    """Return the ETag of each image by address: that of an object written by one request is the MD5 of its bytes.

    Where it is not, as for encrypted objects, the ETags of two equal objects differ, and the image is copied again.
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
    """Return the ETag that S3 would give a local file."""
    return f'"{hashlib.md5(storage.read(address), usedforsecurity=False).hexdigest()}"'

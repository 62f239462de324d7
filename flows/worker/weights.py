"""Resolve the weights file of a run to a verified local file, downloading it from S3 first where it is there."""

import hashlib

from flows import storage, stub
from flows.environment import user_folder
from flows.errors import NotFound
from flows.settings import RunSettings
from nst_core.backbones.catalogue import WeightsFile
from nst_core.backbones.find import find_weights
from nst_core.errors import WeightsError

WEIGHTS_SECONDS = 1800.0
"""The time limit of the download: weights are half a gigabyte, and are fetched once."""


def resolve_weights(settings: RunSettings) -> WeightsFile:
    """Return the weights file of a run after checking its sha256; one on S3 is copied to this machine first.

    Raises:
        WeightsError: if there is no such file, or it is not the one that the settings request.
        StorageError: if it cannot be read.
    """
    if settings.backbone == stub.NAME:
        return stub.WEIGHTS
    return weights_here(settings.backbone, settings.weights, settings.weights_sha256)


def weights_here(backbone: str, address: str | None, sha256: str | None) -> WeightsFile:
    """Return the weights file of a backbone on this machine after checking its sha256.

    Args:
        backbone: the backbone's name in `nst_core.backbones.catalogue`.
        address: the file, local or on S3; None is the published file.
        sha256: the hash that the file must have; None is the published file's.

    Raises:
        WeightsError: if there is no such file, or its hash differs.
        StorageError: if it cannot be read.
    """
    path = _local_copy(address) if address is not None and not storage.is_local(address) else address
    found = find_weights(backbone, path, sha256)
    if sha256 is not None and found.sha256 != sha256.lower():  # a published file is only checked against its own hash
        raise WeightsError(
            f"backbone {backbone}: expected weights of sha256 {sha256}, its published file has {found.sha256}: name "
            "the file you mean with --weights, or leave --weights-sha256 out"
        )
    return found


def _local_copy(address: str) -> str:
    """Return the path of a copy in the user's cache, downloading the object if there is none.

    The copy is named by the object's identity, so that a changed object is fetched again.
    """
    identity = storage.identity(address)
    if identity is None:
        raise NotFound(f"{address}: there is no such weights file")
    cache = user_folder("XDG_CACHE_HOME", ".cache")
    name = hashlib.sha256(f"{address} {identity}".encode()).hexdigest()[:32]
    path = str(cache / f"{name}.weights")
    if storage.identity(path) is None:
        storage.sweep([str(cache)])  # what a download that was killed has left is as large as the weights
        storage.create(path, storage.read(address, seconds=WEIGHTS_SECONDS))
    return path

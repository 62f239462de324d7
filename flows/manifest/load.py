"""Read a manifest from its address and apply the operator's limits. Imports neither torch nor prefect."""

import hashlib
import os

from flows import storage
from flows.errors import Forbidden, ManifestError, StorageError, Unavailable
from flows.limits import Limits
from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import within_limits
from flows.manifest.stdin import STANDARD_INPUT, address_of, standard_input
from flows.records.layout import is_own_manifest
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions


def load_manifest(
    manifest: str, options: StylizeOptions, limits: Limits, sha256: str | None = None
) -> tuple[bytes, Manifest]:
    """Return a manifest's bytes and the parsed manifest, with the rows that exceed the limits among the rejected ones.

    Args:
        manifest: the manifest's address, or `-` for standard input.
        options: the run's options, which a row's own options override.
        limits: the operator's limits.
        sha256: the SHA-256 that its bytes must have; None accepts any bytes.

    Raises:
        ManifestError: the manifest cannot be read, has other bytes, or cannot be used as a whole.
        NotAllowed: the limits do not allow reading it.
    """
    address = address_of(manifest)
    data = standard_input(limits.max_manifest_bytes) if manifest == STANDARD_INPUT else _read(address, limits)
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ManifestError(
            f"{storage.name_of(address)}: expected the bytes with sha256 {sha256}, found {found}: the file was "
            "replaced after the run was requested; request it again"
        )
    parsed = parse_manifest(data, address, options, max_rows=limits.max_rows, max_bytes=limits.max_manifest_bytes)
    return data, within_limits(parsed, limits)


def _read(address: str, limits: Limits) -> bytes:
    is_ours = is_own_manifest(address)
    limits.check_readable(address, is_ours=is_ours)
    within = limits.readable_by_runs if is_ours else limits.readable
    try:
        return storage.read(address, limits.max_manifest_bytes, within=within)
    except (Forbidden, Unavailable):
        raise
    except StorageError as error:  # for example a folder, or a file that is too large
        is_folder = storage.is_local(address) and os.path.isdir(address)
        advice = "; nst pairs makes a manifest of folders of images" if is_folder else ""
        raise ManifestError(f"no manifest: {error}{advice}") from error

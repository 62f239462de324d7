"""A manifest from its address, within the limits. No torch, no prefect."""

from flows import storage
from flows.errors import Forbidden, ManifestError, StorageError, Unavailable
from flows.limits import Limits
from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import within_limits
from flows.records import Manifest
from nst_core.options import StylizeOptions


def load_manifest(address: str, options: StylizeOptions, limits: Limits) -> tuple[bytes, Manifest]:
    """A manifest's bytes and what they say; rows that the limits refuse are among the rejected ones.

    Raises:
        ManifestError: if it cannot be read or used as a whole.
        NotAllowed: if the limits keep it closed.
    """
    limits.check_readable(address)
    try:
        data = storage.read(address, limits.max_manifest_bytes, within=limits.readable)
    except (Forbidden, Unavailable):
        raise
    except StorageError as error:  # what is there is no manifest
        raise ManifestError(f"no manifest: {error}") from error
    manifest = parse_manifest(data, address, options, max_rows=limits.max_rows, max_bytes=limits.max_manifest_bytes)
    return data, within_limits(manifest, limits)

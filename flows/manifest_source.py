"""A manifest from its address, or from the snapshot that an output's latest run kept. No torch, no prefect."""

from flows import storage
from flows.errors import Forbidden, ManifestError, StorageError, Unavailable
from flows.ledger import Ledger
from flows.manifest import MAX_BYTES, parse_manifest
from flows.records import Manifest, RunRecord
from nst_core.options import StylizeOptions


def load_manifest(address: str, options: StylizeOptions) -> tuple[bytes, Manifest]:
    """A manifest's bytes and what they say.

    Raises:
        ManifestError: if it cannot be read or used as a whole.
    """
    try:
        data = storage.read(address, MAX_BYTES)
    except (Forbidden, Unavailable):
        raise
    except StorageError as error:  # what is there is no manifest
        raise ManifestError(f"no manifest: {error}") from error
    return data, parse_manifest(data, address, options)


def latest_manifest(output: str) -> tuple[RunRecord, bytes, Manifest]:
    """The latest run of an output, with the bytes of its manifest and what they say.

    Raises:
        OutputError: if nothing was ever run into this output.
    """
    run, data = Ledger(output).latest_run()
    # Relative addresses go on meaning what they meant beside the original.
    return run, data, parse_manifest(data, run.manifest_uri, run.options)

"""A manifest from its address, or from the snapshot that an output's latest run kept. No torch, no prefect."""

import sys
from collections.abc import Mapping
from typing import Any

from flows import storage
from flows.errors import Forbidden, ManifestError, StorageError, Unavailable
from flows.ledger import Ledger
from flows.limits import Limits
from flows.manifest import parse_manifest
from flows.records import Manifest, RunRecord
from flows.refusals import refuse, within_limits
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions


def load_manifest(address: str, options: StylizeOptions, limits: Limits) -> tuple[bytes, Manifest]:
    """A manifest's bytes and what they say; rows that the limits refuse are among the rejected ones.

    Raises:
        ManifestError: if it cannot be read or used as a whole.
        NotAllowed: if the limits keep it closed.
    """
    limits.check_readable(address)
    try:
        data = storage.read(address, limits.max_manifest_bytes)
    except (Forbidden, Unavailable):
        raise
    except StorageError as error:  # what is there is no manifest
        raise ManifestError(f"no manifest: {error}") from error
    manifest = parse_manifest(data, address, options, max_rows=limits.max_rows, max_bytes=limits.max_manifest_bytes)
    return data, within_limits(manifest, limits)


def latest_manifest(output: str, overrides: Mapping[str, Any] | None = None) -> tuple[RunRecord, bytes, Manifest]:
    """The latest run of an output, with the bytes of its manifest and what they say.

    Args:
        output: local folder or `s3://` prefix.
        overrides: options on top of every row's own, and of those that the latest run had on top.

    Raises:
        OutputError: if nothing was ever run into this output.
        OptionsError: if the overrides do not go with a row's own options.
    """
    run, data = Ledger(output).latest_run()
    # Relative addresses go on meaning what they meant beside the original.
    # What the limits allowed then is not asked again: the table goes on saying what the run did.
    manifest = _parsed(run, data, run.overrides)
    if overrides:
        changed = _parsed(run, data, run.overrides | dict(overrides))
        known = {row.row for row in manifest.rejected}
        for row in changed.rejected:
            if row.row not in known:
                raise OptionsError(f"line {row.row} of the manifest cannot be done with these options: {row.reason()}")
        manifest = changed
    return run, data, refuse(manifest, run.refused)


def _parsed(run: RunRecord, data: bytes, overrides: Mapping[str, Any]) -> Manifest:
    return parse_manifest(
        data, run.manifest_uri, run.options, overrides=overrides, max_rows=sys.maxsize, max_bytes=sys.maxsize
    )

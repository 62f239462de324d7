"""The manifest of an output's latest run, from the copy that the run kept. No torch, no prefect."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import refuse
from flows.output.ledger import Ledger
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from nst_core.errors import OptionsError
from nst_core.options.stylize_options import put_over


@dataclass(frozen=True)
class LatestRun:
    """The latest run of an output.

    Attributes:
        record: what was asked.
        data: its manifest, byte for byte.
        manifest: what that says.
    """

    record: RunRecord
    data: bytes
    manifest: Manifest


def latest_run(output: str, overrides: Mapping[str, Any] | None = None) -> LatestRun:
    """The latest run of an output, with its manifest.

    Args:
        output: local folder or `s3://` prefix.
        overrides: options on top of every row's own, and of those that the latest run had on top.

    Raises:
        OutputError: if nothing was ever run into this output.
        OptionsError: if the overrides do not go with a row's own options.
    """
    ledger = Ledger(output)
    run = ledger.latest_run()
    data = ledger.manifest_of(run.run_id)
    # Relative addresses go on meaning what they meant beside the original.
    # What the limits allowed then is not asked again: the table goes on saying what the run did.
    manifest = _parsed(run, data, run.overrides)
    if overrides:
        changed = _parsed(run, data, put_over(run.overrides, overrides))
        known = {row.row for row in manifest.rejected}
        for row in changed.rejected:
            if row.row not in known:
                raise OptionsError(f"line {row.row} of the manifest cannot be done with these options: {row.reason()}")
        manifest = changed
    return LatestRun(run, data, refuse(manifest, run.refused))


def _parsed(run: RunRecord, data: bytes, overrides: Mapping[str, Any]) -> Manifest:
    return parse_manifest(
        data, run.manifest_uri, run.options, overrides=overrides, max_rows=None, max_bytes=sys.maxsize
    )

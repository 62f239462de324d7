"""Reads the latest run of an output and its manifest, from the copy that the run kept. No torch, no prefect."""

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
from nst_core.options.stylize_options import merge_options


@dataclass(frozen=True)
class LatestRun:
    """The latest run of an output.

    Attributes:
        record: the run's plan and options.
        data: the manifest of the run, byte for byte.
        manifest: the parsed manifest.
    """

    record: RunRecord
    data: bytes
    manifest: Manifest


def latest_run(output: str, overrides: Mapping[str, Any] | None = None) -> LatestRun:
    """Return the latest run of an output, with its manifest.

    Args:
        output: local folder or `s3://` prefix.
        overrides: options that override every row's own, and the overrides of the latest run.

    Raises:
        OutputError: if no run was ever made into this output.
        OptionsError: if the overrides contradict a row's own options.
    """
    ledger = Ledger(output)
    run = ledger.latest_run()
    data = ledger.manifest_of(run.run_id)
    # Relative addresses are still resolved against the folder of the original manifest.
    # The limits are not checked again: the table has to go on showing what the run did.
    manifest = _parsed(run, data, run.overrides, recorded=True)
    if overrides:
        changed = _parsed(run, data, merge_options(run.overrides, overrides), recorded=False)
        known = {row.row for row in manifest.rejected}
        for row in changed.rejected:
            if row.row not in known:
                raise OptionsError(f"line {row.row} of the manifest cannot be done with these options: {row.reason()}")
        manifest = changed
    return LatestRun(run, data, refuse(manifest, run.refused))


def _parsed(run: RunRecord, data: bytes, overrides: Mapping[str, Any], *, recorded: bool) -> Manifest:
    return parse_manifest(
        data,
        run.manifest_uri,
        run.options,
        overrides=overrides,
        max_rows=None,
        max_bytes=sys.maxsize,
        recorded=recorded,
    )

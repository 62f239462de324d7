"""The names of an output's files and folders, relative to the output; all other modules use these constants."""

import re

IMAGES = "images"
TIMELINES = "timelines"
STATE = "_nst"
"""The folder of all state that later runs rely on; `flows.output.ledger` describes its contents."""

FOLDERS = (IMAGES, TIMELINES, STATE)
"""The folders that runs write into."""

RESULTS_CSV = "results.csv"
RESULTS_PARQUET = "results.parquet"
HISTORY = "history.parquet"
SUMMARY = "summary.json"
REPORT = "report.html"
SUCCESS = "_SUCCESS"
"""A marker file that exists if and only if no row of the latest run is pending, and each pair that it took on has an
outcome of its own: not just the failure of an earlier run."""

REWRITTEN = (RESULTS_CSV, RESULTS_PARQUET, HISTORY, SUMMARY, REPORT, SUCCESS)
"""The files that every run rewrites at its end, replacing those of the run before."""

SHEET = "sheet.png"
LADDER_SHEET = "ladder.png"
LADDER_MANIFEST = "ladder.csv"

RUNS = f"{STATE}/runs"
RECORDS = f"{STATE}/records"
ATTEMPTS = f"{STATE}/attempts"
THUMBNAILS = f"{STATE}/thumbs"
GIVEN = f"{STATE}/given"
"""The folder of manifests that were passed as rows of Python."""
SNAPSHOT = f"{STATE}/records_snapshot.jsonl.gz"
LEASE = f"{STATE}/lease.json"
LATEST_RUN = f"{STATE}/latest_run"
"""The file with the id of the latest run. A folder that has it is an output."""

_OWN_MANIFEST = re.compile(rf"/{GIVEN}/[0-9a-f]{{16}}\.csv\Z|/{re.escape(LADDER_MANIFEST)}\Z")


def is_own_manifest(address: str) -> bool:
    """Return whether the program itself writes manifests to this address in an output.

    >>> is_own_manifest("/out/_nst/given/0123456789abcdef.csv"), is_own_manifest("s3://b/out/ladder.csv")
    (True, True)
    >>> is_own_manifest("/out/pairs.csv")
    False
    """
    return _OWN_MANIFEST.search(address) is not None

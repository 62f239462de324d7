"""The files and folders of an output, by their names below it. Every other module takes them from here."""

import re

IMAGES = "images"
TIMELINES = "timelines"
STATE = "_nst"
"""Everything that later runs rely on; see `flows.output.ledger` for what is in it."""

FOLDERS = (IMAGES, TIMELINES, STATE)
"""The folders that runs write into."""

RESULTS_CSV = "results.csv"
RESULTS_PARQUET = "results.parquet"
HISTORY = "history.parquet"
SUMMARY = "summary.json"
REPORT = "report.html"
SUCCESS = "_SUCCESS"
"""Present if and only if no row of the latest run is left pending."""

REWRITTEN = (RESULTS_CSV, RESULTS_PARQUET, HISTORY, SUMMARY, REPORT, SUCCESS)
"""The files that every run writes anew at its end, in place of those of the run before."""

SHEET = "sheet.png"
LADDER_SHEET = "ladder.png"
LADDER_MANIFEST = "ladder.csv"

RUNS = f"{STATE}/runs"
RECORDS = f"{STATE}/records"
ATTEMPTS = f"{STATE}/attempts"
THUMBNAILS = f"{STATE}/thumbs"
GIVEN = f"{STATE}/given"
"""Manifests that came without a file of their own: from standard input, or as rows of Python."""
SNAPSHOT = f"{STATE}/records_snapshot.jsonl.gz"
LEASE = f"{STATE}/lease.json"
LATEST_RUN = f"{STATE}/latest_run"
"""Holds the id of the latest run. Its presence tells an output from any other folder."""

_OWN_MANIFEST = re.compile(rf"/{GIVEN}/[0-9a-f]{{16}}\.csv\Z|/{re.escape(LADDER_MANIFEST)}\Z")


def is_own_manifest(address: str) -> bool:
    """Whether an address is one under which the program itself writes a manifest into an output.

    >>> is_own_manifest("/out/_nst/given/0123456789abcdef.csv"), is_own_manifest("s3://b/out/ladder.csv")
    (True, True)
    >>> is_own_manifest("/out/pairs.csv")
    False
    """
    return _OWN_MANIFEST.search(address) is not None

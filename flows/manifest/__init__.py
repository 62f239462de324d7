"""A CSV -> Manifest: every row a pair, or rejected with all that is wrong with it.

load       from an address, within the operator's limits
parse      CSV -> Manifest
csv_rows   bytes -> a header and numbered rows
columns    the header: which column sets what
rows       a row's cells -> a pair
pictures   which further pictures of a row go together
refusals   rows that the operator's limits do not allow
lookalikes which file a cell may have meant
split      a manifest cut into parts
ladder     a grid of settings as a manifest
"""

from flows.manifest.load import load_manifest
from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import refusals_of, refuse, within_limits
from flows.manifest.split import split_manifest

__all__ = ["load_manifest", "parse_manifest", "refusals_of", "refuse", "split_manifest", "within_limits"]

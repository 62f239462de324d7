"""A table -> Manifest: every row a pair, or rejected with all that is wrong with it.

load         from an address or standard input, within the operator's limits
given        what has no file of its own: standard input, rows of Python
formats      bytes -> a table, by what they begin with
table        what every format gives: a header and numbered rows
csv_rows     CSV; csv_text is its bytes as text
json_rows    JSON lines
parquet_rows Parquet
packed       what is in a gzip file
cells        a typed value -> its cell
passed_over  columns that ask for nothing, as in a results table that is handed in again
otherwise    rows of a results table that ask for other than it says they did
parse        a table -> Manifest
columns      the header: which column sets what
rows         a row's cells -> a pair
pictures     which further pictures of a row go together
refusals     rows that the operator's limits do not allow
lookalikes   which file a cell may have meant
split        a manifest cut into parts
as_opened    what a cell is called where its owner looks at it
ladder       a grid of settings as a manifest
listing      the pictures of a folder, prefix or glob
pairs        contents and styles as the rows of a manifest
"""

from flows.manifest.load import load_manifest
from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import refusals_of, refuse, within_limits
from flows.manifest.split import split_manifest

__all__ = ["load_manifest", "parse_manifest", "refusals_of", "refuse", "split_manifest", "within_limits"]

"""Parse and validate manifests: every row becomes a pair, or is rejected with everything that is wrong with it.

load               reads a manifest from an address or standard input and applies the operator's limits
stdin              reads a manifest from standard input
rows_of_python     writes a DataFrame or a list of dicts as a CSV manifest
formats            detects a file's format by its first bytes and reads it as a table
table              the interface of all formats: a header and numbered rows
csv_rows           reads CSV
csv_text           decodes the bytes of a text file
json_rows          reads JSON lines
parquet_rows       reads Parquet, in a subprocess
parquet_process    the subprocess that reads it, within a limit on its memory and time
gunzip             decompresses gzip files, up to a limit
cells              formats a typed value as the text of a CSV cell
ignored_columns    removes columns that set nothing, such as those of a results table used as a manifest
changed_rows       finds rows of such a table whose options or id no longer match their recorded result
parse              turns a table into a Manifest
columns            parses the header: which column sets what
rows               turns a row's cells into a pair
image_columns      checks which additional images and options of a row can be combined
refusals           rejects rows that exceed the operator's limits
lookalikes         suggests which existing file a cell may have meant
split              splits a manifest into parts
spreadsheet_cells  names rows and cells as the user's spreadsheet does
ladder             writes a manifest for a grid of settings
listing            lists the images of a folder, prefix or glob
pairs              pairs contents and styles as the rows of a manifest
"""

from flows.manifest.load import load_manifest
from flows.manifest.parse import parse_manifest
from flows.manifest.refusals import refusals_of, refuse, within_limits
from flows.manifest.split import split_manifest

__all__ = ["load_manifest", "parse_manifest", "refusals_of", "refuse", "split_manifest", "within_limits"]

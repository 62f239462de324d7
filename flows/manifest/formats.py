"""Detect the format of a manifest by its first bytes, and read it as a table.

The name is not used: it may be anything, and the copy that a run keeps has a name of its own.
"""

import re

from flows.manifest import gunzip, parquet_rows
from flows.manifest.csv_rows import read_csv
from flows.manifest.csv_text import start_of_text
from flows.manifest.json_rows import read_json_lines
from flows.manifest.table import Table

ENDINGS = tuple(f".{kind}{packed}" for kind in ("csv", "tsv", "jsonl", "ndjson", "parquet") for packed in ("", ".gz"))
"""The file name endings of manifests, in lower case."""
_JSON = re.compile(rb'\{\s*["}]|\[\s*\{')
"""The start of a JSON object, or of a list of objects; no header of a CSV starts like this."""


def read_table(data: bytes, name: str, max_bytes: int, *, may_be_long: bool = False) -> Table:
    """Return the table of a manifest in CSV, JSON lines or Parquet, optionally compressed with gzip.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.
        max_bytes: the most bytes the file may have when decompressed.
        may_be_long: whether the file may have any number of lines.

    Raises:
        ManifestError: the file has none of these formats, is damaged, or is too large.
    """
    if data.startswith(gunzip.MAGIC):
        data = gunzip.unpacked(data, name, max_bytes)
    if data.startswith(parquet_rows.MAGIC):
        return parquet_rows.read_parquet(data, name, max_bytes)
    if _JSON.match(start_of_text(data)):
        return read_json_lines(data, name, max_bytes, may_be_long=may_be_long)
    return read_csv(data, name, may_be_long=may_be_long)


def is_named_manifest(name: str) -> bool:
    """Return whether a file's name has one of the endings of manifests, in any case."""
    return name.lower().endswith(ENDINGS)


def own_stem(name: str) -> str:
    """Return a CSV's name without its ending, any other name unchanged: unique among the manifests of a folder.

    >>> own_stem("pairs.csv"), own_stem("pairs.csv.gz"), own_stem("pairs.jsonl.csv")
    ('pairs', 'pairs.csv.gz', 'pairs.jsonl.csv')
    """
    stem = name.removesuffix(".csv")
    return name if is_named_manifest(stem) else stem


def stem_of(name: str) -> str:
    """Return a manifest's name without its ending.

    >>> stem_of("pairs.csv.gz"), stem_of("pairs.v2.parquet"), stem_of("pairs")
    ('pairs', 'pairs.v2', 'pairs')
    """
    name = name.removesuffix(".gz")
    return name.rpartition(".")[0] or name

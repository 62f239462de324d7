"""Bytes -> a table, by what they begin with: a name may be anything, and the copy that a run keeps has its own."""

import re

from flows.manifest import gunzip, parquet_rows
from flows.manifest.csv_rows import read_csv
from flows.manifest.json_rows import read_json_lines
from flows.manifest.table import Table

ENDINGS = tuple(f".{kind}{packed}" for kind in ("csv", "tsv", "jsonl", "ndjson", "parquet") for packed in ("", ".gz"))
"""Of the names of manifests, whatever the case of their letters."""
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*["}]|\[\s*\{)')
"""Of an object, or of a list of them; no header of a CSV begins so."""


def read_table(data: bytes, name: str, max_bytes: int, *, may_be_long: bool = False) -> Table:
    """A manifest's table: CSV, JSON lines or Parquet, each perhaps packed by gzip.

    Args:
        data: of the file.
        name: of it, for messages.
        max_bytes: that may be in it; what is packed counts unpacked.
        may_be_long: whether it may have any number of lines.

    Raises:
        ManifestError: it is none of these, damaged, or too large.
    """
    if data.startswith(gunzip.MAGIC):
        data = gunzip.unpacked(data, name, max_bytes)
    if data.startswith(parquet_rows.MAGIC):
        return parquet_rows.read_parquet(data, name, max_bytes)
    if _JSON.match(data):
        return read_json_lines(data, name, max_bytes, may_be_long=may_be_long)
    return read_csv(data, name, may_be_long=may_be_long)


def is_named_manifest(name: str) -> bool:
    """Whether a file's name ends as that of a manifest."""
    return name.lower().endswith(ENDINGS)


def own_stem(name: str) -> str:
    """A CSV's name without its ending, any other name as a whole: no two manifests of one folder have the same.

    >>> own_stem("pairs.csv"), own_stem("pairs.csv.gz"), own_stem("pairs.jsonl.csv")
    ('pairs', 'pairs.csv.gz', 'pairs.jsonl.csv')
    """
    stem = name.removesuffix(".csv")
    return name if is_named_manifest(stem) else stem


def stem_of(name: str) -> str:
    """A manifest's name without its ending.

    >>> stem_of("pairs.csv.gz"), stem_of("pairs.v2.parquet"), stem_of("pairs")
    ('pairs', 'pairs.v2', 'pairs')
    """
    name = name.removesuffix(".gz")
    return name.rpartition(".")[0] or name

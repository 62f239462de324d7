"""Tell which dropped files are manifests by their names, and derive the names of answers, outputs and claims."""

import re

from flows import storage
from flows.manifest import formats
from flows.records.digests import short_digest
from flows.storage import addresses
from flows.wording import printable

WORKBOOKS = (".xlsx", ".xls", ".ods")
"""Endings of spreadsheet files, which people drop as manifests: each is answered with how to convert it to one."""
ENDINGS = (*formats.ENDINGS, *WORKBOOKS)
"""Endings of the files that are answered; the case of the letters does not matter."""
_OPEN_WORKBOOK = "~$"
"""The start of the name of the lock file that Excel keeps next to an open workbook."""
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
"""Matches the name of a manifest without its ending, which becomes the name of its output."""
MOST_NAME_BYTES = 255
"""The longest file name, in bytes, on most file systems."""
_PLAIN_ENDING = ".csv"
_LONGEST_ANSWER = ".rejected.json"


def is_manifest(name: str) -> bool:
    """Return whether a file of an inbox is treated as a manifest; its contents decide the format that it is read in.

    >>> is_manifest("spring.csv.gz"), is_manifest("SPRING.TSV"), is_manifest("spring.csv.rejected.json")
    (True, True, False)
    >>> is_manifest("spring.xlsx"), is_manifest("~$spring.xlsx")
    (True, False)
    """
    is_lock_file = name.startswith(_OPEN_WORKBOOK) and name.lower().endswith(WORKBOOKS)
    return name.lower().endswith(ENDINGS) and not is_lock_file


def is_safe(name: str) -> bool:
    """Return whether the name of a manifest can become the name of its output."""
    stem = name[: -len(_ending_of(name))]
    return SAFE_NAME.fullmatch(stem) is not None and not stem.endswith((".", " "))


def output_name(name: str) -> str:
    """Return the name of a manifest's output: the name without `.csv`, or the whole name for any other ending.

    Two manifests of one folder never share an output.

    >>> output_name("spring.csv"), output_name("spring.parquet"), output_name("spring.parquet.csv")
    ('spring', 'spring.parquet', 'spring.parquet.csv')
    """
    return formats.own_stem(name)


def claim_key(name: str, content: str) -> str:
    """Return the key of a claim: readable, safe as a file name, and different for different content.

    >>> claim_key("spring pictures.csv", "ab" * 32)
    'spring-pictures-67274ee991df54ee'
    """
    return f"{_readable(name)}-{short_digest([name, content], 16)}"


def answers_name(folder: str, name: str) -> str:
    r"""Return what the names of the answers to a dropped file begin with: its own name, or a safe one derived from it.

    >>> answers_name("/in", "spring.csv"), answers_name("s3://bucket/in", "what\n.csv")
    ('spring.csv', 'what-fbad2d58')
    """
    address = storage.join(folder, name + _LONGEST_ANSWER)
    is_plain = printable(name) == name and addresses.problem_of(address) is None
    if is_plain and len((name + _LONGEST_ANSWER).encode()) <= MOST_NAME_BYTES:
        return name
    return f"{_readable(name)}-{short_digest(name, 8)}"


def _ending_of(name: str) -> str:
    return max((ending for ending in ENDINGS if name.lower().endswith(ending)), key=len, default="")


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name.removesuffix(_PLAIN_ENDING))[:60].strip("-.") or "manifest"

"""Names of dropped files: which are manifests, and what their answers, outputs and claims are called after them."""

import re

from flows import storage
from flows.manifest import formats
from flows.records.digests import short_digest
from flows.storage import addresses
from flows.wording import printable

WORKBOOKS = (".xlsx", ".xls", ".ods")
"""Of files that whoever drops them takes for manifests: each is answered, with how to make one of it."""
ENDINGS = (*formats.ENDINGS, *WORKBOOKS)
"""Of the names of files that are answered, whatever the case of their letters."""
_OPEN_WORKBOOK = "~$"
"""Start of the name of what Excel keeps beside a workbook for as long as somebody has it open."""
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
"""Of a manifest without its ending: it becomes the name of the output."""
MOST_NAME_BYTES = 255
"""Of a file's name, on most file systems."""
_PLAIN_ENDING = ".csv"
_LONGEST_ANSWER = ".rejected.json"


def is_manifest(name: str) -> bool:
    """Whether a file of an inbox is taken for a manifest; what is in it decides how it is read.

    >>> is_manifest("spring.csv.gz"), is_manifest("SPRING.TSV"), is_manifest("spring.csv.rejected.json")
    (True, True, False)
    >>> is_manifest("spring.xlsx"), is_manifest("~$spring.xlsx")
    (True, False)
    """
    is_left_open = name.startswith(_OPEN_WORKBOOK) and name.lower().endswith(WORKBOOKS)
    return name.lower().endswith(ENDINGS) and not is_left_open


def is_safe(name: str) -> bool:
    """Whether an output can be called after a manifest."""
    stem = name[: -len(_ending_of(name))]
    return SAFE_NAME.fullmatch(stem) is not None and not stem.endswith((".", " "))


def output_name(name: str) -> str:
    """What a manifest's output is called: by a CSV's name without its ending, by any other name as a whole.

    Two manifests of one folder never have one output.

    >>> output_name("spring.csv"), output_name("spring.parquet"), output_name("spring.parquet.csv")
    ('spring', 'spring.parquet', 'spring.parquet.csv')
    """
    return formats.own_stem(name)


def claim_key(name: str, content: str) -> str:
    """A claim's name: readable, safe as a file name, and another one for other bytes.

    >>> claim_key("spring pictures.csv", "ab" * 32)
    'spring-pictures-67274ee991df54ee'
    """
    return f"{_readable(name)}-{short_digest([name, content], 16)}"


def answers_name(folder: str, name: str) -> str:
    r"""What the names of the answers to a dropped file begin with: its own, or another for one that is no safe start.

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

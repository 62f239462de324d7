"""What the files of all formats share: parts, one after the other, of which there may be too many."""

from typing import Final

Part = bytes | memoryview

MAX_PARTS: Final = 200_000
"""Of one file: programs write parts of 256 bytes at the least, which are as many in the largest file."""


class TooManyParts(Exception):
    """A file of more parts than any program writes; `limit` says how many of what there may be."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


def check_parts(number: int, what: str, most: int = MAX_PARTS) -> None:
    """Refuse to go on.

    Raises:
        TooManyParts: if there are more than `most`.
    """
    if number > most:
        raise TooManyParts(f"at most {most:,} {what}")

"""The parts that files of all formats consist of, and the limit on their number."""

from typing import Final

Part = bytes | memoryview
"""The bytes of a part of a file."""

MAX_PARTS: Final = 200_000
"""The most parts of one file. In parts of 256 bytes, the smallest that programs write, it is a file of 51 MB."""


class TooManyParts(Exception):
    """Raised for a file with more parts than any program writes.

    Attributes:
        limit: the largest number of parts, and what they are.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


def check_parts(number: int, what: str, most: int = MAX_PARTS) -> None:
    """Check a number of parts.

    Raises:
        TooManyParts: if there are more than `most`.
    """
    if number > most:
        raise TooManyParts(f"at most {most:,} {what}")

"""Glob patterns, split into the folder to list and the pattern for the files below it. No I/O."""

import functools
import re
from dataclasses import dataclass

from fsspec.utils import glob_translate

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Glob:
    """The files below a folder whose path, or the path of a folder that contains them, matches a pattern.

    Attributes:
        folder: the address of the folder to list.
        pattern: the pattern for paths relative to the folder; None if the text is not a valid glob, though it may be
            the name of a file.
        instead: what to write in place of an invalid glob.
    """

    folder: str
    pattern: re.Pattern[str] | None
    instead: str = ""

    def fits(self, name: str) -> bool:
        """Return whether a file matches, given its path relative to the folder."""
        folder = name.rpartition("/")[0]
        pattern = self.pattern
        return pattern is not None and (
            pattern.match(name) is not None or (folder != "" and _folder_fits(pattern, folder))
        )


def glob_of(address: str) -> Glob | None:
    """Parse an address with `*`, `?` or `[` as a glob; return None for an address without them.

    >>> glob_of("/data/photos/*/*.jpg").folder, glob_of("/data/photos")
    ('/data/photos', None)
    """
    parts = address.split("/")
    first = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), None)
    if first is None:
        return None
    folder = "/".join(parts[:first]) or "/"
    if any("**" in part and part != "**" for part in parts):
        return Glob(folder, None, "/".join(map(_apart, parts)))
    return Glob(folder, re.compile(glob_translate("/".join(parts[first:]))))


def _apart(part: str) -> str:
    """Put the `**` of a path part, which may only stand for whole folders, in front of it: `**.jpg` -> `**/*.jpg`."""
    return part if part == "**" or "**" not in part else f"**/{re.sub(r'[*]{2,}', '*', part)}"


@functools.lru_cache(maxsize=100_000)
def _folder_fits(pattern: re.Pattern[str], folder: str) -> bool:
    above = folder.rpartition("/")[0]
    return pattern.match(folder) is not None or (above != "" and _folder_fits(pattern, above))

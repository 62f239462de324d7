"""A glob -> the folder that it starts from, and which files below it are meant. No I/O."""

import functools
import re
from dataclasses import dataclass

from fsspec.utils import glob_translate

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Glob:
    """Files below a folder: those whose path, or that of a folder they lie in, fits a pattern.

    Attributes:
        pattern: None where what is written is no glob, though it may be a name.
        instead: what to write then.
    """

    folder: str
    pattern: re.Pattern[str] | None
    instead: str = ""

    def fits(self, name: str) -> bool:
        """Whether a file, named from the folder, is meant."""
        folder = name.rpartition("/")[0]
        pattern = self.pattern
        return pattern is not None and (
            pattern.match(name) is not None or (folder != "" and _folder_fits(pattern, folder))
        )


def glob_of(address: str) -> Glob | None:
    """An address with `*`, `?` or `[` as a glob; None of one without.

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
    """A part of a path with `**`, which stands for folders, before it: `**.jpg` -> `**/*.jpg`."""
    return part if part == "**" or "**" not in part else f"**/{re.sub(r'[*]{2,}', '*', part)}"


@functools.lru_cache(maxsize=100_000)
def _folder_fits(pattern: re.Pattern[str], folder: str) -> bool:
    above = folder.rpartition("/")[0]
    return pattern.match(folder) is not None or (above != "" and _folder_fits(pattern, above))

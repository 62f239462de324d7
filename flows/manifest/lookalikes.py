"""Suggest which existing file a cell may have meant if the file that it names does not exist.

Cells are pasted from word processors, web pages, Windows and Macs: with typographic quotes, zero-width spaces,
backslashes, letters in another Unicode normalisation form or, on local disk, in the other case. If exactly one file in
the folder has the same name apart from such differences, it is suggested, with both names shown in ASCII so that the
difference is visible. If the folder itself is missing, the hint says so instead. A local folder of very many files is
not searched: a hint is worth neither the time nor the memory, which every worker process would need.
"""

import functools
import os
import unicodedata
from itertools import islice

from flows import storage
from flows.errors import StorageError
from flows.wording import is_visible

_TYPOGRAPHY = str.maketrans("“”„‟«»‘’‚‛‐‑‒–—−", '""""""' + "''''" + "------")
_QUOTES = "\"'"
MOST_SEARCHED = 100_000
"""The most names that a folder on local disk may have to be searched."""


def hint(address: str) -> str:
    """Return a hint to append to the message that a file does not exist; empty if the address is nothing unusual."""
    wanted = address.replace("\\", "/")
    is_usual = wanted.isascii() and wanted == address and not set(_QUOTES) & set(address)
    if is_usual and storage.is_s3(address):
        return ""  # a listing of a large prefix takes minutes, and S3 is used to names in the right case
    if lookalike := _lookalike(address, wanted):
        return f"; was {lookalike!a} meant, where {storage.name_of(address)!a} is written?"
    if wanted != address:
        return "; '\\' separates no folders here, '/' does"
    return "" if storage.is_s3(address) else _missing_folder(address)


def _lookalike(address: str, wanted: str) -> str | None:
    """Return the one file, in the address's folder or below, whose normalised name is that of the wanted file."""
    folder, name = storage.parent_of(wanted), _plain(storage.name_of(wanted))
    if not _is_below(folder, storage.parent_of(address)):
        return None  # the user may not be allowed to know the names of files elsewhere
    try:
        alike = _alike_on_s3(folder, name) if storage.is_s3(folder) else _alike_on_disk(folder, name)
    except (OSError, StorageError):
        return None
    return storage.join(folder, alike[0]) if len(alike) == 1 else None


def _alike_on_s3(folder: str, name: str) -> list[str]:
    return [existing for existing in storage.names(folder) if _plain(existing) == name]


def _alike_on_disk(folder: str, name: str) -> list[str]:
    """Return the files with this normalised name; if there are none, those that differ from it in case."""
    in_any_case = _names_by_form(folder, os.stat(folder).st_mtime_ns).get(name.casefold(), [])
    files = [existing for existing in in_any_case if os.path.isfile(os.path.join(folder, existing))]
    return [existing for existing in files if _plain(existing) == name] or files


@functools.lru_cache(maxsize=2)
def _names_by_form(folder: str, _changed_ns: int) -> dict[str, list[str]]:
    """Return the names in a folder as it was at a time: a thousand missing files of one folder list it once.

    The names of folders are among them: asking each whether it is a file would take minutes over a network.
    """
    with os.scandir(folder) as listed:
        names = [one.name for one in islice(listed, MOST_SEARCHED + 1)]
    known: dict[str, list[str]] = {}
    for name in names if len(names) <= MOST_SEARCHED else ():
        known.setdefault(_plain(name).casefold(), []).append(name)
    return known


def _missing_folder(address: str) -> str:
    """Return the hint that one of a local file's folders does not exist, with the first of them."""
    missing, above = "", os.path.dirname(address)
    while above != os.path.dirname(above) and not os.path.lexists(above):
        missing, above = above, os.path.dirname(above)
    return f"; there is no folder {missing}" if missing else ""


def _is_below(folder: str, base: str) -> bool:
    if not storage.is_local(folder):
        return ".." not in folder.split("/")
    return os.path.commonpath([os.path.realpath(folder), os.path.realpath(base)]) == os.path.realpath(base)


def _plain(name: str) -> str:
    """Return a name in NFC, without blanks, invisible characters and outer quotes, with ASCII quotes and dashes."""
    if name.isascii() and name.isprintable():  # most are, and this is ten times as fast
        return name.replace(" ", "").strip(_QUOTES)
    seen = "".join(letter for letter in name if is_visible(letter) and letter != " ")
    return unicodedata.normalize("NFC", seen.translate(_TYPOGRAPHY)).strip(_QUOTES)

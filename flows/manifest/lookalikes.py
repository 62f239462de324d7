"""Suggest which existing file a cell may have meant if the file that it names does not exist.

Cells are pasted from word processors, web pages, Windows and Macs: with typographic quotes, zero-width spaces,
backslashes, letters in another Unicode normalisation form or, on local disk, in the other case. If exactly one file in
the folder has the same name apart from such differences, it is suggested, with both names shown in ASCII so that the
difference is visible. If the folder itself is missing, that is said instead.
"""

import functools
import os
import unicodedata
from collections.abc import Callable, Iterable

from flows import storage
from flows.errors import StorageError
from flows.wording import is_visible

_TYPOGRAPHY = str.maketrans("“”„‟«»‘’‚‛‐‑‒–—−", '""""""' + "''''" + "------")
_QUOTES = "\"'"
_ANY_CASE = "/"
"""Begins the form of a name in which upper and lower case are alike; no name contains it."""


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
        existing = (
            _names_on_s3(folder) if storage.is_s3(folder) else _names_on_disk(folder, os.stat(folder).st_mtime_ns)
        )
    except (OSError, StorageError):
        return None
    alike = existing.get(name) or existing.get(_ANY_CASE + name.casefold(), [])
    return storage.join(folder, alike[0]) if len(alike) == 1 else None


def _names_on_s3(folder: str) -> dict[str, list[str]]:
    return _by_form(storage.names(folder), _plain)


@functools.lru_cache(maxsize=2)
def _names_on_disk(folder: str, _changed_ns: int) -> dict[str, list[str]]:
    """Return the names in a folder as it was at a time: a thousand missing files of one folder list it once."""
    names = storage.names(folder)
    return _by_form(names, _plain) | _by_form(names, lambda name: _ANY_CASE + _plain(name).casefold())


def _by_form(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(form(name), []).append(name)
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
    seen = "".join(letter for letter in name if is_visible(letter) and letter != " ")
    return unicodedata.normalize("NFC", seen.translate(_TYPOGRAPHY)).strip(_QUOTES)

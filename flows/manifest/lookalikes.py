"""Suggest which existing file a cell may have meant if the file that it names does not exist.

Cells are pasted from word processors, web pages, Windows and Macs: with typographic quotes, zero-width spaces,
backslashes, or letters in another Unicode normalisation form. If exactly one file in the folder has the same name apart
from such differences, it is suggested, with both names shown in ASCII so that the difference is visible.
"""

import os
import unicodedata

from flows import storage
from flows.errors import StorageError
from flows.wording import is_visible

_TYPOGRAPHY = str.maketrans("“”„‟«»‘’‚‛‐‑‒–—−", '""""""' + "''''" + "------")
_QUOTES = "\"'"


def hint(address: str) -> str:
    """Return a hint to append to the message that a file does not exist; empty if the address is nothing unusual."""
    wanted = address.replace("\\", "/")
    if wanted.isascii() and wanted == address and not set(_QUOTES) & set(address):
        return ""
    if lookalike := _lookalike(address, wanted):
        return f"; was {lookalike!a} meant, where {storage.name_of(address)!a} is written?"
    return "; '\\' separates no folders here, '/' does" if wanted != address else ""


def _lookalike(address: str, wanted: str) -> str | None:
    """Return the one file, in the address's folder or below, whose normalised name is that of the wanted file."""
    folder, name = storage.parent_of(wanted), _plain(storage.name_of(wanted))
    if not _is_below(folder, storage.parent_of(address)):
        return None  # the user may not be allowed to know the names of files elsewhere
    try:
        alike = [existing for existing in storage.names(folder) if _plain(existing) == name]
    except StorageError:
        return None
    return storage.join(folder, alike[0]) if len(alike) == 1 else None


def _is_below(folder: str, base: str) -> bool:
    if not storage.is_local(folder):
        return ".." not in folder.split("/")
    return os.path.commonpath([os.path.realpath(folder), os.path.realpath(base)]) == os.path.realpath(base)


def _plain(name: str) -> str:
    """Return a name in NFC, without blanks, invisible characters and outer quotes, with ASCII quotes and dashes."""
    seen = "".join(letter for letter in name if is_visible(letter) and letter != " ")
    return unicodedata.normalize("NFC", seen.translate(_TYPOGRAPHY)).strip(_QUOTES)

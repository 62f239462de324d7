"""Which file a cell may have meant, where the one that it names is not there.

Cells come from word processors, web pages, Windows and Macs: with quotes that were curled, blanks of no width,
backslashes, or letters put together in another way. Each is shown, and the one file that matches without it is named.
"""

import os
import unicodedata

from flows import storage
from flows.errors import StorageError
from flows.wording import is_seen

_TYPOGRAPHY = str.maketrans("“”„‟«»‘’‚‛‐‑‒–—−", '""""""' + "''''" + "------")
_QUOTES = "\"'"


def hint(address: str) -> str:
    """Words to end a message that there is no such file; none where nothing about the address is odd."""
    wanted = address.replace("\\", "/")
    if wanted.isascii() and wanted == address and not set(_QUOTES) & set(address):
        return ""
    if found := _lookalike(address, wanted):
        return f"; was {found!a} meant, where {storage.name_of(address)!a} is written?"
    return "; '\\' separates no folders here, '/' does" if wanted != address else ""


def _lookalike(address: str, wanted: str) -> str | None:
    """The one file that differs from a wanted one in nothing that counts, in the address's folder or below."""
    folder, name = storage.parent_of(wanted), _plain(storage.name_of(wanted))
    if not _is_below(folder, storage.parent_of(address)):
        return None  # what lies elsewhere may be nobody's business
    try:
        alike = [one for one in storage.names(folder) if _plain(one) == name]
    except StorageError:
        return None
    return storage.join(folder, alike[0]) if len(alike) == 1 else None


def _is_below(folder: str, base: str) -> bool:
    if storage.is_s3(folder):
        return ".." not in folder.split("/")
    return os.path.commonpath([os.path.realpath(folder), os.path.realpath(base)]) == os.path.realpath(base)


def _plain(name: str) -> str:
    """A name without blanks and what is not seen, its quotes and dashes plain and those around it taken off."""
    seen = "".join(letter for letter in name if is_seen(letter) and letter != " ")
    return unicodedata.normalize("NFC", seen.translate(_TYPOGRAPHY)).strip(_QUOTES)

"""Artist, copyright and description of an image: the three EXIF texts that are carried over to the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import ExifTags

from nst_core.printable import is_visible

MAX_CHARS: Final = 1000
"""The most characters of each text; longer texts are cut."""


@dataclass(frozen=True)
class Credits:
    """The three texts, of one line each; empty if missing.

    Attributes:
        artist: who made the image.
        copyright: who owns it.
        description: what it shows.
    """

    artist: str = ""
    copyright: str = ""
    description: str = ""


TAGS: Final = {
    "description": ExifTags.Base.ImageDescription,
    "artist": ExifTags.Base.Artist,
    "copyright": ExifTags.Base.Copyright,
}
"""Field of `Credits` -> tag in EXIF and in TIFF."""


def credits_of(exif: Mapping[int, Any]) -> Credits:
    """Return the credits in a file's EXIF, whatever else it contains."""
    return Credits(**{field: _line(exif.get(tag)) for field, tag in TAGS.items()})


def _line(value: Any) -> str:
    """Return a file's text as one printable line; empty if it is no text.

    Pillow decodes bytes as Latin-1, but most programs write UTF-8. A zero byte separates photographer and editor.
    """
    raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace") if isinstance(value, str) else b""
    raw = raw[: 8 * MAX_CHARS]
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        is_cut = error.end == len(raw) and error.reason == "unexpected end of data"
        text = raw.decode(errors="ignore") if is_cut else raw.decode("latin-1")
    parts = (" ".join(part.split()) for part in text.split("\0"))
    line = "; ".join(part for part in parts if part)
    return "".join(filter(is_visible, line))[:MAX_CHARS].strip()

"""Who made a picture, who owns it and what it shows: the three texts of EXIF that outlive its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import ExifTags

from nst_core.printable import is_seen

MAX_CHARS: Final = 1000
"""Of each text; what is longer is cut."""


@dataclass(frozen=True)
class Credits:
    """Texts of one line; empty where there is none."""

    artist: str = ""
    copyright: str = ""
    description: str = ""


TAGS: Final = {
    "description": ExifTags.Base.ImageDescription,
    "artist": ExifTags.Base.Artist,
    "copyright": ExifTags.Base.Copyright,
}
"""Field of `Credits` -> tag of EXIF, and of TIFF."""


def credits_of(exif: Mapping[int, Any]) -> Credits:
    """The credits in a file's EXIF, whatever else it holds there."""
    return Credits(**{field: _line(exif.get(tag)) for field, tag in TAGS.items()})


def _line(value: Any) -> str:
    """A text of a file as a line that can be shown; empty if it is none.

    Pillow reads bytes as Latin-1, but most programs write UTF-8. A zero byte parts photographer and editor.
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
    return "".join(filter(is_seen, line))[:MAX_CHARS].strip()

"""A file without what says nothing about its pixels; refused where its structure alone would take minutes.

Comments, editors' notes and the whole workflows that programs leave beside the pixels may be broken, or larger than
any picture: Pillow would unpack them, keep them, or go through them byte by byte. What is left out never reaches it.
What is damaged is handed on as it is, for Pillow to say so.
"""

from collections.abc import Callable, Mapping
from typing import Final

from nst_core.images.files import gif, jpeg, png, tiff
from nst_core.images.files.formats import format_of
from nst_core.images.files.parts import Part, TooManyParts
from nst_core.images.refusals import too_costly

_PARTS: Final[Mapping[str, Callable[[bytes], list[Part]]]] = {
    "PNG": png.parts,
    "JPEG": jpeg.parts,
    "GIF": gif.parts,
    "TIFF": tiff.parts,
}
"""Of the others nothing is left out: what reads them goes through them in no time."""


def strip_metadata(data: bytes, name: str) -> bytes:
    """The same picture in fewer bytes.

    Raises:
        BadImage: it has so many parts that going through them would take from seconds to minutes.
    """
    kind = format_of(data) or ""
    try:
        return _joined(_PARTS[kind](data), data) if kind in _PARTS else data
    except TooManyParts as error:
        raise too_costly(name, f"a {kind} of {error.limit}", "more") from error


def _joined(parts: list[Part], data: bytes) -> bytes:
    """The parts in one; `data` itself where nothing was left out, as a copy of the largest takes half a gigabyte."""
    return data if sum(map(len, parts)) == len(data) else b"".join(parts)

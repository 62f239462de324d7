"""Removing from a file what does not affect its pixels, and refusing files whose structure alone would take minutes.

Comments, editors' metadata and the whole workflows that programs store next to the pixels may be broken, or larger than
any image: Pillow would decompress them, keep them, or go through them byte by byte. What is removed here never reaches
it. Damaged files are passed on unchanged, for Pillow to report the damage.
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
"""Format -> the function that splits a file. Files of other formats are left as they are: their parsers skip metadata
quickly."""


def strip_metadata(data: bytes, name: str) -> bytes:
    """Return the same image in fewer bytes.

    Raises:
        BadImage: if it has so many parts that going through them would take from seconds to minutes.
    """
    kind = format_of(data) or ""
    try:
        return _joined(_PARTS[kind](data), data) if kind in _PARTS else data
    except TooManyParts as error:
        raise too_costly(name, f"a {kind} of {error.limit}", "more") from error


def _joined(parts: list[Part], data: bytes) -> bytes:
    """Join the parts; return `data` itself if nothing was removed, as the largest file's copy takes half a gigabyte."""
    return data if sum(map(len, parts)) == len(data) else b"".join(parts)

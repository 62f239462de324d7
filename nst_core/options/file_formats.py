"""The formats of an output file: what each can hold, and the endings of its files. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FileFormatName = Literal["png", "jpeg", "webp", "tiff"]


@dataclass(frozen=True)
class FileFormat:
    """One format of output files.

    Attributes:
        name: the value of the option `output_format`; in capitals, Pillow's name of the format.
        endings: the endings of its files, without the dot; ours have the first.
        bit_depths: the bits per channel that it can hold.
        is_lossless: whether a reader gets exactly the values that were written.
        has_alpha: whether it can hold transparency.
        most_px: the longest edge that it can hold; None for any.
    """

    name: FileFormatName
    endings: tuple[str, ...]
    bit_depths: tuple[int, ...]
    is_lossless: bool
    has_alpha: bool
    most_px: int | None = None

    @property
    def ending(self) -> str:
        """The ending of our files, without the dot."""
        return self.endings[0]


FILE_FORMATS: dict[str, FileFormat] = {
    file_format.name: file_format
    for file_format in (
        FileFormat("png", ("png",), bit_depths=(8, 16), is_lossless=True, has_alpha=True),
        FileFormat("jpeg", ("jpg", "jpeg"), bit_depths=(8,), is_lossless=False, has_alpha=False),
        FileFormat("webp", ("webp",), bit_depths=(8,), is_lossless=False, has_alpha=True, most_px=16_383),
        FileFormat("tiff", ("tif", "tiff"), bit_depths=(8, 16), is_lossless=True, has_alpha=True),
    )
}


def in_words(formats: Iterable[FileFormat]) -> str:
    """Return the names of two or more formats as a choice.

    >>> in_words(FILE_FORMATS.values())
    'png, jpeg, webp or tiff'
    """
    *names, last = (file_format.name for file_format in formats)
    return f"{', '.join(names)} or {last}"

"""The segments of a JPEG that its pixels need: no comments, padding, previews or editors' notes."""

import re
import struct
from typing import Final

from nst_core.images.files.parts import Part, check_parts

_MOST_SEGMENTS: Final = 10_000
"""Each holds up to 64 kB; those of a file of 50 MB are some 800."""
_MOST_SCANS: Final = 100
"""A progressive JPEG goes through all its pixels again for each; programs write ten."""
_MOST_EXIF: Final = 16
"""Segments of it: a megabyte."""

_MARKER = re.compile(rb"\xff[^\xff\0]", re.DOTALL)
"""What lies between the end of a segment and the next of these is padding."""
_START_OF_SCAN, _END_OF_IMAGE, _FIRST, _EXIF, _COMMENT = 0xDA, 0xD9, 0xC0, 0xE1, 0xFE
_ALONE: Final = range(0xD0, 0xDA)
"""Markers without a length: restarts, start and end of the image."""
_APPLICATIONS: Final = range(0xE0, 0xF0)
_KEPT: Final = {0xE0: b"JFIF", _EXIF: b"Exif\0\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Applications' segments that say how the pixels look, by how they begin."""


def parts(data: bytes) -> list[Part]:
    """The file in parts, without segments that may be left out.

    Raises:
        TooManyParts: of segments or scans.
    """
    view = memoryview(data)
    kept: list[Part] = [view[:2]]
    at, segments, exif = 2, 0, 0
    while found := _MARKER.search(data, at):
        check_parts(segments := segments + 1, "segments", _MOST_SEGMENTS)
        start, after, marker = found.start(), found.end(), data[found.end() - 1]
        if marker == _START_OF_SCAN or marker < _FIRST:
            _check_scans(data, start)
            return [*kept, view[start:]]
        at = after if marker in _ALONE else after + _length(data, after)
        is_needed = _is_needed(marker, data[after + 2 : after + 14])
        exif += is_needed and marker == _EXIF
        if is_needed and (marker != _EXIF or exif <= _MOST_EXIF):
            kept.append(view[start:at])
    return kept


def _length(data: bytes, at: int) -> int:
    """Of a segment, itself included; two at the least, or a damaged one would be read for ever."""
    field = data[at : at + 2]
    return max(2, int(struct.unpack(">H", field)[0])) if len(field) == 2 else 2


def _is_needed(marker: int, content: bytes) -> bool:
    if marker in _APPLICATIONS:
        return marker in _KEPT and content.startswith(_KEPT[marker])
    return marker != _COMMENT


def _check_scans(data: bytes, start: int) -> None:
    """Of the pixels' own data, in which no marker can stand by chance; only the tables between the scans may err."""
    end = data.find(bytes((0xFF, _END_OF_IMAGE)), start)
    check_parts(data.count(bytes((0xFF, _START_OF_SCAN)), start, len(data) if end < 0 else end), "scans", _MOST_SCANS)

"""Removing from a JPEG all segments that its pixels do not need: comments, padding, previews, editors' metadata."""

import re
import struct
from typing import Final

from nst_core.images.files.parts import Part, check_parts

_MOST_SEGMENTS: Final = 10_000
"""The most segments, each of up to 64 kB; a file of 50 MB has some 800."""
_MOST_SCANS: Final = 100
"""The most scans of a progressive JPEG: each goes through all pixels again; programs write ten."""
_MOST_EXIF: Final = 16
"""The most EXIF segments that are kept: one megabyte."""

_MARKER = re.compile(rb"\xff[^\xff\0]", re.DOTALL)
"""A marker; bytes between the end of a segment and the next marker are padding."""
# The second byte of markers; _FIRST is the lowest that a file has before its pixels.
_START_OF_SCAN, _END_OF_IMAGE, _FIRST, _EXIF, _COMMENT = 0xDA, 0xD9, 0xC0, 0xE1, 0xFE
_ALONE: Final = range(0xD0, 0xDA)
"""Markers without a length: restarts, start and end of the image."""
_APPLICATIONS: Final = range(0xE0, 0xF0)
"""Markers of application segments."""
_KEPT: Final = {0xE0: b"JFIF", _EXIF: b"Exif\0\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Application segments that affect the appearance of the pixels -> the prefix of their content."""


def parts(data: bytes) -> list[Part]:
    """Return the file in parts, without unnecessary segments.

    Raises:
        TooManyParts: if it has too many segments or scans.
    """
    view = memoryview(data)
    kept: list[Part] = [view[:2]]
    offset, segments, exif_segments = 2, 0, 0
    while found := _MARKER.search(data, offset):
        check_parts(segments := segments + 1, "segments", _MOST_SEGMENTS)
        start, after, marker = found.start(), found.end(), data[found.end() - 1]
        if marker == _START_OF_SCAN or marker < _FIRST:
            _check_scans(data, start)
            return [*kept, view[start:]]
        offset = after if marker in _ALONE else after + _length(data, after)
        is_needed = _is_needed(marker, data[after + 2 : after + 14])
        exif_segments += is_needed and marker == _EXIF
        if is_needed and (marker != _EXIF or exif_segments <= _MOST_EXIF):
            kept.append(view[start:offset])
    return kept


def _length(data: bytes, offset: int) -> int:
    """Return a segment's length including its length field; at least 2, so that a damaged file cannot loop forever."""
    field = data[offset : offset + 2]
    return max(2, int(struct.unpack(">H", field)[0])) if len(field) == 2 else 2


def _is_needed(marker: int, content: bytes) -> bool:
    """Return whether the pixels depend on a segment."""
    if marker in _APPLICATIONS:
        return marker in _KEPT and content.startswith(_KEPT[marker])
    return marker != _COMMENT


def _check_scans(data: bytes, start: int) -> None:
    """Check the number of scans in the pixel data, where markers occur by chance only in tables between scans."""
    end = data.find(bytes((0xFF, _END_OF_IMAGE)), start)
    check_parts(data.count(bytes((0xFF, _START_OF_SCAN)), start, len(data) if end < 0 else end), "scans", _MOST_SCANS)

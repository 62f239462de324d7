"""Removing from a PNG all chunks that its pixels do not need, such as texts, and colour profiles that are too large."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from nst_core.images.files.parts import Part, check_parts
from nst_core.images.refusals import MAX_PROFILE_BYTES

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
"""The first bytes of every PNG."""
_SIGNATURE_BYTES, _FRAME_BYTES = 8, 12  # of a file; of a chunk's length, type and checksum
_ONCE: Final = frozenset((b"tRNS", b"iCCP", b"eXIf", b"acTL", b"cICP", b"sRGB", b"gAMA", b"cHRM"))
"""Ancillary chunks that are kept, but only the first of each."""
_FRAME: Final = b"fcTL"  # kept without its pixels, which are not decoded


def parts(data: bytes) -> list[Part]:
    """Return the file in parts, without unnecessary chunks.

    Raises:
        TooManyParts: if it has too many chunks.
    """
    view = memoryview(data)
    kept: list[Part] = [view[:_SIGNATURE_BYTES]]
    offset, seen, kind = _SIGNATURE_BYTES, set[bytes](), b""
    chunks = 0
    while offset + _FRAME_BYTES <= len(data) and kind != b"IEND":
        check_parts(chunks := chunks + 1, "chunks")
        length, kind = struct.unpack_from(">I4s", data, offset)
        chunk, offset = view[offset : offset + _FRAME_BYTES + length], offset + _FRAME_BYTES + length
        if _is_needed(kind, seen):
            kept.append(_bounded_profile(chunk) if kind == b"iCCP" else chunk)
        seen.add(kind)
    return [*kept, view[offset:]] if kind != b"IEND" else kept


def chunks_of(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of every chunk; a truncated file yields what there is."""
    view, offset = memoryview(data), _SIGNATURE_BYTES
    while offset + _FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        yield kind, view[offset + 8 : offset + 8 + length]
        offset += _FRAME_BYTES + length


def framed(kind: bytes, content: bytes) -> bytes:
    """Return a chunk: length, type, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _is_needed(kind: bytes, seen: set[bytes]) -> bool:
    """Return whether a chunk is to be kept."""
    if kind in _ONCE:
        return kind not in seen
    is_ancillary = kind.isalpha() and kind[:1].islower()
    return kind == _FRAME or not is_ancillary


def _bounded_profile(chunk: memoryview) -> Part:
    """Return the chunk, or one with an invalid profile if its own decompresses to more than the limit."""
    name, _, packed = bytes(chunk[8:-4]).partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return chunk
    if not unpacker.unconsumed_tail:
        return chunk
    return framed(b"iCCP", name + b"\0\0")

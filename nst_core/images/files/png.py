"""The chunks of a PNG that its pixels need: no text, and a profile only of a size that is of use."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from nst_core.images.files.parts import Part, check_parts
from nst_core.images.refusals import MAX_PROFILE_BYTES

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SIGNATURE_BYTES, _FRAME_BYTES = 8, 12
_ONCE: Final = frozenset((b"tRNS", b"iCCP", b"eXIf", b"acTL", b"cICP", b"sRGB", b"gAMA", b"cHRM"))
_FRAME: Final = b"fcTL"  # without its pixels, which are not looked at


def parts(data: bytes) -> list[Part]:
    """The file in parts, without chunks that may be left out.

    Raises:
        TooManyParts: of chunks.
    """
    view = memoryview(data)
    kept: list[Part] = [view[:_SIGNATURE_BYTES]]
    at, seen, kind = _SIGNATURE_BYTES, set[bytes](), b""
    chunks = 0
    while at + _FRAME_BYTES <= len(data) and kind != b"IEND":
        check_parts(chunks := chunks + 1, "chunks")
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk, at = view[at : at + _FRAME_BYTES + length], at + _FRAME_BYTES + length
        if _is_needed(kind, seen):
            kept.append(_bounded_profile(chunk) if kind == b"iCCP" else chunk)
        seen.add(kind)
    return [*kept, view[at:]] if kind != b"IEND" else kept


def chunks_of(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of every chunk; a file cut short ends with what there is."""
    view, at = memoryview(data), _SIGNATURE_BYTES
    while at + _FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, view[at + 8 : at + 8 + length]
        at += _FRAME_BYTES + length


def framed(kind: bytes, content: bytes) -> bytes:
    """A chunk of its length, kind, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _is_needed(kind: bytes, seen: set[bytes]) -> bool:
    if kind in _ONCE:
        return kind not in seen
    is_ancillary = kind.isalpha() and kind[:1].islower()
    return kind == _FRAME or not is_ancillary


def _bounded_profile(chunk: memoryview) -> Part:
    """The chunk, or one with a broken profile in place of one that unfolds beyond measure."""
    name, _, packed = bytes(chunk[8:-4]).partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return chunk
    if not unpacker.unconsumed_tail:
        return chunk
    return framed(b"iCCP", name + b"\0\0")

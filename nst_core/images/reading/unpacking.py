"""Decompressing deflated bytes in pieces of limited size, whatever the compression ratio."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

_FED_BYTES: Final = 1_000_000
"""Compressed bytes passed to zlib at a time: it copies what it does not process yet, again and again."""


def unpacked(packed: Iterable[memoryview], piece: int, whole: int) -> Iterator[bytes]:
    """Yield `whole` decompressed bytes in pieces of `piece` bytes, the last one shorter; further data is ignored.

    Raises:
        OSError: if the data is damaged, or there is less of it.
    """
    unpacker, buffer, yielded = zlib.decompressobj(), bytearray(), 0
    for fed in _slices(packed):
        rest: bytes | memoryview = fed
        while rest and yielded < whole and not unpacker.eof:
            wanted = min(piece, whole - yielded)
            try:
                buffer += unpacker.decompress(rest, wanted - len(buffer))
            except zlib.error as error:
                raise OSError(str(error)) from error
            rest = unpacker.unconsumed_tail
            if len(buffer) == wanted:
                yielded += wanted
                yield bytes(buffer)
                buffer.clear()
        if yielded == whole:
            return
    while yielded < whole:  # output that zlib still holds
        wanted = min(piece, whole - yielded)
        buffer += unpacker.decompress(unpacker.unconsumed_tail, wanted - len(buffer))
        if len(buffer) < wanted:
            raise OSError("image file is truncated")
        yielded += wanted
        yield bytes(buffer)
        buffer.clear()


def _slices(packed: Iterable[memoryview]) -> Iterator[memoryview]:
    """Yield the compressed bytes in slices of limited size."""
    for part in packed:
        for at in range(0, len(part), _FED_BYTES):
            yield part[at : at + _FED_BYTES]

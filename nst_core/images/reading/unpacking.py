"""Deflated bytes, unpacked so many at a time, however many they are packed in."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

_FED_BYTES: Final = 1_000_000
"""At a time: what zlib does not get at yet it copies, again and again."""


def unpacked(packed: Iterable[memoryview], piece: int, whole: int) -> Iterator[bytes]:
    """Pieces of `piece` bytes, the last one of what is left of `whole`; what comes behind is passed over.

    Raises:
        OSError: it is damaged, or there is less.
    """
    unpacker, have, given = zlib.decompressobj(), bytearray(), 0
    for fed in _slices(packed):
        rest: bytes | memoryview = fed
        while rest and given < whole and not unpacker.eof:
            wanted = min(piece, whole - given)
            try:
                have += unpacker.decompress(rest, wanted - len(have))
            except zlib.error as error:
                raise OSError(str(error)) from error
            rest = unpacker.unconsumed_tail
            if len(have) == wanted:
                given += wanted
                yield bytes(have)
                have.clear()
        if given == whole:
            return
    while given < whole:  # what zlib kept to itself
        wanted = min(piece, whole - given)
        have += unpacker.decompress(unpacker.unconsumed_tail, wanted - len(have))
        if len(have) < wanted:
            raise OSError("image file is truncated")
        given += wanted
        yield bytes(have)
        have.clear()


def _slices(packed: Iterable[memoryview]) -> Iterator[memoryview]:
    for part in packed:
        for at in range(0, len(part), _FED_BYTES):
            yield part[at : at + _FED_BYTES]

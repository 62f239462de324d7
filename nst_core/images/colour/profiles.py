"""Removing from a colour profile the tags that could take minutes to process.

They hold any number of processing elements, thousands of them in a few hundred bytes.
"""

from nst_core.images.refusals import MAX_PROFILE_BYTES

HEADER_BYTES, TAG_BYTES = 128, 12  # of a profile, and of an entry in its table of tags
MOST_TAGS = 100  # lcms reads no more
_UNBOUNDED = b"mpet"
"""The type of the tags D2B0 to D2B3 and B2D0 to B2D3: a second description of the colours by processing elements, of
which there may be any number, even all at the same offset. A useful profile has the first description too, in
tables."""


def usable_profile(icc: bytes) -> bytes:
    """Return the profile with its unbounded tags renamed to an unknown name, so that they are ignored.

    Raises:
        ValueError: if it is larger than any useful profile.
    """
    if len(icc) > MAX_PROFILE_BYTES:
        raise ValueError(f"a colour profile of {len(icc)} bytes")
    if _UNBOUNDED not in icc:
        return icc
    cleaned = bytearray(icc)
    for index in range(min(_uint32(icc, HEADER_BYTES), MOST_TAGS)):
        entry = HEADER_BYTES + 4 + index * TAG_BYTES
        offset = _uint32(icc, entry + 4)
        if icc[offset : offset + 4] == _UNBOUNDED:
            cleaned[entry : entry + 4] = b"none"
    return bytes(cleaned)


def _uint32(icc: bytes, at: int) -> int:
    """Return the big-endian number at an offset."""
    return int.from_bytes(icc[at : at + 4])

"""A colour profile without what takes minutes: elements in any number, of which a few hundred bytes hold thousands."""

from nst_core.images.refusals import MAX_PROFILE_BYTES

_HEADER_BYTES, _TAG_BYTES = 128, 12
_MOST_TAGS = 100  # lcms takes no more
_UNBOUNDED = b"mpet"
"""The type of the tags D2B0 to D2B3 and B2D0 to B2D3: a second description, of elements that may be any number and
may all lie in one place. A profile that is of use has the first one too, in tables."""


def usable_profile(icc: bytes) -> bytes:
    """The profile with the names of its unbounded tags made unknown: they are passed over.

    Raises:
        ValueError: it is larger than any that is of use.
    """
    if len(icc) > MAX_PROFILE_BYTES:
        raise ValueError(f"a colour profile of {len(icc)} bytes")
    if _UNBOUNDED not in icc:
        return icc
    lean = bytearray(icc)
    for number in range(min(_number(icc, _HEADER_BYTES), _MOST_TAGS)):
        entry = _HEADER_BYTES + 4 + number * _TAG_BYTES
        offset = _number(icc, entry + 4)
        if icc[offset : offset + 4] == _UNBOUNDED:
            lean[entry : entry + 4] = b"none"
    return bytes(lean)


def _number(icc: bytes, at: int) -> int:
    return int.from_bytes(icc[at : at + 4])

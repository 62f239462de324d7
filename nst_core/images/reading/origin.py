"""What is carried over from a file to the images made of it: its colour space and its credits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nst_core.images.files.credits import Credits, credits_of


@dataclass(frozen=True)
class Origin:
    """The colour space and the credits of an image's file.

    Attributes:
        profile: the profile of an RGB space with primaries and curves, safe to embed; empty if the file has none of
            that kind.
        no_profile: a clause that says what the file has instead, such as "its profile is of CMYK".
        credit: the credits from its EXIF.
    """

    profile: bytes = b""
    no_profile: str = "it has no profile"
    credit: Credits = field(default_factory=Credits)


def origin_of(exif: Mapping[int, Any], profile: bytes) -> Origin:
    """Return what is carried over from a file.

    Args:
        exif: its EXIF tags.
        profile: the profile that its pixels were converted from; empty if it has no usable one.
    """
    credit = credits_of(exif)
    if not profile:
        return Origin(credit=credit)
    from nst_core.images.colour.rgb_space import embeddable  # here, as it imports numpy

    try:
        return Origin(embeddable(profile), "", credit)
    except ValueError as error:
        return Origin(no_profile=f"its profile is {error}", credit=credit)

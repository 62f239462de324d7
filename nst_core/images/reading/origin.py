"""What a file says beside its pixels that may stand in what is made of them: its colour space, and whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nst_core.images.files.credits import Credits, credits_of


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from.

    Attributes:
        profile: of an RGB space of primaries and curves, safe to be embedded; empty where there is none of that kind.
        no_profile: what is there instead, as a sentence's end: "its profile is of CMYK".
        credit: from its EXIF.
    """

    profile: bytes = b""
    no_profile: str = "it has no profile"
    credit: Credits = field(default_factory=Credits)


def origin_of(exif: Mapping[int, Any], profile: bytes) -> Origin:
    """What may be carried on of a file.

    Args:
        exif: its tags.
        profile: that its pixels were converted from; empty if it has none, or none that is of use.
    """
    credit = credits_of(exif)
    if not profile:
        return Origin(credit=credit)
    from nst_core.images.colour.rgb_space import embeddable  # which takes numpy

    try:
        return Origin(embeddable(profile), "", credit)
    except ValueError as error:
        return Origin(no_profile=f"its profile is {error}", credit=credit)

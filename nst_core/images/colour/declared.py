"""The colour space that a file declares, in whichever way its format does, as an ICC profile."""

from PIL import ImageFile

from nst_core.images.colour.numbers import HighDynamicRange, profile_of_gamma, profile_of_h273
from nst_core.images.files.boxes import heif_colour, jp2_colour
from nst_core.images.files.formats import HEIF
from nst_core.images.files.png import chunks_of
from nst_core.images.refusals import refused


def icc_of(image: ImageFile.ImageFile, data: bytes, name: str) -> bytes | None:
    """Return the colour profile of an image, None if it is sRGB or undeclared, or empty bytes if the profile is broken.

    Raises:
        BadImage: if it has high dynamic range: how bright its white should be is a choice, not a conversion.
    """
    try:
        return _icc_of(image, data)
    except HighDynamicRange as error:
        found, advice = f"one of high dynamic range ({error})", "Export it for a standard screen (SDR)."
        raise refused(name, "unsupported_mode", "an image of standard dynamic range", found, advice) from error


def _icc_of(image: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """Return the profile by the rules of the file's format."""
    own: bytes | None = None
    if "icc_profile" in image.info:
        own = image.info["icc_profile"] or b""
    if image.format in ("AVIF", HEIF) and not own:
        colour_box = heif_colour(data)
        return colour_box.profile or profile_of_h273(colour_box.primaries, colour_box.transfer) or None
    if image.format == "JPEG2000":
        return jp2_colour(data).profile or own
    if image.format == "PNG":
        return _of_png(image, data, own)
    return own


def _of_png(image: ImageFile.ImageFile, data: bytes, own: bytes | None) -> bytes | None:
    """Return the profile by the first of cICP, iCCP, sRGB, and gAMA with cHRM: the order of the PNG specification."""
    for kind, content in chunks_of(data):
        if kind == b"cICP" and len(content) == 4:
            return profile_of_h273(content[0], content[1]) or None
        if kind == b"IDAT":
            break
    if own is not None or "srgb" in image.info:
        return own
    gamma, primaries = image.info.get("gamma"), image.info.get("chromaticity")
    return profile_of_gamma(gamma, primaries) or None

"""The bytes of a file -> a picture that is ready to use: upright, sRGB, opaque, 8 bits per channel."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from nst_core.errors import BadImage
from nst_core.images.colour import over_itself, over_white, split_alpha, tiff_tag, to_srgb
from nst_core.images.credits import TAGS
from nst_core.images.formats import FORMATS, unreadable
from nst_core.images.lean import lean
from nst_core.images.origin import Origin, origin_of
from nst_core.images.profiles import MAX_PROFILE_BYTES
from nst_core.images.refusals import (
    CONVERT,
    DEPTH,
    MAX_PIXELS,
    PICTURE,
    check_bytes,
    check_size,
    damaged,
    refused,
    too_many_pixels,
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TAG_SUBFILE = 254


@dataclass(frozen=True)
class DecodedImage:
    """A picture that is ready to use.

    Attributes:
        picture: mode RGB, 8 bits per channel, upright, sRGB, opaque; its `info` is empty.
        notes: short sentences on what was changed or ignored and the user may want to know.
        alpha: its transparency, mode L and of its size, where that was to be kept and any of it is to be seen.
        origin: what may be carried on of its file.
    """

    picture: Image.Image
    notes: tuple[str, ...]
    alpha: Image.Image | None = None
    origin: Origin = field(default_factory=Origin)


def decode_image(data: bytes, name: str, *, enough_px: int | None = None, keep_alpha: bool = False) -> DecodedImage:
    """The picture in `data`, by its content alone: the extension plays no part.

    16-bit grey is divided by 257 and rounded. A colour profile is converted to sRGB. Transparency is laid
    over white, or kept beside the picture. Of several frames or pages the first is taken.

    Args:
        data: a whole JPEG, PNG, WebP, BMP, TIFF or GIF file.
        name: what the user calls it, for the message.
        enough_px: a JPEG may come out at a half, quarter or eighth of its size, but not smaller than this many pixels
            a side: far cheaper where only a thumbnail is wanted.
        keep_alpha: give the transparency beside the picture, whose own colours then go on where nothing is seen of it.

    Raises:
        BadImage: `data` is not a usable picture. Nothing else is raised, but for MemoryError.
    """
    check_bytes(len(data), name)
    # Training scripts like to switch this on. A picture that was cut short would then come out half grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES  # of a PNG's profile, which Pillow counts as text
    data = lean(data, name)
    image = _open(data, name)
    check_size(image.size, name)
    notes: list[str] = []
    try:
        _check_kind(image, name)
        if enough_px is not None:
            image.draft(None, (enough_px, enough_px))
        image.load()
        if image.format == "PNG":
            _finish_png(image, data, name)
        colour, alpha = split_alpha(image, name)
        picture, profile = to_srgb(colour, image.info, notes)
        if alpha is not None and alpha.getextrema() == (255, 255):
            alpha = None
        if alpha is not None and not keep_alpha:
            picture, alpha = over_white(picture, alpha, notes), None
        elif alpha is not None:
            picture = over_itself(picture, alpha)
        exif = _exif(image, notes)
        picture, alpha = _upright(picture, exif), alpha and _upright(alpha, exif)
        _note_more_frames(image, notes)  # last, as it moves a GIF on to its second frame
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types on damaged files
        raise damaged(name, str(image.format), error) from error
    picture.info.clear()  # of the original's profile, EXIF and text, none is true any more
    return DecodedImage(picture, tuple(notes), alpha, origin_of(exif, profile))


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel decoded."""
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit is higher than ours but comes first; its message begins with how many there are.
        pixels = re.search(r"\d+", str(error))
        raise too_many_pixels(name, int(pixels[0]) if pixels else MAX_PIXELS + 1) from error
    except Exception as error:
        raise unreadable(data, name) from error


def _check_kind(image: ImageFile.ImageFile, name: str) -> None:
    """Refuse what Pillow decodes, but not to what other programs show."""
    if image.mode == "F":
        found = "floating point numbers, any of which may be white"
        raise refused(name, "unsupported_mode", DEPTH, found, CONVERT)
    if tiff_tag(image, _TAG_SUBFILE, 0) & 1:
        found = "a TIFF that begins with a mere preview, as camera raw files do"
        raise refused(name, "unsupported_format", PICTURE, found, CONVERT)


def _finish_png(image: Image.Image, data: bytes, name: str) -> None:
    """What Pillow leaves undone: ask for the file's end, and bring the transparent colour to 8 bits."""
    if b"IEND\xaeB`\x82" not in data:
        raise damaged(name, "PNG", EOFError("no IEND chunk"))
    colour, bit_depth = image.info.get("transparency"), data[24]
    if isinstance(colour, tuple) and bit_depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    if isinstance(colour, int) and image.mode == "L" and bit_depth in (2, 4):
        image.info["transparency"] = colour * 255 // (2**bit_depth - 1)


def _exif(image: Image.Image, notes: list[str]) -> dict[int, Any]:
    """The tags of a file's EXIF that count here, up to the first that is broken: its pixels are good all the same."""
    found: dict[int, Any] = {}
    try:
        exif = image.getexif()
        for tag in (ExifTags.Base.Orientation, *TAGS.values()):
            found[tag] = exif.get(tag)
    except Exception:  # noqa: BLE001  # as in decode_image
        notes.append("broken EXIF data ignored")
    return found


def _upright(picture: Image.Image, exif: Mapping[int, Any]) -> Image.Image:
    """Turned as the EXIF orientation says. Pillow has turned a TIFF, and dropped its tag."""
    transpose = _UPRIGHT.get(exif.get(ExifTags.Base.Orientation, 1))
    return picture if transpose is None else picture.transpose(transpose)


def _note_more_frames(image: Image.Image, notes: list[str]) -> None:
    """Not by `n_frames`: to count, Pillow reads the whole file, for minutes if it was made for that."""
    try:
        has_more = bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # a second frame that is damaged
        has_more = True
    if has_more and image.format != "MPO":  # a photograph and its preview in one JPEG
        notes.append("several frames or pages: the first is used")

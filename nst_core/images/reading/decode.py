"""Decoding the bytes of a file to an image that is ready to use: upright, sRGB, opaque, 8 bits per channel."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from nst_core.errors import BadImage
from nst_core.images.colour.declared import icc_of
from nst_core.images.colour.srgb import ColourInfo, extend_colours, in_srgb, over_white, tiff_tag
from nst_core.images.files.credits import TAGS
from nst_core.images.files.formats import HEIF, format_of, open_picture
from nst_core.images.files.png import chunks_of
from nst_core.images.files.strip_metadata import strip_metadata
from nst_core.images.files.tiff import is_float, is_misread
from nst_core.images.reading.assembly import Assembly
from nst_core.images.reading.origin import Origin, origin_of
from nst_core.images.reading.pieces import Pieces, pieces_of
from nst_core.images.reading.tiff_rewriting import MORE_PAGES, rewritten
from nst_core.images.refusals import (
    CONVERT,
    MAX_PIXELS,
    MAX_PROFILE_BYTES,
    PICTURE,
    check_bytes,
    check_size,
    damaged,
    refused,
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
"""EXIF orientation -> the transposition that turns the stored image upright."""
_TRANSPOSED = (5, 6, 7, 8)
"""Orientations that swap width and height."""
_FLIPPED_HORIZONTALLY = (2, 3, 6, 7)
"""Orientations in which the stored image's partly covered last column or row ends up on the left."""
_FLIPPED_VERTICALLY = (3, 4, 7, 8)
"""Orientations in which it ends up at the top."""
_TAG_SUBFILE = 254
"""The TIFF tag that marks a reduced preview."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class DecodedImage:
    """An image that is ready to use.

    Attributes:
        picture: mode RGB, 8 bits per channel, upright, sRGB, opaque; its `info` is empty.
        notes: short sentences for the user on what was changed or ignored.
        alpha: the transparency, in mode L and of the same size, if it was to be kept and any pixel is transparent.
        origin: what is carried over from the file.
        whole: the file's own width and height, upright; None means those of the picture.
        box: the part of the picture that the file's own pixels cover, if it was reduced by a factor that does not
            divide its sides; None means all of it.
    """

    picture: Image.Image
    notes: tuple[str, ...]
    alpha: Image.Image | None = None
    origin: Origin = field(default_factory=Origin)
    whole: tuple[int, int] | None = None
    box: Box | None = None

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the image in its file."""
        return self.whole or self.picture.size


def decode_image(
    data: bytes,
    name: str,
    *,
    enough_px: int | None = None,
    needed_px: int | None = None,
    keep_alpha: bool = False,
    most_pixels: int = MAX_PIXELS,
    on_size: Callable[[tuple[int, int]], None] | None = None,
) -> DecodedImage:
    """Decode the image in `data`, whose format is detected from its content alone, not from a file extension.

    Values of 16 bits are divided by 257 and rounded. The colour profile, or any other declared colour space, is
    converted to sRGB. Transparency is composed over white, or kept separately. Of several frames or pages the first is
    used. An image of more than 50 megapixels is reduced to fewer; see `reduction`.

    Args:
        data: a whole file in one of the formats.
        name: the user's name for it, for messages.
        enough_px: allows a JPEG to be decoded at a half, quarter or eighth of its size, with at least this many pixels
            a side: far cheaper if only a thumbnail is needed.
        needed_px: the length that the long edge has to keep, if it is that long.
        keep_alpha: whether to return the transparency separately, with the image's colours extended into its
            transparent area.
        most_pixels: an image with more pixels is refused.
        on_size: a callback that receives the width and height before any pixel is decoded.

    Raises:
        BadImage: if `data` is not a usable image. No other error is raised, except MemoryError.
    """
    check_bytes(len(data), name)
    # Training scripts often switch this on, and a truncated image would then be decoded half grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead, with our own message
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES  # the limit of a PNG's profile too, as Pillow counts it as text
    data = strip_metadata(data, name)
    notes: list[str] = []
    kind = str(format_of(data))
    try:
        if kind == "TIFF" and (is_float(data) or is_misread(data)):
            data = rewritten(data, name, notes, most_pixels)
        image = open_picture(data, name)
        kind = str(image.format)
        check_size(image.size, name, most_pixels)
        _check_kind(image, data, name)
        if on_size is not None:
            on_size(image.size)
        colour_info = ColourInfo(name, icc_of(image, data, name), getattr(image, "tag_v2", {}), notes)
        needed_px = enough_px if needed_px is None else needed_px
        pieces = pieces_of(image, data, name, needed_px, enough_px=enough_px)
        picture, alpha, profile = _assemble(pieces, colour_info, keep_alpha=keep_alpha)
        if alpha is not None:
            picture = extend_colours(picture, alpha)
        exif = _exif(image, data, notes)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        picture, alpha = _upright(picture, orientation), alpha and _upright(alpha, orientation)
        _note_more_frames(image, notes)  # last, as it makes a GIF seek to its second frame
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # decoders raise a dozen unrelated types on damaged files
        raise damaged(name, kind, error) from error
    picture.info.clear()  # the original's profile, EXIF and text no longer apply
    unique_notes, origin = tuple(dict.fromkeys(notes)), origin_of(exif, profile)
    if pieces.divisor == 1:
        return DecodedImage(picture, unique_notes, alpha, origin)
    whole, box = _covered_box(pieces, picture.size, orientation)
    return DecodedImage(picture, unique_notes, alpha, origin, whole, box)


def _assemble(
    pieces: Pieces, colour_info: ColourInfo, *, keep_alpha: bool
) -> tuple[Image.Image, Image.Image | None, bytes]:
    """Return the image in sRGB, its alpha if kept and not fully opaque, and the profile that was applied."""
    assembly: Assembly | None = None
    profile = b""
    for piece in pieces.all:
        picture, alpha, profile = in_srgb(piece, colour_info)
        if alpha is not None and keep_alpha:
            picture.putalpha(alpha)
        elif alpha is not None and alpha.getextrema() != (255, 255):
            picture = over_white(picture, alpha, colour_info.notes)
        assembly = assembly or Assembly(pieces.size, pieces.factor, picture.mode)
        assembly.add(picture)
    assert assembly is not None
    whole = assembly.finished()
    if whole.mode == "RGB":
        return whole, None, profile
    alpha = whole.getchannel("A")
    return whole.convert("RGB"), None if alpha.getextrema() == (255, 255) else alpha, profile


def _check_kind(image: ImageFile.ImageFile, data: bytes, name: str) -> None:
    """Refuse a PNG without an end, and files that Pillow decodes to something other than what other programs show."""
    if tiff_tag(getattr(image, "tag_v2", {}), _TAG_SUBFILE, 0) & 1:
        found = "a TIFF that begins with a mere preview, as camera raw files do"
        raise refused(name, "unsupported_format", PICTURE, found, CONVERT)
    if image.format == "PNG" and b"IEND\xaeB`\x82" not in data:
        raise damaged(name, "PNG", EOFError("no IEND chunk"))


def _exif(image: ImageFile.ImageFile, data: bytes, notes: list[str]) -> dict[int, Any]:
    """Return the EXIF tags that are used here, up to the first broken one: broken EXIF does not affect the pixels."""
    found: dict[int, Any] = {}
    try:
        exif = _exif_of_png(data) if image.format == "PNG" else image.getexif()
        for tag in (ExifTags.Base.Orientation, *TAGS.values()):
            found[tag] = exif.get(tag)
    except Exception:  # noqa: BLE001  # as in decode_image
        notes.append("broken EXIF data ignored")
    return found


def _exif_of_png(data: bytes) -> Image.Exif:
    """Return a PNG's EXIF, which may follow its pixels; Pillow would decode the pixels to reach it."""
    exif = Image.Exif()
    content = next((content for kind, content in chunks_of(data) if kind == b"eXIf"), None)
    if content is not None:
        exif.load(b"Exif\0\0" + bytes(content).removeprefix(b"Exif\0\0"))
    return exif


def _upright(picture: Image.Image, orientation: Any) -> Image.Image:
    """Return the image turned by its EXIF orientation. Pillow itself turns a TIFF, and drops its tag."""
    transpose = _UPRIGHT.get(orientation)
    return picture if transpose is None else picture.transpose(transpose)


def _covered_box(pieces: Pieces, size: tuple[int, int], orientation: Any) -> tuple[tuple[int, int], Box]:
    """Return the file's own size, upright, and the part of the reduced picture that the file's own pixels cover.

    The last row and column of pixels may be covered in part.
    """
    box: list[float] = []
    stored = size[::-1] if orientation in _TRANSPOSED else size
    for side, length in zip(pieces.whole, stored, strict=True):
        box += [pieces.shift, min(float(length), side / pieces.divisor + pieces.shift)]
    left, right, top, bottom = box
    whole = pieces.whole
    if orientation in _TRANSPOSED:
        left, right, top, bottom, whole = top, bottom, left, right, whole[::-1]
    if orientation in _FLIPPED_HORIZONTALLY:
        left, right = size[0] - right, size[0] - left
    if orientation in _FLIPPED_VERTICALLY:
        top, bottom = size[1] - bottom, size[1] - top
    return (whole[0], whole[1]), (left, top, right, bottom)


def _note_more_frames(image: Image.Image, notes: list[str]) -> None:
    """Note that there are more frames, without `n_frames`, which reads the whole file: minutes for a crafted one."""
    try:
        has_more = bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # the second frame is damaged
        has_more = True
    if has_more and image.format == HEIF:
        notes.append("several images: the one that is marked as the primary one is used")
    elif has_more and image.format != "MPO":  # a photograph and its preview in one JPEG
        notes.append(MORE_PAGES)

"""The bytes of a file -> a picture that is ready to use: upright, sRGB, opaque, 8 bits per channel."""

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
from nst_core.images.files.tiff import is_float
from nst_core.images.reading.assembly import Assembly
from nst_core.images.reading.float_tiff import in_whole_numbers
from nst_core.images.reading.origin import Origin, origin_of
from nst_core.images.reading.pieces import Pieces, pieces_of
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
_SWAPPED = (5, 6, 7, 8)
_FROM_THE_RIGHT, _FROM_THE_BOTTOM = (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations by which what is stored first comes to the other side, or the last row or column to the end."""
_TAG_SUBFILE = 254

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class DecodedImage:
    """A picture that is ready to use.

    Attributes:
        picture: mode RGB, 8 bits per channel, upright, sRGB, opaque; its `info` is empty.
        notes: short sentences on what was changed or ignored and the user may want to know.
        alpha: its transparency, mode L and of its size, where that was to be kept and any of it is to be seen.
        origin: what may be carried on of its file.
        whole: the file's own width and height, upright; None: those of the picture.
        box: the part of the picture that the file's own pixels cover, if it came out reduced by what does not divide
            its sides; None: all of it.
    """

    picture: Image.Image
    notes: tuple[str, ...]
    alpha: Image.Image | None = None
    origin: Origin = field(default_factory=Origin)
    whole: tuple[int, int] | None = None
    box: Box | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in its file."""
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
    """The picture in `data`, by its content alone: the extension plays no part.

    16 bits are divided by 257 and rounded. A colour profile, or what else a file says of its colours, is converted to
    sRGB. Transparency is laid over white, or kept beside the picture. Of several frames or pages the first is taken.
    A picture of more than 50 megapixels comes out reduced to fewer: see `reduction`.

    Args:
        data: a whole file of one of the formats.
        name: what the user calls it, for the message.
        enough_px: a JPEG may come out at a half, quarter or eighth of its size, but not smaller than this many pixels
            a side: far cheaper where only a thumbnail is wanted.
        needed_px: that its long edge has to keep, if it has as many.
        keep_alpha: give the transparency beside the picture, whose own colours then go on where nothing is seen of it.
        most_pixels: a picture of more is refused.
        on_size: is told the width and height before any pixel is decoded.

    Raises:
        BadImage: `data` is not a usable picture. Nothing else is raised, but for MemoryError.
    """
    check_bytes(len(data), name)
    # Training scripts like to switch this on. A picture that was cut short would then come out half grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None  # ours holds, and is said in our words
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES  # of a PNG's profile, which Pillow counts as text
    data = strip_metadata(data, name)
    notes: list[str] = []
    kind = str(format_of(data))
    try:
        if kind == "TIFF" and is_float(data):
            data = in_whole_numbers(data, name, notes, most_pixels)
        image = open_picture(data, name)
        kind = str(image.format)
        check_size(image.size, name, most_pixels)
        _check_kind(image, data, name)
        if on_size is not None:
            on_size(image.size)
        colour_info = ColourInfo(name, icc_of(image, data, name), getattr(image, "tag_v2", {}), notes)
        needed_px = enough_px if needed_px is None else needed_px
        pieces = pieces_of(image, data, name, needed_px, enough_px=enough_px)
        picture, alpha, profile = _joined(pieces, colour_info, keep_alpha=keep_alpha)
        if alpha is not None:
            picture = extend_colours(picture, alpha)
        exif = _exif(image, data, notes)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        picture, alpha = _upright(picture, orientation), alpha and _upright(alpha, orientation)
        _note_more_frames(image, notes)  # last, as it moves a GIF on to its second frame
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # decoders raise a dozen unrelated types on damaged files
        raise damaged(name, kind, error) from error
    picture.info.clear()  # of the original's profile, EXIF and text, none is true any more
    noted, origin = tuple(dict.fromkeys(notes)), origin_of(exif, profile)
    if pieces.divisor == 1:
        return DecodedImage(picture, noted, alpha, origin)
    whole, box = _covered(pieces, picture.size, orientation)
    return DecodedImage(picture, noted, alpha, origin, whole, box)


def _joined(
    pieces: Pieces, colour_info: ColourInfo, *, keep_alpha: bool
) -> tuple[Image.Image, Image.Image | None, bytes]:
    """The picture in sRGB, its alpha where that is kept and anything is seen of it, and the profile that was used."""
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
    """Refuse what Pillow decodes, but not to what other programs show, and a PNG without an end."""
    if tiff_tag(getattr(image, "tag_v2", {}), _TAG_SUBFILE, 0) & 1:
        found = "a TIFF that begins with a mere preview, as camera raw files do"
        raise refused(name, "unsupported_format", PICTURE, found, CONVERT)
    if image.format == "PNG" and b"IEND\xaeB`\x82" not in data:
        raise damaged(name, "PNG", EOFError("no IEND chunk"))


def _exif(image: ImageFile.ImageFile, data: bytes, notes: list[str]) -> dict[int, Any]:
    """The tags of a file's EXIF that count here, up to the first that is broken: its pixels are good all the same."""
    found: dict[int, Any] = {}
    try:
        exif = _exif_of_png(data) if image.format == "PNG" else image.getexif()
        for tag in (ExifTags.Base.Orientation, *TAGS.values()):
            found[tag] = exif.get(tag)
    except Exception:  # noqa: BLE001  # as in decode_image
        notes.append("broken EXIF data ignored")
    return found


def _exif_of_png(data: bytes) -> Image.Exif:
    """Which may stand behind its pixels, where Pillow looks for it by decoding them."""
    exif = Image.Exif()
    content = next((content for kind, content in chunks_of(data) if kind == b"eXIf"), None)
    if content is not None:
        exif.load(b"Exif\0\0" + bytes(content).removeprefix(b"Exif\0\0"))
    return exif


def _upright(picture: Image.Image, orientation: Any) -> Image.Image:
    """Turned as the EXIF orientation says. Pillow has turned a TIFF, and dropped its tag."""
    transpose = _UPRIGHT.get(orientation)
    return picture if transpose is None else picture.transpose(transpose)


def _covered(pieces: Pieces, size: tuple[int, int], orientation: Any) -> tuple[tuple[int, int], Box]:
    """The file's own size, upright, and what part of a reduced picture its pixels cover: the rest of its last ones."""
    box: list[float] = []
    stored = size[::-1] if orientation in _SWAPPED else size
    for side, length in zip(pieces.whole, stored, strict=True):
        box += [pieces.shift, min(float(length), side / pieces.divisor + pieces.shift)]
    left, right, top, bottom = box
    whole = pieces.whole
    if orientation in _SWAPPED:
        left, right, top, bottom, whole = top, bottom, left, right, whole[::-1]
    if orientation in _FROM_THE_RIGHT:
        left, right = size[0] - right, size[0] - left
    if orientation in _FROM_THE_BOTTOM:
        top, bottom = size[1] - bottom, size[1] - top
    return (whole[0], whole[1]), (left, top, right, bottom)


def _note_more_frames(image: Image.Image, notes: list[str]) -> None:
    """Not by `n_frames`: to count, Pillow reads the whole file, for minutes if it was made for that."""
    try:
        has_more = bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # a second frame that is damaged
        has_more = True
    if has_more and image.format == HEIF:
        notes.append("several pictures: the one that is marked as the primary one is used")
    elif has_more and image.format != "MPO":  # a photograph and its preview in one JPEG
        notes.append("several frames or pages: the first is used")

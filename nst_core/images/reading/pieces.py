"""An image in pieces from top to bottom, as its decoder yields them: in its own mode, or in 16 bits.

An image of the usual size is decoded whole. A larger one is decoded reduced, if its format allows it, or piece by
piece; if neither is possible, it has to fit the memory whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import ImageFile

from nst_core.images.files.formats import HEIF, open_picture
from nst_core.images.reading import jpeg2000, png_bands, tiff_bands
from nst_core.images.reading.reduction import HALVINGS, WHOLE_FACTORS, WHOLE_PIXELS, check_memory, factor_of

if TYPE_CHECKING:
    from nst_core.images.colour.deep import Piece

_PIECE_PIXELS: Final = 4_000_000
"""Pixels of a piece."""
_DECODER_BYTES: Final[dict[str, float]] = {"WEBP": 16.0, "AVIF": 11.0, HEIF: 11.0}
"""Format -> bytes per pixel while decoding, including the image: canvases, planes and copies of them."""
_MODE_BYTES: Final = {"1": 1.0, "L": 1.0, "P": 1.0, "I;16": 2.0, "I;16B": 2.0}
"""Mode -> bytes that Pillow holds per pixel; four for all other modes."""
_COEFFICIENT_BYTES: Final = 2.0
"""Bytes per sample that a JPEG in several scans takes while decoding."""


@dataclass(frozen=True)
class Pieces:
    """How an image is decoded.

    Attributes:
        whole: its own size, as stored.
        size: the size of all pieces together.
        factor: the factor by which the pieces are still to be reduced.
        all: the pieces.
        shift: how far, in decoded pixels, the pieces lie to the right of and below where means of squares would lie.
    """

    whole: tuple[int, int]
    size: tuple[int, int]
    factor: int
    all: "Iterator[Piece]"
    shift: float = 0.0

    @property
    def divisor(self) -> int:
        """The number that the sides will finally have been divided by, rounded up."""
        return self.factor * max(1, round(max(self.whole) / max(self.size)))


def pieces_of(
    image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None, *, enough_px: int | None = None
) -> Pieces:
    """Return an image in pieces, which are decoded while iterating over them.

    Args:
        image: an image whose header is read.
        data: its file.
        name: its name, for messages.
        needed_px: see `factor_of`.
        enough_px: allows a JPEG to be decoded smaller, with at least this many pixels a side.

    Raises:
        BadImage: if it takes more memory than an image may.
    """
    if image.format in ("JPEG", "MPO"):
        return _of_jpeg(image, data, name, needed_px, enough_px)
    if image.width * image.height <= WHOLE_PIXELS:
        return Pieces(image.size, image.size, 1, _of_whole(image, data, name))
    if image.format == "JPEG2000":
        return _of_jpeg2000(image, data, name, needed_px)
    factor = factor_of(image.size, needed_px, WHOLE_FACTORS)
    cut = _cut(image, data)
    decoder_bytes = 0.0 if cut else _DECODER_BYTES.get(str(image.format), _MODE_BYTES.get(image.mode, 4.0))
    check_memory(name, image.size, factor, decoder_bytes, 2 * len(data), needed_px)
    if cut is None:
        return Pieces(image.size, image.size, factor, _of_whole(image, data, name))
    size = _stored_size(image)
    return Pieces(size, size, factor, _of_files(cut(), name))


def _stored_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Return the stored size of an image, before Pillow turns a TIFF."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(256, image.width)), int(tags.get(257, image.height))


def _of_jpeg(
    image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None, enough_px: int | None
) -> Pieces:
    """Return a JPEG, decoded reduced if it is large or a smaller one is enough."""
    whole = image.size
    factor = factor_of(whole, needed_px, HALVINGS)
    if enough_px is not None:
        image.draft(None, (enough_px, enough_px))
    if image.size == whole and factor > 1:
        image.draft(None, (whole[0] // factor, whole[1] // factor))
    factor = round(whole[0] / image.size[0])
    if whole[0] * whole[1] > WHOLE_PIXELS:
        coefficients = _COEFFICIENT_BYTES * _samples(image) if "progressive" in image.info else 0.0
        check_memory(name, whole, factor, coefficients + 4.0 / factor**2, 2 * len(data), needed_px)
    return Pieces(whole, image.size, 1, _of_whole(image, data, name))


def _samples(image: ImageFile.ImageFile) -> float:
    """Return the samples per pixel of all channels together: 1.5 if two of them have half the resolution both ways."""
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    most = max((across * down for _, across, down, _ in layers), default=1)
    return sum(across * down / most for _, across, down, _ in layers)


def _of_jpeg2000(image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None) -> Pieces:
    """Return a JPEG 2000 image, decoded reduced if it is large."""
    factor, whole = factor_of(image.size, needed_px, jpeg2000.factors(data)), image.size
    check_memory(name, whole, factor, jpeg2000.bytes_per_pixel(data, image, factor), 2 * len(data), needed_px)
    if factor > 1:
        jpeg2000.reduce_to(image, factor)
    return Pieces(whole, image.size, 1, _of_whole(image, data, name), jpeg2000.shift_of(factor))


def _cut(image: ImageFile.ImageFile, data: bytes) -> Callable[[], Iterator[bytes]] | None:
    """Return a function that cuts the file into small ones, or None if that is not possible."""
    if image.format == "PNG" and png_bands.can_be_cut(data):
        return lambda: png_bands.bands(data)
    tags = getattr(image, "tag_v2", {})
    if image.format == "TIFF" and tiff_bands.can_be_cut(tags):
        return lambda: tiff_bands.bands(tags, data)
    return None


def _of_files(files: Iterator[bytes], name: str) -> "Iterator[Piece]":
    """Yield the pieces of small files one after the other."""
    for small in files:
        yield from _of_whole(open_picture(small, name), small, name)


def _of_whole(image: ImageFile.ImageFile, data: bytes, name: str) -> "Iterator[Piece]":
    """Decode the image at once and yield it in pieces, so that each conversion needs little memory."""
    lower: ImageFile.ImageFile | None = None
    if _may_be_deep(image):
        from nst_core.images.colour import deep  # here, as it imports numpy

        if deep.is_deep(image):
            lower = open_picture(data, name)
            deep.take_lower_bytes(lower)
            lower.load()
    image.load()
    if image.format == "PNG":
        _correct_transparency(image, data[24])
    rows = max(1, _PIECE_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        is_all = rows >= image.height
        upper = image if is_all else image.crop(box)
        yield upper if lower is None else deep.join_bytes(upper, lower if is_all else lower.crop(box))
    image._im = None  # frees the pixels; its other attributes are still used


def _correct_transparency(image: ImageFile.ImageFile, bit_depth: int) -> None:
    """Scale the transparent colour of a PNG to 8 bits, which Pillow does not do."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and bit_depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    if isinstance(colour, int) and image.mode == "L" and bit_depth in (2, 4):
        image.info["transparency"] = colour * 255 // (2**bit_depth - 1)


def _may_be_deep(image: ImageFile.ImageFile) -> bool:
    """Return whether an image may have 16-bit colours; with one transparent colour it is treated as 8 bits."""
    return image.format in ("PNG", "TIFF") and "transparency" not in image.info and ";16" in str(image.tile)

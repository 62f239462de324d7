"""A picture in pieces from the top down, as its decoder gives them: in its own mode, or in 16 bits.

A picture of the usual size is decoded whole. A larger one is decoded reduced, where its format can do that, or piece by
piece; what can do neither has to fit the memory whole.
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
_BYTES_A_PIXEL: Final[dict[str, float]] = {"WEBP": 16.0, "AVIF": 11.0, HEIF: 11.0}
"""While decoding, the picture included: canvases, planes and copies of them."""
_MODE_BYTES: Final = {"1": 1.0, "L": 1.0, "P": 1.0, "I;16": 2.0, "I;16B": 2.0}
"""That Pillow holds for a pixel; four for all others."""
_COEFFICIENT_BYTES: Final = 2.0
"""Of a JPEG in several scans, for each sample."""


@dataclass(frozen=True)
class Pieces:
    """How a picture comes.

    Attributes:
        whole: its own size, as it is stored.
        size: of the pieces together.
        factor: by which their pixels are still to be reduced.
        all: the pieces.
        shift: how far, in pixels that come out, they lie to the right of and below where means of squares would.
    """

    whole: tuple[int, int]
    size: tuple[int, int]
    factor: int
    all: "Iterator[Piece]"
    shift: float = 0.0

    @property
    def divisor(self) -> int:
        """By which the sides will have been divided in the end, and rounded up."""
        return self.factor * max(1, round(max(self.whole) / max(self.size)))


def pieces_of(
    image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None, *, enough_px: int | None = None
) -> Pieces:
    """A picture in pieces, decoded as they are asked for.

    Args:
        image: of which the header is read.
        data: its file.
        name: for the message.
        needed_px: see `factor_of`.
        enough_px: a JPEG may come out smaller, but not below this many pixels a side.

    Raises:
        BadImage: it takes more memory than there is for a picture.
    """
    if image.format in ("JPEG", "MPO"):
        return _of_jpeg(image, data, name, needed_px, enough_px)
    if image.width * image.height <= WHOLE_PIXELS:
        return Pieces(image.size, image.size, 1, _of_whole(image, data, name))
    if image.format == "JPEG2000":
        return _of_jpeg2000(image, data, name, needed_px)
    factor = factor_of(image.size, needed_px, WHOLE_FACTORS)
    cut = _cut(image, data)
    decoder_bytes = 0.0 if cut else _BYTES_A_PIXEL.get(str(image.format), _MODE_BYTES.get(image.mode, 4.0))
    check_memory(name, image.size, factor, decoder_bytes, 2 * len(data), needed_px)
    if cut is None:
        return Pieces(image.size, image.size, factor, _of_whole(image, data, name))
    size = _stored_size(image)
    return Pieces(size, size, factor, _of_files(cut(), name))


def _stored_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Before Pillow turns a TIFF."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(256, image.width)), int(tags.get(257, image.height))


def _of_jpeg(
    image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None, enough_px: int | None
) -> Pieces:
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
    """Of all channels together, for each pixel: 1.5 where two of them have half the resolution both ways."""
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    most = max((across * down for _, across, down, _ in layers), default=1)
    return sum(across * down / most for _, across, down, _ in layers)


def _of_jpeg2000(image: ImageFile.ImageFile, data: bytes, name: str, needed_px: int | None) -> Pieces:
    factor, whole = factor_of(image.size, needed_px, jpeg2000.factors(data)), image.size
    check_memory(name, whole, factor, jpeg2000.bytes_a_pixel(data, image, factor), 2 * len(data), needed_px)
    if factor > 1:
        jpeg2000.reduce_to(image, factor)
    return Pieces(whole, image.size, 1, _of_whole(image, data, name), jpeg2000.shift_of(factor))


def _cut(image: ImageFile.ImageFile, data: bytes) -> Callable[[], Iterator[bytes]] | None:
    """How the file is cut into small ones; None if it is not."""
    if image.format == "PNG" and png_bands.can_be_cut(data):
        return lambda: png_bands.bands(data)
    tags = getattr(image, "tag_v2", {})
    if image.format == "TIFF" and tiff_bands.can_be_cut(tags):
        return lambda: tiff_bands.bands(tags, data)
    return None


def _of_files(files: Iterator[bytes], name: str) -> "Iterator[Piece]":
    for small in files:
        yield from _of_whole(open_picture(small, name), small, name)


def _of_whole(image: ImageFile.ImageFile, data: bytes, name: str) -> "Iterator[Piece]":
    """The picture, decoded at once and handed on in pieces, so that what is made of it is small."""
    lower: ImageFile.ImageFile | None = None
    if _may_be_deep(image):
        from nst_core.images.colour import deep  # which takes numpy

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
    image._im = None  # its pixels; the rest of it is still asked for


def _correct_transparency(image: ImageFile.ImageFile, bit_depth: int) -> None:
    """Bring the transparent colour of a PNG to 8 bits, which Pillow leaves undone."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and bit_depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    if isinstance(colour, int) and image.mode == "L" and bit_depth in (2, 4):
        image.info["transparency"] = colour * 255 // (2**bit_depth - 1)


def _may_be_deep(image: ImageFile.ImageFile) -> bool:
    """Whether it is worth a look: a picture with one transparent colour is not, which is told from 8 bits."""
    return image.format in ("PNG", "TIFF") and "transparency" not in image.info and ";16" in str(image.tile)

"""Alpha, 16 bits and colour profiles: whatever a file holds -> mode RGB, sRGB, opaque."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageCms

from nst_core.images.colour.profiles import usable_profile
from nst_core.images.refusals import CONVERT, DEPTH, refused

if TYPE_CHECKING:
    from nst_core.images.colour.deep import Piece

_TAG_BITS, _TAG_PHOTOMETRIC = 258, 262
_NO_TAGS: Final[Mapping[int, Any]] = {}
_USUAL_FAULTS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
"""Of a profile that is broken or unfit."""
_UNFIT: Final = "broken or unfitting colour profile ignored"


@dataclass(frozen=True)
class Meaning:
    """What the values of a file mean.

    Attributes:
        name: of the picture, for messages.
        icc: its colour profile; None if it has none, and empty if it has one that is of no use.
        tags: of a TIFF.
        notes: to which is added what the user may want to know.
    """

    name: str
    icc: bytes | None = None
    tags: Mapping[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def tiff_tag(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """A tag of a TIFF, the first of its values; `default` for any other file."""
    value: Any = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def in_srgb(piece: "Piece", meaning: Meaning) -> tuple[Image.Image, Image.Image | None, bytes]:
    """A piece in mode RGB, its alpha, if any, in mode L, and the profile that was used, or nothing."""
    if not isinstance(piece, Image.Image):
        return _deep_in_srgb(piece, meaning)
    if piece.mode.startswith("I") and meaning.icc and meaning.icc[16:20] == b"GRAY":
        return _deep_grey_in_srgb(piece, meaning)
    colour, alpha = split_alpha(piece, meaning.name, meaning.tags)
    info = {} if meaning.icc is None else {"icc_profile": meaning.icc}
    picture, icc = to_srgb(colour, info, meaning.notes)
    return picture, alpha, icc


def _deep_in_srgb(piece: Any, meaning: Meaning) -> tuple[Image.Image, Image.Image | None, bytes]:
    from nst_core.images.colour import deep

    colours = piece[..., :3]
    alpha = Image.fromarray(deep.as_8_bits(piece[..., 3])) if piece.shape[2] == 4 else None
    if meaning.icc:
        try:
            return Image.fromarray(deep.colours_in_srgb(colours, meaning.icc)), alpha, meaning.icc
        except ValueError:  # a profile of tables, which littlecms reads, of 8 bits
            pass
    info = {} if meaning.icc is None else {"icc_profile": meaning.icc}
    picture, icc = to_srgb(Image.fromarray(deep.as_8_bits(colours)), info, meaning.notes)
    return picture, alpha, icc


def _deep_grey_in_srgb(piece: Image.Image, meaning: Meaning) -> tuple[Image.Image, Image.Image | None, bytes]:
    from nst_core.images.colour import deep

    values, white, alpha = _grey_levels(piece, meaning.name, meaning.tags)
    try:
        table = deep.grey_in_srgb(meaning.icc or b"")
    except _USUAL_FAULTS:
        colour, alpha = split_alpha(piece, meaning.name, meaning.tags)
        meaning.notes.append(_UNFIT)
        return colour.convert("RGB"), alpha, b""
    levels = values.astype("uint32") * 65535 // white
    return Image.fromarray(table[levels.clip(0, 65535)]), alpha, meaning.icc or b""


def split_alpha(
    image: Image.Image, name: str, tags: Mapping[int, Any] = _NO_TAGS
) -> tuple[Image.Image, Image.Image | None]:
    """The colours, 8 bits each, in mode L, RGB or another without alpha; the alpha, if any, in mode L."""
    if image.mode.startswith("I"):
        return _split_alpha_16_bit(image, name, tags)
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("LA" if is_grey else "RGBA")
        return image.convert("L" if is_grey else "RGB"), image.getchannel("A")
    if is_grey or image.mode in ("P", "RGBX"):
        return image.convert("L" if is_grey else "RGB"), None
    return image, None


def _split_alpha_16_bit(
    image: Image.Image, name: str, tags: Mapping[int, Any]
) -> tuple[Image.Image, Image.Image | None]:
    """The same for grey in the modes I, I;16 and I;16B, which Pillow's own conversion clips at 255."""
    import numpy as np  # takes longer to import than most pictures to decode, and few have 16 bits

    values, white, alpha = _grey_levels(image, name, tags)
    table = ((np.arange(65536) * 510 + white) // (2 * white)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(table[values]), alpha


def _grey_levels(image: Image.Image, name: str, tags: Mapping[int, Any]) -> tuple[Any, int, Image.Image | None]:
    """Whole numbers from 0, black, up; which of them is white; and the alpha, if one of them is transparent."""
    import numpy as np

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise refused(name, "unsupported_mode", DEPTH, f"whole numbers from {low} to {high}", CONVERT)
    white = 4095 if tiff_tag(tags, _TAG_BITS, 16) == 12 else 65535  # both come in mode I;16
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    if tiff_tag(tags, _TAG_PHOTOMETRIC, 1) == 0:  # "white is zero", which Pillow heeds up to 8 bits only
        values = white - values.astype(np.int64).clip(0, white)
    return values, white, None if alpha is None else Image.fromarray(alpha)


def to_srgb(colour: Image.Image, info: Mapping[Any, Any], notes: list[str]) -> tuple[Image.Image, bytes]:
    """Mode RGB, through the file's own colour profile where that can be used; and that profile, or nothing."""
    if "icc_profile" in info:
        try:
            icc = info["icc_profile"] or b""
            return _convert_profile(colour, icc), icc
        except _USUAL_FAULTS:
            notes.append(_UNFIT)
    if colour.mode == "CMYK":
        notes.append("CMYK without a usable colour profile converted naively")
    return colour.convert("RGB"), b""


def _convert_profile(colour: Image.Image, icc: bytes) -> Image.Image:
    """Mode RGB, sRGB. Raises ValueError, or what ImageCms raises, if the profile is broken or unfit."""
    space = _space(icc)
    if space == "RGB" and colour.mode in ("L", "YCbCr"):  # a photograph made grey often keeps its RGB profile
        colour = colour.convert("RGB")
    if colour.mode != {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space):
        raise ValueError(f"a {space} profile in a picture of mode {colour.mode}")
    if space != "GRAY":
        return _to_srgb(icc, colour.mode, ImageCms.Flags.HIGHRESPRECALC).apply(colour)
    # From grey, lcms interpolates and misses dark tones by up to 10. So convert all 256 greys exactly.
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    colour.putpalette(_to_srgb(icc, "L", ImageCms.Flags.NOOPTIMIZE).apply(ramp).tobytes())
    return colour.convert("RGB")


@lru_cache(maxsize=4)
def _space(icc: bytes) -> str:
    return str(ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc))).profile.xcolor_space).strip()


@lru_cache(maxsize=4)
def _to_srgb(icc: bytes, mode: str, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    """What converts pictures of a mode; made once for all pieces of a picture."""
    profile = ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc)))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC  # with black point compensation: the way of photo editors
    flags |= ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags)


def over_white(picture: Image.Image, alpha: Image.Image, notes: list[str]) -> Image.Image:
    """A picture as it looks on a white page."""
    notes.append("transparency laid over white")
    return _over(picture, alpha, Image.new("RGB", picture.size, "white"))


def over_itself(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    """A picture laid over its own colours, grown into what is transparent: no white or black shines through its edges.

    Whatever colours a file has where nothing is seen of them play no part.
    """
    if max(picture.size) == 1 or alpha.getextrema()[0] == 255:
        return picture
    both = picture.copy()
    both.putalpha(alpha)
    half = both.reduce(2)  # means that are weighted by how much is seen of each pixel
    is_any = half.getchannel("A").point([0] + [255] * 255)
    coarse = over_itself(half.convert("RGB"), is_any)
    return _over(picture, alpha, coarse.resize(picture.size, Image.Resampling.BILINEAR))


def _over(picture: Image.Image, alpha: Image.Image, ground: Image.Image) -> Image.Image:
    ground.paste(picture, mask=alpha)
    return ground

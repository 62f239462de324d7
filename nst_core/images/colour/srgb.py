"""Conversion of alpha, 16 bits and colour profiles: whatever a file holds -> mode RGB, sRGB, opaque."""

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

_TAG_BITS, _TAG_PHOTOMETRIC = 258, 262  # TIFF tags
_NO_TAGS: Final[Mapping[int, Any]] = {}
"""The tags of a file that is no TIFF."""
_PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
"""The errors that a broken or unfitting profile raises."""
_OWN_COLOUR_FROM: Final = 64
"""The alpha from which on a pixel has its own colour alone. That of a fainter one is often a rounded remainder: of a
file that was stored premultiplied, its levels are off by up to 128 / alpha."""
_PROFILE_IGNORED: Final = "broken or unfitting colour profile ignored"
"""The note for the user when a profile is ignored."""


@dataclass(frozen=True)
class ColourInfo:
    """What is needed to interpret the values of a file.

    Attributes:
        name: the image's name, for messages.
        icc: its colour profile; None if it has none, and empty if its profile cannot be used.
        tags: the tags of a TIFF.
        notes: a list to which notes for the user are added.
    """

    name: str
    icc: bytes | None = None
    tags: Mapping[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def tiff_tag(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """Return a TIFF tag, or its first value if it has several; `default` for any other file."""
    value: Any = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def in_srgb(piece: "Piece", colour_info: ColourInfo) -> tuple[Image.Image, Image.Image | None, bytes]:
    """Return a piece in mode RGB, its alpha in mode L or None, and the profile that was applied, or empty bytes."""
    if not isinstance(piece, Image.Image):
        return _deep_in_srgb(piece, colour_info)
    if piece.mode.startswith("I") and colour_info.icc and colour_info.icc[16:20] == b"GRAY":
        return _deep_grey_in_srgb(piece, colour_info)
    colour, alpha = split_alpha(piece, colour_info.name, colour_info.tags)
    picture, icc = to_srgb(colour, colour_info.icc, colour_info.notes)
    return picture, alpha, icc


def _deep_in_srgb(piece: Any, colour_info: ColourInfo) -> tuple[Image.Image, Image.Image | None, bytes]:
    """Convert a piece with 16-bit colours."""
    from nst_core.images.colour import deep

    colours = piece[..., :3]
    alpha = Image.fromarray(deep.as_8_bits(piece[..., 3])) if piece.shape[2] == 4 else None
    if colour_info.icc:
        try:
            return Image.fromarray(deep.colours_in_srgb(colours, colour_info.icc)), alpha, colour_info.icc
        except ValueError:  # a profile with tables, which littlecms can apply, but only in 8 bits
            pass
    picture, icc = to_srgb(Image.fromarray(deep.as_8_bits(colours)), colour_info.icc, colour_info.notes)
    return picture, alpha, icc


def _deep_grey_in_srgb(piece: Image.Image, colour_info: ColourInfo) -> tuple[Image.Image, Image.Image | None, bytes]:
    """Convert a piece of 16-bit grey with a grey profile."""
    from nst_core.images.colour import deep

    values, white, alpha = _grey_levels(piece, colour_info.name, colour_info.tags)
    try:
        table = deep.grey_in_srgb(colour_info.icc or b"")
    except _PROFILE_ERRORS:
        colour, alpha = split_alpha(piece, colour_info.name, colour_info.tags)
        colour_info.notes.append(_PROFILE_IGNORED)
        return colour.convert("RGB"), alpha, b""
    levels = values.astype("uint32") * 65535 // white
    return Image.fromarray(table[levels.clip(0, 65535)]), alpha, colour_info.icc or b""


def split_alpha(
    image: Image.Image, name: str, tags: Mapping[int, Any] = _NO_TAGS
) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, 8 bits each, in mode L, RGB or another without alpha, and the alpha in mode L, or None."""
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
    """Split grey images in the modes I, I;16 and I;16B, which Pillow's own conversion would clip at 255."""
    import numpy as np  # importing it takes longer than decoding most images, and few have 16 bits

    values, white, alpha = _grey_levels(image, name, tags)
    table = ((np.arange(65536) * 510 + white) // (2 * white)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(table[values]), alpha


def _grey_levels(image: Image.Image, name: str, tags: Mapping[int, Any]) -> tuple[Any, int, Image.Image | None]:
    """Return integers rising from 0 for black, the integer that is white, and the alpha if one value is transparent."""
    import numpy as np

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise refused(name, "unsupported_mode", DEPTH, f"whole numbers from {low} to {high}", CONVERT)
    white = 4095 if tiff_tag(tags, _TAG_BITS, 16) == 12 else 65535  # Pillow decodes both in mode I;16
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    if tiff_tag(tags, _TAG_PHOTOMETRIC, 1) == 0:  # "white is zero", which Pillow handles up to 8 bits only
        values = white - values.astype(np.int64).clip(0, white)
    return values, white, None if alpha is None else Image.fromarray(alpha)


def to_srgb(colour: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes]:
    """Convert to mode RGB, with the file's own colour profile if possible; return also that profile, or empty bytes."""
    if icc is not None:
        try:
            return _convert_profile(colour, icc), icc
        except _PROFILE_ERRORS:
            notes.append(_PROFILE_IGNORED)
    if colour.mode == "CMYK":
        notes.append("CMYK without a usable colour profile converted naively")
    return colour.convert("RGB"), b""


def _convert_profile(colour: Image.Image, icc: bytes) -> Image.Image:
    """Convert to mode RGB in sRGB; raise ValueError or ImageCms's errors if the profile is broken or unfitting."""
    space = _space(icc)
    if space == "RGB" and colour.mode in ("L", "YCbCr"):  # a photograph converted to grey often keeps its RGB profile
        colour = colour.convert("RGB")
    if colour.mode != {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space):
        raise ValueError(f"a {space} profile in an image of mode {colour.mode}")
    if space != "GRAY":
        return _to_srgb(icc, colour.mode, ImageCms.Flags.HIGHRESPRECALC).apply(colour)
    # For grey, lcms interpolates with errors of up to 10 in dark tones. So all 256 greys are converted exactly.
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    colour.putpalette(_to_srgb(icc, "L", ImageCms.Flags.NOOPTIMIZE).apply(ramp).tobytes())
    return colour.convert("RGB")


@lru_cache(maxsize=4)
def _space(icc: bytes) -> str:
    """Return the colour space of a profile."""
    return str(ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc))).profile.xcolor_space).strip()


@lru_cache(maxsize=4)
def _to_srgb(icc: bytes, mode: str, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    """Return the transform for images of a mode, made only once for all pieces of an image."""
    profile = ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc)))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC  # with black point compensation, as photo editors do
    flags |= ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags)


def over_white(picture: Image.Image, alpha: Image.Image, notes: list[str]) -> Image.Image:
    """Return an image as it looks on a white page."""
    notes.append("transparency laid over white")
    return _over(picture, alpha, Image.new("RGB", picture.size, "white"))


def extend_colours(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    """Extend an image's visible colours into its transparent area, so that no white or black shows at its edges.

    The file's own colours in the fully transparent area are not used; in a half transparent one, such as glass, they
    are kept.
    """
    if max(picture.size) == 1 or alpha.getextrema()[0] == 255:
        return picture
    with_alpha = picture.copy()
    with_alpha.putalpha(alpha)
    half = with_alpha.reduce(2)  # means weighted by the opacity of each pixel
    is_partly_visible = half.getchannel("A").point([0] + [255] * 255)
    coarse = extend_colours(half.convert("RGB"), is_partly_visible)
    own = alpha.point([min(255, level * 255 // _OWN_COLOUR_FROM) for level in range(256)])
    return _over(picture, own, coarse.resize(picture.size, Image.Resampling.BILINEAR))


def _over(picture: Image.Image, alpha: Image.Image, background: Image.Image) -> Image.Image:
    """Return the image composed over a background."""
    background.paste(picture, mask=alpha)
    return background

"""Alpha, 16 bits and colour profiles: whatever a file holds -> mode RGB, sRGB, opaque."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms

from nst_core.images.profiles import usable_profile
from nst_core.images.refusals import CONVERT, DEPTH, refused

_TAG_BITS, _TAG_PHOTOMETRIC = 258, 262


def tiff_tag(image: Image.Image, tag: int, default: int) -> int:
    """A tag of a TIFF, the first of its values; `default` for any other file."""
    value: Any = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def split_alpha(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The colours, 8 bits each, in mode L, RGB or another without alpha; the alpha, if any, in mode L."""
    if image.mode.startswith("I"):
        return _split_alpha_16_bit(image, name)
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("LA" if is_grey else "RGBA")
        return image.convert("L" if is_grey else "RGB"), image.getchannel("A")
    if is_grey or image.mode in ("P", "RGBX"):
        return image.convert("L" if is_grey else "RGB"), None
    return image, None


def _split_alpha_16_bit(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """The same for grey in the modes I, I;16 and I;16B, which Pillow's own conversion clips at 255."""
    import numpy as np  # takes longer to import than most pictures to decode, and few have 16 bits

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise refused(name, "unsupported_mode", DEPTH, f"whole numbers from {low} to {high}", CONVERT)
    white = 4095 if tiff_tag(image, _TAG_BITS, 16) == 12 else 65535  # both come in mode I;16
    table = ((np.arange(65536) * 510 + white) // (2 * white)).clip(0, 255).astype(np.uint8)
    if tiff_tag(image, _TAG_PHOTOMETRIC, 1) == 0:  # "white is zero", which Pillow heeds up to 8 bits only
        table = 255 - table
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(table[values]), None if alpha is None else Image.fromarray(alpha)


def to_srgb(colour: Image.Image, info: Mapping[Any, Any], notes: list[str]) -> tuple[Image.Image, bytes]:
    """Mode RGB, through the file's own colour profile where that can be used; and that profile, or nothing."""
    if "icc_profile" in info:
        try:
            icc = info["icc_profile"] or b""
            return _convert_profile(colour, icc), icc
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            notes.append("broken or unfitting colour profile ignored")
    if colour.mode == "CMYK":
        notes.append("CMYK without a usable colour profile converted naively")
    return colour.convert("RGB"), b""


def _convert_profile(colour: Image.Image, icc: bytes) -> Image.Image:
    """Mode RGB, sRGB. Raises ValueError, or what ImageCms raises, if the profile is broken or unfit."""
    profile = ImageCms.ImageCmsProfile(BytesIO(usable_profile(icc)))
    space = profile.profile.xcolor_space.strip()
    if space == "RGB" and colour.mode in ("L", "YCbCr"):  # a photograph made grey often keeps its RGB profile
        colour = colour.convert("RGB")
    if colour.mode != {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space):
        raise ValueError(f"a {space} profile in a picture of mode {colour.mode}")
    if space != "GRAY":
        return _convert(colour, profile, ImageCms.Flags.HIGHRESPRECALC)
    # From grey, lcms interpolates and misses dark tones by up to 10. So convert all 256 greys exactly.
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    colour.putpalette(_convert(ramp, profile, ImageCms.Flags.NOOPTIMIZE).tobytes())
    return colour.convert("RGB")


def _convert(colour: Image.Image, profile: ImageCms.ImageCmsProfile, flags: ImageCms.Flags) -> Image.Image:
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC  # with black point compensation: the way of photo editors
    flags |= ImageCms.Flags.BLACKPOINTCOMPENSATION
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, colour.mode, "RGB", intent, flags).apply(colour)


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

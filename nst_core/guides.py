"""Turn a pair's images into an engine request; the command, the library and the worker all use these functions.

A pair has a content and a style image, and may have more: further styles of a blend, masks, and an image to start from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import OptionsError
from nst_core.geometry.sizes import style_size
from nst_core.images import resize
from nst_core.losses.regions import Regions
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from nst_core.scene.masks.colours import name_of
from nst_core.scene.masks.maps import coverage, maps_of
from nst_core.scene.masks.matching import RegionColours
from nst_core.scene.pixels import to_tensor
from nst_core.scene.styles import StyleImage, StylePicture

Size = tuple[int, int]
"""A (width, height) in pixels."""


@dataclass(frozen=True)
class ContentGuides:
    """Additional images of any size that accompany a content image.

    Attributes:
        mask: an RGB image whose colours mark regions; requires a style mask.
        protect: a mask; where it is white and opaque, the content is kept and does not count towards the style.
        start: an RGB image from which the optimisation starts.
        alpha: an image of mode L; where it is black, the pastiche does not count towards its style.
    """

    mask: Image.Image | None = None
    protect: Image.Image | None = None
    start: Image.Image | None = None
    alpha: Image.Image | None = None


NO_GUIDES = ContentGuides()


@dataclass(frozen=True)
class StyleSource:
    """The images that define a style: a single image, the images of a blend, or one image with a mask of regions."""

    pictures: tuple[Image.Image, ...]
    mask: Image.Image | None = None

    def __post_init__(self) -> None:
        if not self.pictures:
            raise OptionsError("a style has an image, or several of a blend; got none")
        if self.mask is not None and len(self.pictures) > 1:
            raise OptionsError("a mask of the style goes with one style, not with a blend")


def request_of(
    content: Image.Image,
    style: StyleImage,
    options: StylizeOptions,
    guides: ContentGuides = NO_GUIDES,
    colours: RegionColours | None = None,
) -> StylizeRequest:
    """Build the engine's request for a pair.

    Args:
        content: the content image, mode RGB, at the pastiche's size.
        style: the encoded style, as returned by `style_of`.
        options: resolved options.
        guides: the content's additional images.
        colours: the region colours of the masks; None without masks.
    """
    size = content.size
    return StylizeRequest(
        to_tensor(content),
        style,
        options,
        regions=_content_regions(guides, colours, size),
        protected=None if guides.protect is None else coverage(guides.protect, size),
        initial=None if guides.start is None else to_tensor(resize(guides.start, *size)),
    )


def _content_regions(guides: ContentGuides, colours: RegionColours | None, size: Size) -> Regions | None:
    """Return the map of each region, restricted to the part that is painted and visible."""
    painted = _painted(guides, size)
    if colours is None:
        return None if painted is None else Regions(painted)
    assert guides.mask is not None, "regions come from masks"
    maps = maps_of(guides.mask, colours.content, size)
    return Regions(maps if painted is None else maps * painted)


def _painted(guides: ContentGuides, size: Size) -> Tensor | None:
    """Return where the content is painted and visible, shape (1, 1, H, W); None means everywhere."""
    maps = []
    if guides.alpha is not None:
        maps.append(coverage(guides.alpha, size))
    if guides.protect is not None:
        maps.append(1.0 - coverage(guides.protect, size))
    return math.prod(maps[1:], start=maps[0]) if maps else None


def painted_pixels(content: Image.Image, guides: ContentGuides) -> Tensor:
    """Return the pixels of a content whose colours count: painted and visible ones, or all pixels if there are none.

    Args:
        content: the content image, mode RGB, at the pastiche's size.
        guides: the content's additional images.

    Returns:
        Pixels in [0, 1], shape (1, 3, 1, P).
    """
    pixels, painted = to_tensor(content).flatten(2), _painted(guides, content.size)
    if painted is not None and (counts := painted.flatten() > 0.5).any():
        pixels = pixels[:, :, counts]
    return pixels[:, :, None]


def style_of(
    source: StyleSource,
    pastiche: Size,
    options: StylizeOptions,
    backbone: Backbone,
    colours: RegionColours | None = None,
    content: Tensor | None = None,
) -> StyleImage:
    """Encode a style at the sizes that suit a pastiche.

    Args:
        source: the style's images.
        pastiche: (width, height) of the pastiche.
        options: resolved options.
        backbone: the network that encodes the style.
        colours: the region colours of the masks; None without masks.
        content: content pixels, shape (1, 3, H, W), whose colours the style takes on if the options request it.

    Raises:
        OptionsError: if the number of blend weights differs from the number of styles.
    """
    sizes = [size_of_style(picture.size, pastiche, options) for picture in source.pictures]
    regions = None
    if colours is not None:
        assert source.mask is not None, "regions come from masks"
        regions = _style_regions(source.mask, colours, sizes[0])
    pictures = [
        StylePicture(to_tensor(resize(picture, *size)), share, regions)
        for picture, size, share in zip(
            source.pictures, sizes, blend_shares(options.style_blend, len(sizes)), strict=True
        )
    ]
    return prepare_style(backbone, pictures, options, content)


def _style_regions(mask: Image.Image, colours: RegionColours, size: Size) -> Regions:
    maps = maps_of(mask, colours.style, size)
    for place, colour in enumerate(colours.style):
        if not maps[:, place].any():
            raise OptionsError(
                f"style_mask: of the region {name_of(colour)} nothing is left at the style's {size[0]} x {size[1]} px: "
                "paint it larger, or raise style_scale"
            )
    return Regions(maps)


def blend_shares(weights: Sequence[float] | None, styles: int) -> list[float]:
    """Return the share of each style in a blend; the shares add up to 1.

    Raises:
        OptionsError: unless there is one weight per style.

    >>> blend_shares((3.0, 1.0), 2), blend_shares(None, 2)
    ([0.75, 0.25], [0.5, 0.5])
    """
    given = weights or (1.0,) * styles
    if len(given) != styles:
        raise OptionsError(f"style_blend: expected {styles} numbers, one per style, got {len(given)}")
    return [weight / sum(given) for weight in given]


def size_of_style(picture: Size, pastiche: Size, options: StylizeOptions) -> Size:
    """Return the (width, height) at which a style image of a given size is used for a pastiche of a given size."""
    if RECIPES[options.recipe].style_takes_content_shape:
        return pastiche
    return style_size(*picture, pastiche, options.style_scale)

"""Pictures of a pair -> what the engine stylizes: one way for the command, the library and the worker.

A pair has a content and a style picture, and perhaps more of them: further styles of a blend, masks, and one to start
from.
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
from nst_core.scene.masks import RegionColours, coverage, maps_of, name_of
from nst_core.scene.pixels import to_tensor
from nst_core.scene.styles import StyleImage, StylePicture

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class ContentGuides:
    """Pictures, of any size, that go with a content picture.

    Attributes:
        mask: of mode RGB; its colours are regions; goes with a mask of the style.
        protect: where it is white, and not transparent, the content stays, and does not count for the style either.
        start: of mode RGB; what the optimisation starts from.
        alpha: of mode L; where it is black the pastiche does not count for its style.
    """

    mask: Image.Image | None = None
    protect: Image.Image | None = None
    start: Image.Image | None = None
    alpha: Image.Image | None = None


NO_GUIDES = ContentGuides()


@dataclass(frozen=True)
class StyleSource:
    """Where a style comes from: one picture, those of a blend, or one with a mask whose colours are regions."""

    pictures: tuple[Image.Image, ...]
    mask: Image.Image | None = None

    def __post_init__(self) -> None:
        if not self.pictures:
            raise OptionsError("a style has a picture, or several of a blend; got none")
        if self.mask is not None and len(self.pictures) > 1:
            raise OptionsError("a mask of the style goes with one style, not with a blend")


def request_of(
    content: Image.Image,
    style: StyleImage,
    options: StylizeOptions,
    guides: ContentGuides = NO_GUIDES,
    colours: RegionColours | None = None,
) -> StylizeRequest:
    """A pair as the engine takes it.

    Args:
        content: of mode RGB, of the pastiche's size.
        style: as `style_of` makes it.
        options: resolved.
        guides: of the content.
        colours: of the regions of its mask; None where there is none.
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
    """Where each region is, as far as anything is painted there, and to be seen."""
    painted = _painted(guides, size)
    if colours is None:
        return None if painted is None else Regions(painted)
    assert guides.mask is not None, "regions come from masks"
    maps = maps_of(guides.mask, colours.content, size)
    return Regions(maps if painted is None else maps * painted)


def _painted(guides: ContentGuides, size: Size) -> Tensor | None:
    """Where the content is painted, and to be seen, shape (1, 1, H, W); None is everywhere."""
    maps = []
    if guides.alpha is not None:
        maps.append(coverage(guides.alpha, size))
    if guides.protect is not None:
        maps.append(1.0 - coverage(guides.protect, size))
    return math.prod(maps[1:], start=maps[0]) if maps else None


def painted_pixels(content: Image.Image, guides: ContentGuides) -> Tensor:
    """The pixels of a content whose colours count: those that are painted, and to be seen; all, where none is.

    Args:
        content: of mode RGB, of the pastiche's size.
        guides: of the content.

    Returns:
        In [0, 1], shape (1, 3, 1, P).
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
    """A style at the sizes that go with a pastiche, encoded.

    Args:
        source: its pictures.
        pastiche: (width, height).
        options: resolved.
        backbone: that encodes.
        colours: of the regions of its mask; None where there is none.
        content: pixels, shape (1, 3, H, W), whose colours it is to have where the options say so.

    Raises:
        OptionsError: if the blend's weights do not fit.
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
    """The share of each style in a blend, adding up to 1.

    Raises:
        OptionsError: unless there is a weight for each style.

    >>> blend_shares((3.0, 1.0), 2), blend_shares(None, 2)
    ([0.75, 0.25], [0.5, 0.5])
    """
    given = weights or (1.0,) * styles
    if len(given) != styles:
        raise OptionsError(f"style_blend: expected {styles} numbers, one per style, got {len(given)}")
    return [weight / sum(given) for weight in given]


def size_of_style(picture: Size, pastiche: Size, options: StylizeOptions) -> Size:
    """(width, height) at which a style image of some size is used for a pastiche of some size."""
    if RECIPES[options.recipe].style_takes_content_shape:
        return pastiche
    return style_size(*picture, pastiche, options.style_scale)

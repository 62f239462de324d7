"""A style, encoded once for all pairs that use it."""

from collections.abc import Sequence

from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.errors import OptionsError
from nst_core.machine.faults import within_memory
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import check_image, check_range
from nst_core.scene.recolour import recoloured
from nst_core.scene.styles import StyleImage, StylePicture, style_target


def prepare_style(
    backbone: Backbone,
    image: Tensor | Sequence[StylePicture],
    options: StylizeOptions,
    content: Tensor | None = None,
) -> StyleImage:
    """A style, encoded in fp32 for every pair that uses it with these options.

    Args:
        backbone: that encodes.
        image: shape (1, 3, H, W), in [0, 1]; or the pictures of a blend, or one with regions.
        options: resolved.
        content: pixels, shape (1, 3, H, W), whose colours the style is to have; needed where `options.colors` is not
            `style`.

    Raises:
        ShapeError: if one of them is no image.
        OptionsError: if there is no picture, or no content whose colours it could have.
        OutOfMemory: if the device has too little memory.
    """
    given = [StylePicture(image)] if isinstance(image, Tensor) else image
    if not given:
        raise OptionsError("a style has a picture, or several of a blend; got none")
    height, width = given[0].image.shape[2:]
    what = f"a style image of {width} x {height} px"
    return within_memory(what, backbone.device, lambda: _encoded(given, content, options, backbone))


def _encoded(
    given: Sequence[StylePicture], content: Tensor | None, options: StylizeOptions, backbone: Backbone
) -> StyleImage:
    for one in given:
        check_range(one.image, "style")
    pictures = tuple(_in_colours(one, content, options) for one in given)
    return StyleImage(pictures, style_target(backbone.exact, pictures, options, backbone.device))


def _in_colours(picture: StylePicture, content: Tensor | None, options: StylizeOptions) -> StylePicture:
    if options.colors == "style":
        return picture
    if content is None:
        raise OptionsError(
            f"colors {options.colors}: expected the pixels of a content, whose colours the style is to have"
        )
    check_image(content, "content")
    check_range(content, "content")
    return StylePicture(recoloured(picture.image, content, options), picture.share, picture.regions)

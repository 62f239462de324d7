"""Encode a style once for all pairs that use it."""

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
    """Encode a style in fp32 for every pair that uses it with these options.

    Args:
        backbone: the network that encodes the style.
        image: an image of shape (1, 3, H, W), in [0, 1]; or the images of a blend, or one image with regions.
        options: resolved options.
        content: content pixels, shape (1, 3, H, W), whose colours the style takes on; required unless `options.colors`
            is `style`.

    Raises:
        ShapeError: if one of them is not a valid image tensor.
        OptionsError: if there is no image, or `options.colors` requires content pixels and there are none.
        OutOfMemory: if the device has too little memory.
    """
    pictures = [StylePicture(image)] if isinstance(image, Tensor) else image
    if not pictures:
        raise OptionsError("a style has an image, or several of a blend; got none")
    height, width = pictures[0].image.shape[2:]
    what = f"a style image of {width} x {height} px"
    return within_memory(what, backbone.device, lambda: _encoded(pictures, content, options, backbone))


def _encoded(
    pictures: Sequence[StylePicture], content: Tensor | None, options: StylizeOptions, backbone: Backbone
) -> StyleImage:
    for picture in pictures:
        check_range(picture.image, "style")
    recoloured_pictures = tuple(_in_colours(picture, content, options) for picture in pictures)
    target = style_target(backbone.exact, recoloured_pictures, options, backbone.device)
    return StyleImage(recoloured_pictures, target)


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

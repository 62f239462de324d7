"""request: tensors that are no image, or that do not fit their content, are refused."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.errors import OptionsError, ShapeError
from nst_core.losses.regions import Regions
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.stylize import stylize
from tests.nst_core.pairs import Pairs, make


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda image: image * 255.0, "from 0 to 1, found .*: divide levels of 8 bits by 255"),
        (lambda image: image * torch.nan, "from 0 to 1, found nan to nan$"),
        (lambda image: image - 0.5, "from 0 to 1, found -0[.0-9]* to 0[.0-9]*$"),
        (lambda image: image[0].permute(1, 2, 0), "of shape .1, 3, H, W., got .28, 32, 3.$"),
        (lambda image: image.permute(0, 2, 3, 1), "of shape .1, 3, H, W., got .1, 28, 32, 3.$"),
        (lambda image: image[:, :1], "of shape .1, 3, H, W., got .1, 1, 28, 32.$"),
        (lambda image: image.double(), "of torch.float32, got torch.float64$"),
        (lambda image: image.half(), "of torch.float32, got torch.float16$"),
        (lambda image: (image * 255.0).to(torch.uint8), "of torch.float32, got torch.uint8$"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused(pairs: Pairs, changed: Callable[[Tensor], Tensor], said: str) -> None:
    """A tensor of another range, shape or dtype is refused by its name wherever an image is expected.

    Such a tensor would otherwise give an image of noise.
    """
    request = pairs.request()
    wrong = changed(request.content)

    for what in ("content", "initial"):
        with pytest.raises(ShapeError, match=f"{what}: expected .*{said}"):
            stylize([dataclasses.replace(request, **{what: wrong})], pairs.backbone)
    with pytest.raises(ShapeError, match=f"style: expected .*{said}"):
        prepare_style(pairs.backbone, wrong, request.options)
    with pytest.raises(ShapeError, match=f"content: expected .*{said}"):
        prepare_style(pairs.backbone, request.content, make(colors="match"), wrong)
    with pytest.raises(ShapeError, match="expected"):
        measure(wrong, request, pairs.backbone)


def test_arguments_that_do_not_fit_the_content_are_refused(pairs: Pairs) -> None:
    """A request refuses a mask, a start image or maps of another size, and regions that the style lacks.

    It also refuses options that are not resolved; a style is refused without an image, or without the pixels that
    `colors` needs.
    """
    request, other = pairs.request(), torch.zeros(1, 1, 9, 9)
    for wrong, said in (
        ({"protected": other}, "protected: expected the content's size .28, 32., got .9, 9."),
        ({"protected": torch.zeros(1, 3, 28, 32)}, "protected: expected a tensor of shape .1, 1, H, W."),
        ({"initial": other.expand(1, 3, 9, 9)}, "initial: expected the content's size"),
        ({"regions": Regions(other)}, "regions: expected maps of the content's size .28, 32., got .9, 9."),
        ({"regions": Regions(torch.ones(1, 2, 28, 32))}, "the content has 2 regions, its style 1"),
    ):
        with pytest.raises(ShapeError, match=said):
            dataclasses.replace(request, **wrong)
    with pytest.raises(OptionsError, match="resolved"):
        dataclasses.replace(request, options=StylizeOptions())
    with pytest.raises(OptionsError, match="colors match: expected the pixels of a content"):
        prepare_style(pairs.backbone, request.content, make(colors="match"))
    with pytest.raises(OptionsError, match="a style has an image"):
        prepare_style(pairs.backbone, [], request.options)

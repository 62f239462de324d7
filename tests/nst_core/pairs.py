"""Small pairs to stylize, and the losses of an image from newly encoded targets."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nst_core.backbones.backbone import Backbone
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.stylize import stylize

Picture = Callable[..., Tensor]

# Without a ReLU the objective is smooth. At a kink, two paths that differ only by rounding would part.
SMOOTH: dict[str, Any] = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate({"steps": 10, "plateau_tolerance": 0.0} | values).resolved()


class Pairs:
    """Makes requests for pairs of 32 x 28 px, in which pair n has content image n and style image 10 + n."""

    def __init__(self, backbone: Backbone, picture: Picture) -> None:
        self.backbone, self.picture = backbone, picture

    def request(self, number: int = 1, *, size: tuple[int, int] = (28, 32), **values: Any) -> StylizeRequest:
        options = make(**values)
        style = prepare_style(self.backbone, self.picture(32, 24, 10 + number), options)
        return StylizeRequest(self.picture(*size, number), style, options)

    def stylize(self, *requests: StylizeRequest, on_step: Any = None) -> list[StylizeResult]:
        results = stylize(requests, self.backbone, on_step)
        assert all(isinstance(result, StylizeResult) for result in results)
        return [result for result in results if isinstance(result, StylizeResult)]


def direct_losses(backbone: Backbone, pixels: Tensor, content: Tensor, style: Tensor, options: Any) -> LossValues:
    """The losses of an image against newly encoded targets."""
    targets = encode_content(backbone.exact, content, options), encode_style(backbone.exact, style, options)
    with torch.no_grad():
        return PerceptualLoss(backbone.exact, *targets, options)(pixels).values()[0]

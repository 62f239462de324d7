"""The judge of all tools: the fp32 loss of a decoded PNG, with the same function, weights and targets for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.losses.values import LossValues
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest
from tests.benchmarks.pictures import read_tensor


@dataclass(frozen=True)
class Pair:
    """A content and a style image of equal size, as PNG files."""

    content: Path
    style: Path

    @property
    def name(self) -> str:
        """The pair's name in tables."""
        return f"{self.content.stem} x {self.style.stem}"


def exact_backbone(device: str = "cpu", weights: str | None = None) -> Backbone:
    """VGG-19 in fp32."""
    return load_backbone(find_weights("vgg19", weights), device, "fp32")


def request_of(pair: Pair, backbone: Backbone, options: StylizeOptions) -> StylizeRequest:
    """The request that the engine takes for a pair."""
    resolved = options.resolved()
    return StylizeRequest(
        read_tensor(pair.content), prepare_style(backbone, read_tensor(pair.style), resolved), resolved
    )


def score(picture: Path, pair: Pair, recipe: str, backbone: Backbone) -> LossValues:
    """The losses of a PNG file under a recipe."""
    request = request_of(pair, backbone, options_of({"recipe": recipe}))
    return measure(read_tensor(picture), request, backbone)


def options_of(values: dict[str, Any]) -> StylizeOptions:
    """Options from names and values; text is parsed as in a cell of a manifest."""
    return StylizeOptions.model_validate(values)


def parse_options(assignments: list[str]) -> dict[str, str]:
    """`["optimizer=lbfgs"]` -> `{"optimizer": "lbfgs"}`."""
    return dict(one.split("=", 1) for one in assignments)

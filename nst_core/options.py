"""Everything that decides how one pair is stylized. No torch.

A `None` means "the recipe's own value"; `resolved()` fills it in. What belongs to the machine and the run instead
(device, precision, backbone, where files go) is not here.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nst_core.layers import FEATURE_LAYERS
from nst_core.recipes import RECIPES, OptimizerName, RecipeName

ADAM_LEARNING_RATE = 0.05
"""For Adam with a recipe that was published with L-BFGS; in units of the backbone's normalised input."""

WEBP_MOST_PX = 16_383
"""Long edge of a WebP at most: the format counts no further."""


class StylizeOptions(BaseModel):
    """How one pair is stylized. Frozen; unknown names are refused; every number is finite and bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    recipe: RecipeName = "relative"
    """The objective: relative, gatys, notebook or neural-style."""
    size_px: int = Field(default=512, ge=16, le=8192)
    """Long edge of the stylized image in pixels."""
    enlarge: bool = False
    """Enlarge a content image that is smaller than size_px."""
    style_scale: float = Field(default=1.0, ge=0.1, le=4.0)
    """Long edge of the style image relative to that of the stylized image: below 1 finer strokes, above 1 broader."""
    content_weight: float | None = Field(default=None, ge=0.0, le=1e12)
    """Weight of the content loss (default: the recipe's)."""
    style_weight: float | None = Field(default=None, ge=0.0, le=1e12)
    """Weight of the style loss (default: the recipe's)."""
    tv_weight: float = Field(default=0.0, ge=0.0, le=1e12)
    """Weight of the total variation, which smooths."""
    content_layers: tuple[str, ...] = ("relu4_2",)
    """Layers of the content loss."""
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers of the style loss."""
    style_layer_weights: tuple[float, ...] | None = None
    """One weight per style layer (default: the recipe's)."""
    pooling: Literal["max", "average"] = "max"
    """How the backbone pools; average pooling is rescaled to keep the size of the activations."""
    init: Literal["content", "style", "noise"] = "content"
    """What the optimisation starts from."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Seed of the noise, for init=noise."""
    levels: int | None = Field(default=None, ge=1, le=4)
    """Sizes to optimise at, coarse to fine, each half the next; none means by size: 1 below 512 px, then 2, 3, 4."""
    optimizer: OptimizerName | None = None
    """lbfgs or adam (default: the recipe's)."""
    learning_rate: float | None = Field(default=None, gt=0.0, le=1e3)
    """Adam's learning rate in units of the backbone's normalised input (default: the recipe's); L-BFGS takes none."""
    steps: int | None = Field(default=None, ge=1, le=100_000)
    """Optimisation steps at most at full size, those taken back included (default: the recipe's)."""
    loss_threshold: float | None = Field(default=None, gt=0.0)
    """Stop as soon as the total loss of the picture, as a PNG would hold it, is at or below this."""
    plateau_tolerance: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Stop when the best loss fell by less than this share over plateau_window steps; 0 never stops early."""
    plateau_window: int = Field(default=25, ge=2, le=100_000)
    """Steps over which the plateau is judged."""
    max_seconds: float | None = Field(default=None, gt=0.0)
    """Time budget of one pair's optimisation in seconds."""
    output_format: Literal["png", "jpeg", "webp", "tiff"] = "png"
    """File format of the stylized image."""
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    """Quality of a JPEG or WebP, both of which lose a little; png and tiff lose nothing."""
    bit_depth: Literal[8, 16] = 8
    """Bits per channel of the file; 16 with png and tiff only."""
    output_profile: Literal["srgb", "content"] = "srgb"
    """Colour space of the file: sRGB, or that of the content image if its profile is of RGB primaries and curves."""
    dpi: int | None = Field(default=None, ge=10, le=4800)
    """Resolution that the file asks to be printed at, in dots per inch; none says nothing."""
    alpha: Literal["white", "keep"] = "white"
    """Transparency of the content image: laid over white, or kept in the file; keep with png, webp and tiff only."""

    @field_validator("content_layers", "style_layers", "style_layer_weights", mode="before")
    @classmethod
    def _split_text(cls, value: Any) -> Any:
        """Take a list as text, `relu1_1 relu2_1`, as a CSV cell or the command line gives it."""
        return tuple(value.replace(",", " ").replace(";", " ").split()) if isinstance(value, str) else value

    @field_validator("bit_depth", mode="before")
    @classmethod
    def _number_of_text(cls, value: Any) -> Any:
        """Take a number as text; pydantic does so for any number but one of a choice."""
        return int(value) if isinstance(value, str) and value in ("8", "16") else value

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _known_layers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in FEATURE_LAYERS]
        if unknown:
            raise ValueError(f"no layer {unknown[0]!r}; layers are convB_K and reluB_K, from conv1_1 to relu5_4")
        if not names:
            raise ValueError("at least one layer is needed")
        if len(set(names)) < len(names):
            raise ValueError("a layer is named twice")
        return names

    @field_validator("style_layer_weights")
    @classmethod
    def _weights_not_negative(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and (min(weights, default=0.0) < 0.0 or sum(weights) == 0.0):
            raise ValueError("layer weights are 0 or more, and not all 0")
        return weights

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.style_layer_weights is not None and len(self.style_layer_weights) != len(self.style_layers):
            raise ValueError(
                f"style_layer_weights: expected {len(self.style_layers)} numbers, one per style layer, "
                f"got {len(self.style_layer_weights)}"
            )
        recipe = RECIPES[self.recipe]
        content = recipe.content_weight if self.content_weight is None else self.content_weight
        style = recipe.style_weight if self.style_weight is None else self.style_weight
        if content == 0.0 and style == 0.0:
            raise ValueError("content_weight and style_weight are both 0: there is nothing to optimise")
        return self

    @model_validator(mode="after")
    def _held_by_the_format(self) -> Self:
        """What is asked of the file is what its format can hold."""
        kind = self.output_format
        if self.bit_depth == 16 and kind not in ("png", "tiff"):
            raise ValueError(f"bit_depth 16: expected output_format png or tiff, got {kind}, which holds 8 bits")
        if self.alpha == "keep" and kind == "jpeg":
            raise ValueError(
                "alpha keep: expected output_format png, webp or tiff, got jpeg, which has no transparency"
            )
        if kind == "webp" and self.size_px > WEBP_MOST_PX:
            raise ValueError(f"output_format webp: expected size_px up to {WEBP_MOST_PX}, got {self.size_px}")
        return self

    def resolved(self) -> "StylizeOptions":
        """These options with every `None` that means "the recipe's" replaced by the recipe's value."""
        recipe = RECIPES[self.recipe]
        optimizer = self.optimizer or recipe.optimizer
        values = self.model_dump() | {
            "content_weight": recipe.content_weight if self.content_weight is None else self.content_weight,
            "style_weight": recipe.style_weight if self.style_weight is None else self.style_weight,
            "style_layer_weights": self.style_layer_weights
            or tuple(recipe.layer_weight(layer, len(self.style_layers)) for layer in self.style_layers),
            "optimizer": optimizer,
            "learning_rate": None
            if optimizer == "lbfgs"
            else self.learning_rate or recipe.learning_rate or ADAM_LEARNING_RATE,
            "steps": self.steps or recipe.steps,
        }
        return StylizeOptions.model_validate(values)

    def overridden(self, changes: Mapping[str, Any]) -> "StylizeOptions":
        """These options with some replaced. What was left to the recipe stays left to the (perhaps new) recipe."""
        return StylizeOptions.model_validate(self.model_dump(exclude_unset=True) | dict(changes))

    def digest(self) -> str:
        """16 hex digits that are equal just when the resolved options are equal."""
        values = _without_negative_zeros(self.resolved().model_dump(mode="json"))
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_negative_zeros(value: Any) -> Any:
    """0.0 and -0.0 are equal, but are not written alike."""
    if isinstance(value, dict):
        return {name: _without_negative_zeros(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_negative_zeros(one) for one in value]
    return value + 0.0 if isinstance(value, float) else value

"""Everything that determines how one pair is stylized. No torch.

A `None` means "the recipe's own value"; `resolved()` fills it in. Settings of the machine and the run (device,
precision, backbone, output location) are not part of these options.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from nst_core.options.file_formats import FILE_FORMATS, FileFormatName, in_words
from nst_core.options.layers import FEATURE_LAYERS
from nst_core.options.numbers_as_text import reader_of
from nst_core.options.quality import QUALITIES, QualityName
from nst_core.options.recipes import RECIPES, OptimizerName, RecipeName

BY_SIZE_ABOVE_PX = 2048
"""Largest `size_px` at which a recipe's steps are used unchanged; beyond it they depend on the actual image size."""

ADAM_LEARNING_RATE = 0.05
"""Learning rate of Adam for recipes published with L-BFGS, in units of the backbone's normalised input."""

LARGEST_WEIGHT = 1e12
"""Largest weight of a loss, a layer or a style: products and sums of such weights stay finite."""

USUAL_STRENGTH = 0.5
"""The strength that stands for the recipe's own style weight."""

GENTLEST_SHARE, STRONGEST_SHARE = 1 / 30, 6.0
"""Style weights at strength 0 and 1, relative to the recipe's: with less a photograph hardly changes, with more it
takes on no more style."""

RECORDED = {"recorded": True}
"""The pydantic context for options that were accepted before: records of an earlier version stay readable, even if
this version refuses their combination of options for new pairs."""

SHORTHANDS = {"strength", "quality"}
"""Options that only set other options: pairs whose other options are equal have the same result, whatever these are."""


EXCLUSIVE_OPTIONS = ("strength", "style_weight")
"""Two options that set the same thing."""


def merge_options(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two sets of options; a later one also replaces an earlier one that sets the same thing by another name.

    >>> merge_options({"strength": 0.7, "steps": 9}, {"style_weight": 30.0})
    {'steps': 9, 'style_weight': 30.0}
    """
    other_way = dict(zip(EXCLUSIVE_OPTIONS, reversed(EXCLUSIVE_OPTIONS), strict=True))
    kept = {name: value for name, value in earlier.items() if other_way.get(name) not in later}
    return kept | dict(later)


class StylizeOptions(BaseModel):
    """How one pair is stylized. Immutable; unknown names are refused; every number is finite and bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    recipe: RecipeName = "relative"
    """The objective: relative, moments, gatys, notebook or neural-style."""
    size_px: int = Field(default=512, ge=16, le=16384)
    """Long edge of the stylized image in pixels."""
    enlarge: bool = False
    """Enlarge a content image that is smaller than size_px."""
    style_scale: float = Field(default=1.0, ge=0.1, le=4.0)
    """Long edge of the style image relative to that of the stylized image: below 1 finer strokes, above 1 broader."""
    style_blend: tuple[float, ...] | None = None
    """Weights of the styles of a blend, `style` first, of any sum (default: all alike)."""
    colors: Literal["style", "match", "luminance"] = "style"
    """Whose colours: the style's; the style's brought to the content's mean and covariance first; the content's own."""
    strength: float | None = Field(default=None, ge=0.0, le=1.0)
    """How much style, in place of style_weight: 0.5 means the recipe's weight, 0 a thirtieth of it, 1 six times it."""
    content_weight: float | None = Field(default=None, ge=0.0, le=LARGEST_WEIGHT)
    """Weight of the content loss (default: the recipe's)."""
    style_weight: float | None = Field(default=None, ge=0.0, le=LARGEST_WEIGHT)
    """Weight of the style loss (default: the recipe's)."""
    tv_weight: float = Field(default=0.0, ge=0.0, le=LARGEST_WEIGHT)
    """Weight of the total variation, which smooths."""
    content_layers: tuple[str, ...] = ("relu4_2",)
    """Layers of the content loss."""
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers of the style loss."""
    style_layer_weights: tuple[float, ...] | None = None
    """One weight per style layer (default: the recipe's)."""
    pooling: Literal["max", "average"] = "max"
    """How the backbone pools; average pooling is rescaled to keep the size of the activations."""
    quality: QualityName = "standard"
    """How long to optimise: draft, standard or best; `steps` and `plateau_tolerance` override it."""
    init: Literal["content", "style", "noise"] = "content"
    """What the optimisation starts from."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Seed of the noise, for init=noise."""
    levels: int | None = Field(default=None, ge=1, le=7)
    """Sizes to optimise at, coarse to fine, each half the next; none means by size: 1 below 512 px, then 2, and one
    more with each doubling."""
    optimizer: OptimizerName | None = None
    """lbfgs or adam (default: the recipe's)."""
    learning_rate: float | None = Field(default=None, gt=0.0, le=1e3)
    """Adam's learning rate in units of the backbone's normalised input (default: the recipe's); L-BFGS takes none."""
    steps: int | None = Field(default=None, ge=1, le=100_000)
    """Most optimisation steps at full size, including those taken back (default: the recipe's, by quality; beyond
    2048 x 2048 pixels fewer, so that they take no longer, but at least 20)."""
    loss_threshold: float | None = Field(default=None, gt=0.0)
    """Stop as soon as the total loss of the image, as a PNG would hold it, is at or below this."""
    plateau_tolerance: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Stop when the best loss fell by less than this over plateau_window steps; 0 never does (default: by quality)."""
    plateau_window: int = Field(default=25, ge=2, le=100_000)
    """Steps over which the plateau is judged."""
    max_seconds: float | None = Field(default=None, gt=0.0)
    """Time budget of one pair's optimisation in seconds."""
    output_format: FileFormatName = "png"
    """File format of the stylized image."""
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    """Quality of JPEG and WebP files, which are lossy; png and tiff are lossless."""
    bit_depth: Literal[8, 16] = 8
    """Bits per channel of the file; 16 with png and tiff only."""
    output_profile: Literal["srgb", "content"] = "srgb"
    """Colour space of the file: sRGB, or that of the content image if its profile is of RGB primaries and curves."""
    dpi: int | None = Field(default=None, ge=10, le=4800)
    """Print resolution stored in the file, in dots per inch; none stores no resolution."""
    alpha: Literal["white", "keep"] = "white"
    """Transparency of the content image: laid over white, or kept in the file; keep with png, webp and tiff only."""

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read a CSV cell or a command line argument, which are text, by the option's type."""
        assert info.field_name is not None, "it is a field's validator"
        return reader_of(cls, info.field_name)(value)

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

    @field_validator("style_layer_weights", "style_blend")
    @classmethod
    def _usable_weights(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if weights is not None and (min(weights, default=0.0) < 0.0 or sum(weights) == 0.0):
            raise ValueError("weights are 0 or more, and not all 0")
        if weights is not None and max(weights) > LARGEST_WEIGHT and info.context != RECORDED:
            raise ValueError(f"weights are at most {LARGEST_WEIGHT:g}, got {max(weights):g}")
        return weights

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Self:
        """Refuse options that do not go together, with all reasons at once."""
        if info.context == RECORDED:
            return self
        reasons = [*self._conflicts(), *self._limits_of_the_format()]
        if reasons:
            raise ValueError("; ".join(reasons))
        return self

    def _conflicts(self) -> Iterator[str]:
        """Yield what is wrong with options that depend on each other."""
        if self.style_layer_weights is not None and len(self.style_layer_weights) != len(self.style_layers):
            yield (
                f"style_layer_weights: expected {len(self.style_layers)} numbers, one per style layer, "
                f"got {len(self.style_layer_weights)}"
            )
        recipe = RECIPES[self.recipe]
        if recipe.style_takes_content_shape and self.style_scale != 1.0:
            yield (
                f"style_scale {self.style_scale:g}: recipe {recipe.name} takes none, it squeezes the style to the "
                "content's shape; leave style_scale out"
            )
        if self.strength is not None and self.style_weight is not None and not self._is_what_strength_means():
            yield (
                f"strength {self.strength:g} is a style_weight of {self._dialled_weight():g}, and style_weight is "
                f"{self.style_weight:g}: give one of the two"
            )
        content = recipe.content_weight if self.content_weight is None else self.content_weight
        style = self._dialled_weight() if self.style_weight is None else self.style_weight
        if content == 0.0 and style == 0.0:
            yield "content_weight and style_weight are both 0: there is nothing to optimise"

    def _limits_of_the_format(self) -> Iterator[str]:
        """Yield what the other options request of the file but its format cannot store."""
        file_format, formats = FILE_FORMATS[self.output_format], FILE_FORMATS.values()
        if self.bit_depth not in file_format.bit_depths:
            able = in_words(one for one in formats if self.bit_depth in one.bit_depths)
            held = " or ".join(map(str, file_format.bit_depths))
            yield (
                f"bit_depth {self.bit_depth}: expected output_format {able}, got {file_format.name}, which holds "
                f"{held} bits"
            )
        if self.alpha == "keep" and not file_format.has_alpha:
            able = in_words(one for one in formats if one.has_alpha)
            yield f"alpha keep: expected output_format {able}, got {file_format.name}, which has no transparency"
        if file_format.most_px is not None and self.size_px > file_format.most_px:
            yield (
                f"output_format {file_format.name}: expected size_px up to {file_format.most_px}, got {self.size_px}"
            )

    @property
    def usual_steps(self) -> int:
        """The recipe's steps for the chosen quality, for images of no more than `BY_SIZE_ABOVE_PX`."""
        return max(1, round(QUALITIES[self.quality].steps * RECIPES[self.recipe].steps))

    def _dialled_weight(self) -> float:
        """Return the style weight that `strength` stands for."""
        strength = USUAL_STRENGTH if self.strength is None else self.strength
        end = GENTLEST_SHARE if strength < USUAL_STRENGTH else STRONGEST_SHARE
        return float(RECIPES[self.recipe].style_weight * end ** (abs(strength - USUAL_STRENGTH) / USUAL_STRENGTH))

    def _is_what_strength_means(self) -> bool:
        return self.style_weight is not None and math.isclose(self.style_weight, self._dialled_weight(), rel_tol=1e-6)

    def resolved(self) -> "StylizeOptions":
        """Return these options with every `None` that means "the recipe's" replaced by the recipe's value.

        The steps of large images remain `None`, because they depend on the image's actual size.
        """
        recipe = RECIPES[self.recipe]
        optimizer, quality = self.optimizer or recipe.optimizer, QUALITIES[self.quality]
        values = self.model_dump() | {
            "content_weight": recipe.content_weight if self.content_weight is None else self.content_weight,
            "style_weight": self._dialled_weight() if self.style_weight is None else self.style_weight,
            "style_layer_weights": self.style_layer_weights or recipe.layer_weights(self.style_layers),
            "optimizer": optimizer,
            "learning_rate": None
            if optimizer == "lbfgs"
            else self.learning_rate or recipe.learning_rate or ADAM_LEARNING_RATE,
            # Beyond that size they depend on the image itself: see `nst_core.geometry.levels.steps_at`.
            "steps": self.steps or (self.usual_steps if self.size_px <= BY_SIZE_ABOVE_PX else None),
            "plateau_tolerance": quality.plateau_tolerance
            if self.plateau_tolerance is None
            else self.plateau_tolerance,
        }
        return StylizeOptions.model_validate(values, context=RECORDED)

    def overridden(self, changes: Mapping[str, Any], *, recorded: bool = False) -> "StylizeOptions":
        """Return these options with some replaced; what was left to the recipe follows the (perhaps new) recipe.

        Args:
            changes: the new values, by option.
            recorded: whether the result was accepted before, see `RECORDED`.
        """
        values = merge_options(self.model_dump(exclude_unset=True), changes)
        return StylizeOptions.model_validate(values, context=RECORDED if recorded else None)

    def digest(self) -> str:
        """Return 16 hex digits that are equal if and only if the resolved options are equal."""
        resolved = self.resolved()
        # For large images, quality affects the steps only once their size is known.
        redundant = SHORTHANDS if resolved.steps is not None else SHORTHANDS - {"quality"}
        values = _without_negative_zeros(resolved.model_dump(mode="json", exclude=redundant))
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_negative_zeros(value: Any) -> Any:
    """Replace -0.0 by 0.0: they are equal, but JSON writes them differently."""
    if isinstance(value, dict):
        return {name: _without_negative_zeros(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_negative_zeros(one) for one in value]
    return value + 0.0 if isinstance(value, float) else value

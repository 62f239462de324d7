"""The published objectives: their scale factors and default weights. No torch.

With F and P the features of pastiche and content at a layer (C channels, M positions), G = F F^T / M and A the style's
Gram matrix divided by its own M, every recipe is

    total = content_weight * sum_l content_scale * mean((F - P)^2)
          + style_weight   * sum_l w_l * style_scale * mean((G - A)^2)
          + tv_weight      * total_variation

Recipes differ only in the two scale factors, the layer weights w_l and the defaults; except `moments`, which uses the
Wasserstein distance of means and covariances in place of the distance of Gram matrices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

RecipeName = Literal["relative", "moments", "gatys", "notebook", "neural-style"]
OptimizerName = Literal["lbfgs", "adam"]
Number = TypeVar("Number")
"""A float, or a tensor with one value per pastiche."""


@dataclass(frozen=True)
class Recipe:
    """One objective.

    Attributes:
        name: the value of the option `recipe`.
        formula: the formula as text, for the README and `nst run --help`.
        content_scale: maps (C, M, mean(P^2)) to the factor of mean((F - P)^2).
        style_scale: maps (C, M, mean(A^2)) to the factor of mean((G - A)^2); for `moments`, (C, M, E[|F_s|^2] / C) to
            that of W^2 / C.
        layer_weights: maps the style layers to their w_l.
        content_weight, style_weight, optimizer, learning_rate, steps: the defaults of the options of the same names.
        style_takes_content_shape: whether the style image is squeezed to the content's height and width.
        comparison: the style statistic and its distance: Gram matrices, or means and covariances.
    """

    name: RecipeName
    formula: str
    content_scale: Callable[[int, int, Number], Number | float]
    style_scale: Callable[[int, int, Number], Number | float]
    layer_weights: Callable[[Sequence[str]], tuple[float, ...]]
    content_weight: float
    style_weight: float
    optimizer: OptimizerName
    learning_rate: float | None
    steps: int
    style_takes_content_shape: bool = False
    comparison: Literal["gram", "moments"] = "gram"


NOTEBOOK_LAYER_WEIGHTS = {"1_1": 1.0, "2_1": 0.75, "3_1": 0.2, "4_1": 0.2, "5_1": 0.2}
NOTEBOOK_OTHER_LAYER_WEIGHT = 0.2
"""Weight of layers that the notebook's table does not name, such as conv4_2."""


def _equal_mean(layers: Sequence[str]) -> tuple[float, ...]:
    return (1.0 / len(layers),) * len(layers)


def _equal_sum(layers: Sequence[str]) -> tuple[float, ...]:
    return (1.0,) * len(layers)


def _notebook_weights(layers: Sequence[str]) -> tuple[float, ...]:
    blocks = (layer.removeprefix("relu").removeprefix("conv") for layer in layers)
    return tuple(NOTEBOOK_LAYER_WEIGHTS.get(block, NOTEBOOK_OTHER_LAYER_WEIGHT) for block in blocks)


def _shallow_first(layers: Sequence[str]) -> tuple[float, ...]:
    """Return 256, 64, 16, 4, 1 for relu1_1 to relu5_1, over the sum for these layers.

    For the default layers these are the weights of crowsonkb's style-transfer-pytorch.
    """
    weights = [4.0 ** (5 - int(layer[4])) for layer in layers]
    return tuple(weight / sum(weights) for weight in weights)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="relative",
            formula="mean((F-P)^2)/mean(P^2) and mean((G-A)^2)/mean(A^2): without unit, 0 is a perfect match",
            content_scale=lambda _c, _m, mean_square: 1.0 / mean_square,  # type: ignore[operator]  # a number or a tensor
            style_scale=lambda _c, _m, mean_square: 1.0 / mean_square,  # type: ignore[operator]  # a number or a tensor
            layer_weights=_equal_mean,
            content_weight=1.0,
            style_weight=30.0,
            optimizer="lbfgs",
            learning_rate=None,
            steps=300,
        ),
        Recipe(
            name="moments",
            formula="mean((F-P)^2)/mean(P^2) and W^2/E[F_s^2], W the Wasserstein-2 distance of means and covariances",
            content_scale=lambda _c, _m, mean_square: 1.0 / mean_square,  # type: ignore[operator]  # a number or a tensor
            style_scale=lambda _c, _m, mean_square: 1.0 / mean_square,  # type: ignore[operator]  # a number or a tensor
            layer_weights=_shallow_first,
            content_weight=1.0,
            style_weight=100.0,
            optimizer="lbfgs",
            learning_rate=None,
            steps=300,
            comparison="moments",
        ),
        Recipe(
            name="gatys",
            formula="1/2 sum((F-P)^2) and sum((G-A)^2)/(4 C^2), layer weights 1/5: Gatys et al. 2016, G divided by M",
            content_scale=lambda c, m, _mean_square: 0.5 * c * m,
            # sum over the C*C entries is C^2 times their mean, which leaves 1/4.
            style_scale=lambda _c, _m, _mean_square: 0.25,
            layer_weights=_equal_mean,
            content_weight=1.0,
            style_weight=1000.0,
            optimizer="lbfgs",
            learning_rate=None,
            steps=500,
        ),
        Recipe(
            name="notebook",
            formula="mean((F-P)^2) and mean((FF^T-SS^T)^2)/(C M), style squeezed to the content's shape",
            content_scale=lambda _c, _m, _mean_square: 1.0,
            # Undivided Gram matrices of equal M: (M G - M A)^2 / (C M) = (M / C) (G - A)^2.
            style_scale=lambda c, m, _mean_square: m / c,
            layer_weights=_notebook_weights,
            content_weight=1.0,
            style_weight=1e6,
            optimizer="adam",
            learning_rate=0.003,
            steps=2000,
            style_takes_content_shape=True,
        ),
        Recipe(
            name="neural-style",
            formula="mean((F-P)^2) and mean((G-A)^2)/C^2, layer weights 1: the authors' own code",
            content_scale=lambda _c, _m, _mean_square: 1.0,
            style_scale=lambda c, _m, _mean_square: 1.0 / (c * c),
            layer_weights=_equal_sum,
            content_weight=1.0,
            style_weight=1000.0,
            optimizer="lbfgs",
            learning_rate=None,
            steps=500,
        ),
    )
}

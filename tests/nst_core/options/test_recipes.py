"""The objective of every recipe, compared with a direct transcription of its published formula.

f, p and s are the features of pastiche, content image and style image at one layer, shape (C, H, W), and M is their
number of positions. Only the features come from the engine; the formulas of the losses are written here, in float64.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones.vgg import VGG
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.options import StylizeOptions
from nst_core.options.recipes import RECIPES

Picture = Callable[..., Tensor]

CONTENT_SIZE = (36, 44)
STYLE_SIZE = (52, 32)

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
PUBLISHED_LAYER_WEIGHTS = {
    "relative": [0.2, 0.2, 0.2, 0.2, 0.2],
    "moments": [256 / 341, 64 / 341, 16 / 341, 4 / 341, 1 / 341],
    "gatys": [0.2, 0.2, 0.2, 0.2, 0.2],
    "notebook": [1.0, 0.75, 0.2, 0.2, 0.2],
    "neural-style": [1.0, 1.0, 1.0, 1.0, 1.0],
}
PUBLISHED_WEIGHTS = {
    "relative": (1.0, 30.0),
    "moments": (1.0, 100.0),
    "gatys": (1.0, 1000.0),
    "notebook": (1.0, 1e6),
    "neural-style": (1.0, 1000.0),
}


ROUNDING = {"moments": 1e-8}
"""Relative tolerance of the style loss; larger for `moments`, which takes square roots of variances close to 0."""


# ---- The formulas


def positions(features: Tensor) -> int:
    return features.shape[1] * features.shape[2]


def undivided_gram(features: Tensor) -> Tensor:
    """Gatys et al. (2016), eq. 3: G_ij = sum over positions k of F_ik F_jk."""
    return torch.einsum("ihw,jhw->ij", features, features)


def divided_gram(features: Tensor) -> Tensor:
    return undivided_gram(features) / positions(features)


def relative_content(f: Tensor, p: Tensor) -> Tensor:
    return (f - p).pow(2).sum() / p.pow(2).sum()


def relative_style(f: Tensor, s: Tensor) -> Tensor:
    return (divided_gram(f) - divided_gram(s)).pow(2).sum() / divided_gram(s).pow(2).sum()


def gatys_content(f: Tensor, p: Tensor) -> Tensor:
    """Eq. 1: half the sum of squares."""
    return 0.5 * (f - p).pow(2).sum()


def gatys_style(f: Tensor, s: Tensor) -> Tensor:
    """Eq. 4 with each Gram matrix divided by its own number of positions."""
    return (divided_gram(f) - divided_gram(s)).pow(2).sum() / (4 * f.shape[0] ** 2)


def gatys_style_as_printed(f: Tensor, s: Tensor) -> Tensor:
    """Eq. 4: E = 1 / (4 N^2 M^2) sum (G - A)^2, with Gram matrices that are sums."""
    return (undivided_gram(f) - undivided_gram(s)).pow(2).sum() / (4 * f.shape[0] ** 2 * positions(f) ** 2)


def mean_content(f: Tensor, p: Tensor) -> Tensor:
    return torch.stack([(f[c] - p[c]).pow(2).mean() for c in range(f.shape[0])]).mean()


def notebook_style(f: Tensor, s: Tensor) -> Tensor:
    """mean((target_gram - style_gram)**2) / (d * h * w), of undivided Gram matrices."""
    return (undivided_gram(f) - undivided_gram(s)).pow(2).mean() / (f.shape[0] * positions(f))


def neural_style_style(f: Tensor, s: Tensor) -> Tensor:
    """The mean squared distance of divided Gram matrices, weighted by 1/C^2."""
    return (divided_gram(f) - divided_gram(s)).pow(2).mean() / f.shape[0] ** 2


def moments_style(f: Tensor, s: Tensor) -> Tensor:
    """W^2 = |mu - mu_s|^2 + tr(S + S_s - 2 (S S_s)^1/2), over E[|F_s|^2]; S S_s has the spectrum of the symmetric form.

    A hundredth of the style's mean variance is added to the diagonal of both covariances.
    """
    flat, wanted = f.flatten(1), s.flatten(1)
    of_style = torch.cov(wanted, correction=0)
    ridge = 1e-2 * of_style.diagonal().mean() * torch.eye(len(of_style), dtype=torch.float64)
    one, other = torch.cov(flat, correction=0) + ridge, of_style + ridge
    root_trace = torch.linalg.eigvals(one @ other).real.clamp_min(0.0).sqrt().sum()
    apart = (flat.mean(dim=1) - wanted.mean(dim=1)).pow(2).sum()
    return (apart + one.trace() + other.trace() - 2 * root_trace) / wanted.pow(2).sum(dim=0).mean()


FORMULAS = {
    "relative": (relative_content, relative_style),
    "moments": (relative_content, moments_style),
    "gatys": (gatys_content, gatys_style),
    "notebook": (mean_content, notebook_style),
    "neural-style": (mean_content, neural_style_style),
}


def roughness(image: Tensor) -> Tensor:
    """Mean absolute step to the right plus mean absolute step down, of one image (3, H, W)."""
    return (image[:, :, 1:] - image[:, :, :-1]).abs().mean() + (image[:, 1:] - image[:, :-1]).abs().mean()


# ---- Pairs, and their losses by the engine and by formula


class Pairs:
    """Two pairs of different images of the same sizes, and two pastiches."""

    def __init__(self, picture: Picture, style_size: tuple[int, int] = STYLE_SIZE) -> None:
        def images(size: tuple[int, int], *seeds: int) -> Tensor:
            return torch.cat([picture(*size, seed) for seed in seeds]).double()

        self.contents = images(CONTENT_SIZE, 1, 2)
        self.pastiches = images(CONTENT_SIZE, 3, 4)
        self.styles = images(style_size, 5, 6)

    def styles_for(self, options: StylizeOptions) -> Tensor:
        """Return the style images at the size that the recipe uses."""
        if options.recipe != "notebook":
            return self.styles
        return functional.interpolate(self.styles, size=CONTENT_SIZE, mode="bilinear", align_corners=False)


def by_engine(network: VGG, pairs: Pairs, options: StylizeOptions) -> PerceptualLoss:
    content = encode_content(network, pairs.contents, options)
    return PerceptualLoss(network, content, encode_style(network, pairs.styles_for(options), options), options)


def by_formula(
    network: VGG, pairs: Pairs, options: StylizeOptions, layer_weights: list[float]
) -> tuple[list[float], list[float]]:
    """Return the content and the style losses of both pairs."""
    content_formula, style_formula = FORMULAS[options.recipe]
    layers = (*options.content_layers, *options.style_layers)
    f = network(pairs.pastiches, layers, options.pooling)
    p = network(pairs.contents, layers, options.pooling)
    s = network(pairs.styles_for(options), layers, options.pooling)
    content = [sum(content_formula(f[i][n], p[i][n]).item() for i in options.content_layers) for n in range(2)]
    style = [
        sum(
            weight * style_formula(f[i][n], s[i][n]).item()
            for i, weight in zip(options.style_layers, layer_weights, strict=True)
        )
        for n in range(2)
    ]
    return content, style


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate(values).resolved()


def test_every_recipe_has_a_formula_here() -> None:
    """`FORMULAS` above contains every recipe."""
    assert set(FORMULAS) == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_is_its_published_objective(network64: VGG, picture: Picture, recipe: str) -> None:
    """With default options the losses are the published formulas, and the total is their sum with the published
    weights.
    """
    options, pairs = make(recipe=recipe), Pairs(picture)
    content, style = by_formula(network64, pairs, options, PUBLISHED_LAYER_WEIGHTS[recipe])
    content_weight, style_weight = PUBLISHED_WEIGHTS[recipe]

    found = by_engine(network64, pairs, options)(pairs.pastiches)

    assert found.content.tolist() == pytest.approx(content, rel=1e-10)
    assert found.style.tolist() == pytest.approx(style, rel=1e-10)
    expected = [content_weight * content[n] + style_weight * style[n] for n in range(2)]
    assert found.total.tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_objective_with_all_its_options_set(network64: VGG, picture: Picture, recipe: str) -> None:
    """With two content layers, other style layers and weights, average pooling and total variation, the losses are
    still those of the formulas.
    """
    weights = [0.5, 0.0, 3.0]
    options = make(
        recipe=recipe,
        content_layers=("relu3_1", "conv4_2"),
        style_layers=("conv1_2", "relu2_2", "relu4_1"),
        style_layer_weights=weights,
        content_weight=0.7,
        style_weight=11.0,
        tv_weight=0.3,
        pooling="average",
    )
    pairs = Pairs(picture)
    content, style = by_formula(network64, pairs, options, weights)
    tv = [roughness(image).item() for image in pairs.pastiches]

    found = by_engine(network64, pairs, options)(pairs.pastiches)

    assert found.content.tolist() == pytest.approx(content, rel=1e-10)
    assert found.style.tolist() == pytest.approx(style, rel=ROUNDING.get(recipe, 1e-10))
    assert found.tv.tolist() == pytest.approx(tv, rel=1e-10)
    expected = [0.7 * content[n] + 11.0 * style[n] + 0.3 * tv[n] for n in range(2)]
    assert found.total.tolist() == pytest.approx(expected, rel=ROUNDING.get(recipe, 1e-10))


@pytest.mark.parametrize("weights", [(0.0, 2.0, 0.0), (2.0, 0.0, 0.0), (1e-6, 1e-6, 5.0)])
def test_loss_weights_change_only_the_total(
    network64: VGG, picture: Picture, weights: tuple[float, float, float]
) -> None:
    """The total is the weighted sum of content, style and total variation, which are themselves reported unweighted."""
    pairs = Pairs(picture)
    plain = by_engine(network64, pairs, make(tv_weight=1.0))(pairs.pastiches)

    found = by_engine(network64, pairs, make(content_weight=weights[0], style_weight=weights[1], tv_weight=weights[2]))(
        pairs.pastiches
    )

    expected = weights[0] * plain.content + weights[1] * plain.style + weights[2] * plain.tv
    torch.testing.assert_close(found.total, expected, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(found.content, plain.content, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(found.style, plain.style, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(found.tv, plain.tv, rtol=1e-12, atol=0.0)


def test_gatys_is_as_printed_in_the_paper_for_equal_sizes(network64: VGG, picture: Picture) -> None:
    """For a style image of the content image's size, the `gatys` style loss is eq. 4 and 5 of the paper as printed."""
    options, pairs = make(recipe="gatys"), Pairs(picture, style_size=CONTENT_SIZE)
    f, s = network64(pairs.pastiches, STYLE_LAYERS), network64(pairs.styles, STYLE_LAYERS)
    expected = [sum(gatys_style_as_printed(f[i][n], s[i][n]).item() / 5 for i in STYLE_LAYERS) for n in range(2)]

    found = by_engine(network64, pairs, options)(pairs.pastiches)

    assert found.style.tolist() == pytest.approx(expected, rel=1e-10)


def test_the_notebook_recipe_with_the_notebooks_own_layers(network64: VGG, picture: Picture) -> None:
    """The notebook's list of style layers contains conv4_2, to which the recipe gives a weight of 0.2."""
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv4_2", "relu5_1")
    options, pairs = make(recipe="notebook", style_layers=layers), Pairs(picture)
    _, expected = by_formula(network64, pairs, options, [1.0, 0.75, 0.2, 0.2, 0.2, 0.2])

    found = by_engine(network64, pairs, options)(pairs.pastiches)

    assert found.style.tolist() == pytest.approx(expected, rel=1e-10)


def test_only_the_notebook_squeezes_the_style() -> None:
    """Only `notebook`, whose Gram matrices are undivided, squeezes the style image to the content's shape."""
    assert {name for name, recipe in RECIPES.items() if recipe.style_takes_content_shape} == {"notebook"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_gradient_is_the_slope_of_the_total(network64: VGG, picture: Picture, recipe: str) -> None:
    """For each pair, the gradient of the total agrees with finite differences of the total along a random direction."""
    options, pairs = make(recipe=recipe, tv_weight=1.0), Pairs(picture)
    loss = by_engine(network64, pairs, options)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(pairs.pastiches.shape, generator=generator, dtype=torch.float64)
    pastiches = pairs.pastiches.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(pastiches).total.sum(), pastiches)
    step = 1e-7

    with torch.no_grad():
        after, before = loss(pastiches + step * direction).total, loss(pastiches - step * direction).total

    slopes = (after - before) / (2 * step)
    rounding = 2e-3 if recipe == "moments" else 1e-4
    torch.testing.assert_close((gradient * direction).sum(dim=(1, 2, 3)), slopes, rtol=rounding, atol=0.0)

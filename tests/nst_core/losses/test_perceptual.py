"""perceptual: targets of a batch of pairs, and the weighted sum of all losses from one pass.

The recipes' formulas are held to their publications in test_recipes.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nst_core.backbones.vgg import VGG
from nst_core.losses.perceptual import LossTerms, PerceptualLoss
from nst_core.losses.targets import encode_content, encode_style
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions

OPTIONS = StylizeOptions(
    content_layers=("relu2_1", "conv3_1"), style_layers=("relu1_1", "relu2_1", "conv3_2"), tv_weight=3.0
).resolved()

Picture = Callable[..., Tensor]


def batch(picture: Picture, seeds: tuple[int, ...], height: int = 24, width: int = 32) -> Tensor:
    return torch.cat([picture(height, width, seed) for seed in seeds]).double()


def styles(network: VGG, images: Tensor, options: StylizeOptions) -> dict[str, Tensor]:
    return encode_style(network, images, options)


def parts(terms: LossTerms) -> Tensor:
    """All four losses, shape (4, N)."""
    return torch.stack([terms.total, terms.content, terms.style, terms.tv])


@pytest.fixture
def of_three(network64: VGG, picture: Picture) -> PerceptualLoss:
    """The loss of a batch of three pairs of different content and style."""
    content = encode_content(network64, batch(picture, (1, 2, 3)), OPTIONS)
    return PerceptualLoss(network64, content, styles(network64, batch(picture, (4, 5, 6), 28, 20), OPTIONS), OPTIONS)


def test_targets_are_features_and_gram_matrices(network64: VGG, picture: Picture) -> None:
    """A content target is the features at each content layer, a style target the Gram matrix at each style layer."""
    image = batch(picture, (1, 2))
    features = network64(image, ("relu1_1", "relu2_1", "conv3_1", "conv3_2"))

    content, style = encode_content(network64, image, OPTIONS), encode_style(network64, image, OPTIONS)

    assert tuple(content) == OPTIONS.content_layers
    assert tuple(style) == OPTIONS.style_layers
    for layer, target in content.items():
        torch.testing.assert_close(target, features[layer], rtol=0.0, atol=0.0)
    for layer, target in style.items():
        flat = features[layer].flatten(2)
        torch.testing.assert_close(target, (flat @ flat.mT / flat.shape[2])[:, None])


def test_targets_carry_no_graph(network64: VGG, picture: Picture) -> None:
    """A target holds no graph, even if its image wants a gradient."""
    image = batch(picture, (1,)).requires_grad_()

    targets = [*encode_content(network64, image, OPTIONS).values(), *encode_style(network64, image, OPTIONS).values()]

    assert not any(target.requires_grad for target in targets)


class Operators(TorchDispatchMode):
    """The names of the operators that run meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(operator))
        return operator(*args, **kwargs or {})


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style", "moments"])
def test_what_the_targets_decide_is_worked_out_once(network64: VGG, picture: Picture, recipe: str) -> None:
    """A second evaluation makes no factor anew, and is the first one to the last bit."""
    options = OPTIONS.model_copy(update={"recipe": recipe})
    pastiches, contents = batch(picture, (1, 2)), batch(picture, (3, 4))
    loss = PerceptualLoss(
        network64, encode_content(network64, contents, options), styles(network64, contents, options), options
    )
    first, gradient = loss.with_gradient(pastiches)

    with Operators() as seen:
        second, again = loss.with_gradient(pastiches)

    assert "aten.ones_like.default" not in seen.names
    assert torch.equal(parts(first), parts(second))
    assert torch.equal(gradient, again)


def test_a_loss_of_pastiches_of_another_size_is_theirs(network64: VGG, picture: Picture) -> None:
    """Factors go by the pastiche's size, not by that of the first one that was seen."""
    options = OPTIONS.model_copy(update={"recipe": "notebook", "content_weight": 0.0})
    target = styles(network64, batch(picture, (3,)), options)
    small, large = batch(picture, (1,)), batch(picture, (1,), 48, 40)

    def style_of(*pastiches: Tensor) -> Tensor:
        content = encode_content(network64, pastiches[-1], options)
        matrices = [encode_style(network64, one, options) for one in pastiches]
        loss = PerceptualLoss(network64, content, target, options)
        return [loss.of_contents(one, of) for one, of in zip(pastiches, matrices, strict=True)][-1].style

    assert torch.equal(style_of(small, large), style_of(large))


def test_a_batch_is_its_pairs_one_by_one(network64: VGG, picture: Picture) -> None:
    """The losses of a batch of two are those of its pairs alone."""
    contents, images = batch(picture, (1, 2)), batch(picture, (3, 4), 20, 28)
    pastiches = batch(picture, (5, 6))

    together = PerceptualLoss(
        network64, encode_content(network64, contents, OPTIONS), styles(network64, images, OPTIONS), OPTIONS
    )(pastiches)
    alone = [
        PerceptualLoss(
            network64,
            encode_content(network64, contents[[n]], OPTIONS),
            styles(network64, images[[n]], OPTIONS),
            OPTIONS,
        )(pastiches[[n]])
        for n in range(2)
    ]

    torch.testing.assert_close(parts(together), torch.cat([parts(one) for one in alone], dim=1), rtol=1e-12, atol=0.0)


def test_one_style_for_all(network64: VGG, picture: Picture) -> None:
    """A style target of one image serves every pair of the batch."""
    content = encode_content(network64, batch(picture, (1, 2)), OPTIONS)
    image, pastiches = batch(picture, (3,), 20, 28), batch(picture, (5, 6))

    shared = PerceptualLoss(network64, content, styles(network64, image, OPTIONS), OPTIONS)
    repeated = PerceptualLoss(network64, content, styles(network64, image.repeat(2, 1, 1, 1), OPTIONS), OPTIONS)

    torch.testing.assert_close(parts(shared(pastiches)), parts(repeated(pastiches)), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("index", [[2, 0], [1], [0, 1, 2]])
def test_keep(of_three: PerceptualLoss, picture: Picture, index: list[int]) -> None:
    """Kept pairs have the losses they had in the whole batch, in the order they are kept."""
    pastiches, kept = batch(picture, (7, 8, 9)), torch.tensor(index, dtype=torch.int64)

    whole = parts(of_three(pastiches))
    found = parts(of_three.keep(kept)(pastiches[kept]))

    torch.testing.assert_close(found, whole[:, kept], rtol=1e-12, atol=0.0)


def test_keep_nothing(of_three: PerceptualLoss) -> None:
    """When the last pairs of a batch stop together, none is kept: targets of no pair."""
    nothing = of_three.keep(torch.tensor([], dtype=torch.int64))

    assert {target.shape[0] for target in (*nothing.content.values(), *nothing.style.values())} == {0}


def test_keep_with_one_style_for_all(network64: VGG, picture: Picture) -> None:
    """A style that all share is still shared by those that are kept."""
    content = encode_content(network64, batch(picture, (1, 2, 3)), OPTIONS)
    loss = PerceptualLoss(network64, content, styles(network64, batch(picture, (4,)), OPTIONS), OPTIONS)
    pastiches, kept = batch(picture, (7, 8, 9)), torch.tensor([2, 1])

    found = parts(loss.keep(kept)(pastiches[kept]))

    torch.testing.assert_close(found, parts(loss(pastiches))[:, kept], rtol=1e-12, atol=0.0)


def test_the_content_image_has_no_content_loss(of_three: PerceptualLoss, picture: Picture) -> None:
    """A pastiche that is its content image has a content loss of 0 and all other losses above."""
    terms = of_three(batch(picture, (1, 2, 3)))

    assert terms.content.tolist() == [0.0, 0.0, 0.0]
    assert min(terms.style.min().item(), terms.tv.min().item()) > 0.0


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_the_style_image_has_no_style_loss(network64: VGG, picture: Picture, recipe: Any) -> None:
    """A pastiche that is its style image has a style loss of 0 in every recipe."""
    options = OPTIONS.overridden({"recipe": recipe})
    image = batch(picture, (4, 5))
    content = encode_content(network64, batch(picture, (1, 2)), options)

    terms = PerceptualLoss(network64, content, styles(network64, image, options), options)(image)

    assert terms.style.tolist() == pytest.approx([0.0, 0.0], abs=1e-20)
    assert terms.content.min().item() > 0.0


def test_perfect_black_is_not_divided_by_zero(network64: VGG, picture: Picture) -> None:
    """Targets of nothing but zeros give finite losses, though `relative` divides by their size."""
    image = batch(picture, (1, 2))
    zeros = {layer: torch.zeros_like(target) for layer, target in encode_content(network64, image, OPTIONS).items()}
    blank = {layer: torch.zeros_like(target) for layer, target in encode_style(network64, image, OPTIONS).items()}

    terms = PerceptualLoss(network64, zeros, blank, OPTIONS)(image)

    assert bool(torch.isfinite(parts(terms)).all())


def test_one_pass_serves_content_and_style(network64: VGG, of_three: PerceptualLoss, picture: Picture) -> None:
    """An evaluation runs the network once, though two layers are asked for as content and as style."""
    passes: list[str] = []
    handle = network64.features[0].register_forward_hook(lambda *_: passes.append("conv1_1"))

    of_three(batch(picture, (7, 8, 9)))
    handle.remove()

    assert passes == ["conv1_1"]


def test_pooling_is_that_of_the_options(network64: VGG, picture: Picture) -> None:
    """Targets and pastiche are pooled alike: with average pooling the content image still has no content loss."""
    options = OPTIONS.overridden({"pooling": "average"})
    image = batch(picture, (1, 2))
    content = encode_content(network64, image, options)

    loss = PerceptualLoss(network64, content, styles(network64, batch(picture, (4, 5)), options), options)

    assert loss(image).content.tolist() == [0.0, 0.0]
    assert not torch.equal(content["relu2_1"], encode_content(network64, image, OPTIONS)["relu2_1"])


def test_values_are_plain_numbers(of_three: PerceptualLoss, picture: Picture) -> None:
    """`values` gives every pastiche its four losses as floats, in the order of the batch."""
    terms = of_three(batch(picture, (7, 8, 9)).requires_grad_())

    assert terms.values() == [LossValues(*column) for column in parts(terms).detach().T.tolist()]


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_scheduled_gradient_is_autograds(network64: VGG, picture: Picture, recipe: str, pooling: str) -> None:
    """For every recipe, with TV, the losses and gradients made by hand are autograd's in float64."""
    options = StylizeOptions.model_validate(OPTIONS.model_dump() | {"recipe": recipe, "pooling": pooling})
    content = encode_content(network64, batch(picture, (1, 2)), options)
    loss = PerceptualLoss(network64, content, styles(network64, batch(picture, (4, 5), 28, 20), options), options)
    pastiche = batch(picture, (7, 8))
    reference = pastiche.clone().requires_grad_()
    expected = loss(reference)
    (gradient,) = torch.autograd.grad(expected.total.sum(), reference)

    terms, found = loss.with_gradient(pastiche)

    torch.testing.assert_close(parts(terms), parts(expected))
    torch.testing.assert_close(found, gradient)


def test_a_shared_style_has_the_gradient_of_its_copies(network64: VGG, picture: Picture) -> None:
    """One style target for the whole batch gives each pastiche the gradient it has with a target of its own."""
    content = encode_content(network64, batch(picture, (1, 2)), OPTIONS)
    style = styles(network64, batch(picture, (4,)), OPTIONS)
    copied = {layer: gram.expand(2, -1, -1, -1) for layer, gram in style.items()}
    pastiche = batch(picture, (7, 8))

    shared = PerceptualLoss(network64, content, style, OPTIONS).with_gradient(pastiche)[1]

    torch.testing.assert_close(shared, PerceptualLoss(network64, content, copied, OPTIONS).with_gradient(pastiche)[1])

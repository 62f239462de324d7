"""PerceptualLoss: the targets of a batch of pairs, and the losses and gradients of their pastiches from one pass.

The recipes' formulas are compared with their publications in `tests/nst_core/options/test_recipes.py`.
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
    """Return all four losses, shape (4, N)."""
    return torch.stack([terms.total, terms.content, terms.style, terms.tv])


@pytest.fixture
def loss_of_three(network64: VGG, picture: Picture) -> PerceptualLoss:
    """The loss of a batch of three pairs, each with its own content and style image."""
    content = encode_content(network64, batch(picture, (1, 2, 3)), OPTIONS)
    return PerceptualLoss(network64, content, styles(network64, batch(picture, (4, 5, 6), 28, 20), OPTIONS), OPTIONS)


def test_targets_are_features_and_gram_matrices(network64: VGG, picture: Picture) -> None:
    """Content targets are the features at each content layer, style targets the Gram matrices at each style layer."""
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


def test_targets_do_not_require_a_gradient(network64: VGG, picture: Picture) -> None:
    """Targets do not require a gradient, even if their image does."""
    image = batch(picture, (1,)).requires_grad_()

    targets = [*encode_content(network64, image, OPTIONS).values(), *encode_style(network64, image, OPTIONS).values()]

    assert not any(target.requires_grad for target in targets)


class Operators(TorchDispatchMode):
    """Records the names of the operators that run inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(operator))
        return operator(*args, **kwargs or {})


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style", "moments"])
def test_factors_are_computed_once(network64: VGG, picture: Picture, recipe: str) -> None:
    """A second evaluation does not compute the layers' factors again, and returns exactly the same values."""
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


def test_factors_depend_on_the_pastiches_size(network64: VGG, picture: Picture) -> None:
    """Style losses use factors for the size of the evaluated pastiche, not for that of an earlier one."""
    options = OPTIONS.model_copy(update={"recipe": "notebook", "content_weight": 0.0})
    target = styles(network64, batch(picture, (3,)), options)
    small, large = batch(picture, (1,)), batch(picture, (1,), 48, 40)

    def style_of(*pastiches: Tensor) -> Tensor:
        content = encode_content(network64, pastiches[-1], options)
        matrices = [encode_style(network64, one, options) for one in pastiches]
        loss = PerceptualLoss(network64, content, target, options)
        return [loss.of_contents(one, of) for one, of in zip(pastiches, matrices, strict=True)][-1].style

    assert torch.equal(style_of(small, large), style_of(large))


def test_a_batch_has_the_losses_of_its_pairs_alone(network64: VGG, picture: Picture) -> None:
    """The losses of a batch of two pairs are those of each pair alone."""
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


def test_one_style_target_serves_every_pair(network64: VGG, picture: Picture) -> None:
    """A style target of one image gives the same losses as a copy of it for every pair of the batch."""
    content = encode_content(network64, batch(picture, (1, 2)), OPTIONS)
    image, pastiches = batch(picture, (3,), 20, 28), batch(picture, (5, 6))

    shared = PerceptualLoss(network64, content, styles(network64, image, OPTIONS), OPTIONS)
    repeated = PerceptualLoss(network64, content, styles(network64, image.repeat(2, 1, 1, 1), OPTIONS), OPTIONS)

    torch.testing.assert_close(parts(shared(pastiches)), parts(repeated(pastiches)), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("index", [[2, 0], [1], [0, 1, 2]])
def test_kept_pairs_have_the_same_losses(loss_of_three: PerceptualLoss, picture: Picture, index: list[int]) -> None:
    """`keep` returns a loss of the chosen pairs in their new order, with the values that they had in the batch."""
    pastiches, kept = batch(picture, (7, 8, 9)), torch.tensor(index, dtype=torch.int64)

    whole = parts(loss_of_three(pastiches))
    found = parts(loss_of_three.keep(kept)(pastiches[kept]))

    torch.testing.assert_close(found, whole[:, kept], rtol=1e-12, atol=0.0)


def test_no_pair_may_be_kept(loss_of_three: PerceptualLoss) -> None:
    """If the last pairs of a batch stop together, `keep` returns a loss with targets of no pair."""
    nothing = loss_of_three.keep(torch.tensor([], dtype=torch.int64))

    assert {target.shape[0] for target in (*nothing.content.values(), *nothing.style.values())} == {0}


def test_kept_pairs_still_share_one_style(network64: VGG, picture: Picture) -> None:
    """If the batch shares one style target, the kept pairs share it too and have the same losses."""
    content = encode_content(network64, batch(picture, (1, 2, 3)), OPTIONS)
    loss = PerceptualLoss(network64, content, styles(network64, batch(picture, (4,)), OPTIONS), OPTIONS)
    pastiches, kept = batch(picture, (7, 8, 9)), torch.tensor([2, 1])

    found = parts(loss.keep(kept)(pastiches[kept]))

    torch.testing.assert_close(found, parts(loss(pastiches))[:, kept], rtol=1e-12, atol=0.0)


def test_the_content_image_has_no_content_loss(loss_of_three: PerceptualLoss, picture: Picture) -> None:
    """A pastiche equal to its content image has a content loss of 0; its style loss and total variation are above 0."""
    terms = loss_of_three(batch(picture, (1, 2, 3)))

    assert terms.content.tolist() == [0.0, 0.0, 0.0]
    assert min(terms.style.min().item(), terms.tv.min().item()) > 0.0


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
def test_the_style_image_has_no_style_loss(network64: VGG, picture: Picture, recipe: Any) -> None:
    """A pastiche equal to its style image has a style loss of 0 in every recipe with Gram matrices."""
    options = OPTIONS.overridden({"recipe": recipe})
    image = batch(picture, (4, 5))
    content = encode_content(network64, batch(picture, (1, 2)), options)

    terms = PerceptualLoss(network64, content, styles(network64, image, options), options)(image)

    assert terms.style.tolist() == pytest.approx([0.0, 0.0], abs=1e-20)
    assert terms.content.min().item() > 0.0


def test_targets_of_zeros_give_finite_losses(network64: VGG, picture: Picture) -> None:
    """Targets that are all zeros give finite losses, although `relative` divides by their magnitude."""
    image = batch(picture, (1, 2))
    zeros = {layer: torch.zeros_like(target) for layer, target in encode_content(network64, image, OPTIONS).items()}
    blank = {layer: torch.zeros_like(target) for layer, target in encode_style(network64, image, OPTIONS).items()}

    terms = PerceptualLoss(network64, zeros, blank, OPTIONS)(image)

    assert bool(torch.isfinite(parts(terms)).all())


def test_one_pass_serves_content_and_style(network64: VGG, loss_of_three: PerceptualLoss, picture: Picture) -> None:
    """An evaluation runs the network once, although content and style share one layer and have others of their own."""
    passes: list[str] = []
    handle = network64.features[0].register_forward_hook(lambda *_: passes.append("conv1_1"))

    loss_of_three(batch(picture, (7, 8, 9)))
    handle.remove()

    assert passes == ["conv1_1"]


def test_targets_and_pastiche_are_pooled_as_the_options_say(network64: VGG, picture: Picture) -> None:
    """With average pooling, targets differ from those with max pooling, and the content image has no content loss."""
    options = OPTIONS.overridden({"pooling": "average"})
    image = batch(picture, (1, 2))
    content = encode_content(network64, image, options)

    loss = PerceptualLoss(network64, content, styles(network64, batch(picture, (4, 5)), options), options)

    assert loss(image).content.tolist() == [0.0, 0.0]
    assert not torch.equal(content["relu2_1"], encode_content(network64, image, OPTIONS)["relu2_1"])


def test_values_returns_floats_per_pastiche(loss_of_three: PerceptualLoss, picture: Picture) -> None:
    """`values` returns the four losses of each pastiche as floats, in the order of the batch."""
    terms = loss_of_three(batch(picture, (7, 8, 9)).requires_grad_())

    assert terms.values() == [LossValues(*column) for column in parts(terms).detach().T.tolist()]


@pytest.mark.parametrize("recipe", ["relative", "gatys", "notebook", "neural-style"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_with_gradient_returns_autograds_gradient(network64: VGG, picture: Picture, recipe: str, pooling: str) -> None:
    """With total variation, losses and gradients from `with_gradient` equal those under autograd in float64."""
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


def test_a_shared_style_gives_the_gradient_of_copies(network64: VGG, picture: Picture) -> None:
    """A style target shared by the batch gives each pastiche the same gradient as a copy of the target for each."""
    content = encode_content(network64, batch(picture, (1, 2)), OPTIONS)
    style = styles(network64, batch(picture, (4,)), OPTIONS)
    copied = {layer: gram.expand(2, -1, -1, -1) for layer, gram in style.items()}
    pastiche = batch(picture, (7, 8))

    shared = PerceptualLoss(network64, content, style, OPTIONS).with_gradient(pastiche)[1]

    torch.testing.assert_close(shared, PerceptualLoss(network64, content, copied, OPTIONS).with_gradient(pastiche)[1])

"""The canvas: which parts and colours of an image may change, and how gradients pass through it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst_core.scene.canvas import LUMINANCE, Canvas, grey, luminance

Picture = Callable[..., Tensor]


def mask(height: int, width: int) -> Tensor:
    """Return a mask of 1 on the left, 0 on the right and a ramp in between."""
    return torch.linspace(2.0, -1.0, width).clamp(0.0, 1.0).expand(1, 1, height, width)


def wild(picture: Picture) -> Tensor:
    """Return an image with values far outside [0, 1]."""
    return picture(20, 24, 5) * 4.0 - 1.5


def test_by_default_everything_may_change(picture: Picture) -> None:
    """By default a canvas shows and saves the image clamped to [0, 1]."""
    canvas, image = Canvas(picture(20, 24, 1)), wild(picture)

    assert torch.equal(canvas.shown(image), image.clamp(0.0, 1.0))
    assert torch.equal(canvas.saved(canvas.shown(image)), image.clamp(0.0, 1.0))


@pytest.mark.parametrize("keeps_colours", [False, True])
def test_a_protected_part_is_kept_to_the_last_bit(picture: Picture, keeps_colours: bool) -> None:
    """Where the mask is 1, the saved image has the content's 8-bit levels; where it is 0, it is as without a mask."""
    content = picture(20, 24, 1).mul(255).round().div(255)
    open_, held = Canvas(content, None, keeps_colours), Canvas(content, mask(20, 24), keeps_colours)

    def bits(canvas: Canvas) -> Tensor:
        return canvas.saved(canvas.shown(wild(picture))).mul(255).round()

    assert torch.equal(bits(held)[..., :8], content[..., :8].mul(255).round())
    assert torch.equal(bits(held)[..., 17:], bits(open_)[..., 17:])
    assert not torch.equal(bits(held)[..., 10:14], bits(open_)[..., 10:14])


def test_keeps_colours_changes_luminance_only(picture: Picture) -> None:
    """With `keeps_colours` the saved image has the content's chroma everywhere, in range and without clamping."""
    content = picture(20, 24, 1)
    canvas = Canvas(content, keeps_colours=True)

    saved = canvas.saved(canvas.shown(wild(picture)))

    assert 0.0 <= saved.min() <= saved.max() <= 1.0
    torch.testing.assert_close(saved - luminance(saved), content - luminance(content), rtol=0.0, atol=1e-5)
    assert (luminance(saved) - luminance(content)).abs().max() > 0.1


def test_luminance_is_the_exact_weighted_sum(picture: Picture) -> None:
    """Luminance has the same bits as the product with a tensor of the weights."""
    image = wild(picture)

    assert torch.equal(luminance(image), (image * torch.tensor(LUMINANCE).view(1, 3, 1, 1)).sum(dim=1, keepdim=True))


def test_keeps_colours_shows_grey_to_the_losses(picture: Picture) -> None:
    """With `keeps_colours` the losses see pastiche and content in grey, with the luminance of the saved image."""
    canvas = Canvas(picture(20, 24, 1), keeps_colours=True)
    shown = canvas.shown(wild(picture))

    assert torch.equal(canvas.targets, grey(canvas.contents))
    assert torch.equal(shown[:, :1].expand(-1, 3, -1, -1), shown)
    torch.testing.assert_close(canvas.seen(canvas.saved(shown)), shown, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("keeps_colours", [False, True])
@pytest.mark.parametrize("protects", [False, True])
def test_pull_back_is_the_derivative_of_shown(picture: Picture, keeps_colours: bool, protects: bool) -> None:
    """Where nothing is clamped, `pull_back` returns the gradient that autograd computes through `shown`."""
    content = picture(20, 24, 1).double() * 0.2 + 0.4
    canvas = Canvas(content, mask(20, 24).double() if protects else None, keeps_colours)
    image = (picture(20, 24, 2).double() * 0.2 + 0.4).requires_grad_()
    upstream = torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    (expected,) = torch.autograd.grad((canvas.shown(image) * upstream).sum(), image)

    torch.testing.assert_close(canvas.pull_back(image.detach(), upstream), expected)


def test_out_of_range_luminance_has_inward_gradients_only() -> None:
    """A pixel whose luminance is beyond its bounds keeps a gradient that leads back in range, and loses any other."""
    canvas = Canvas(torch.full((1, 3, 1, 1), 0.5), keeps_colours=True)
    beyond, upstream = torch.full((1, 3, 1, 1), 1.2), torch.ones(1, 3, 1, 1)

    assert canvas.pull_back(beyond, -upstream).eq(0.0).all()
    assert canvas.pull_back(beyond, upstream).sum() == pytest.approx(3.0)


def test_keep_selects_contents_and_masks(picture: Picture) -> None:
    """`keep` gives each remaining pastiche its own content and mask, in the order of the index."""
    contents = torch.cat([picture(20, 24, seed) for seed in (1, 2, 3)])
    masks = torch.cat([mask(20, 24) * share for share in (1.0, 0.5, 0.0)])
    canvas, images = Canvas(contents, masks, keeps_colours=True), torch.cat([wild(picture)] * 3)

    kept = canvas.keep(torch.tensor([2, 0]))

    assert torch.equal(kept.shown(images[:2]), canvas.shown(images)[[2, 0]])

"""Gram matrices: the correlations between the channels of a feature map."""

import pytest
import torch
from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses import gram
from nst_core.losses.gram import gram_matrix, gram_sums


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_two_channels_over_two_positions() -> None:
    """The channels (1, 2) and (3, 4) have the mean product 11/2, and the mean squares 5/2 and 25/2."""
    feature_map = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])

    assert gram_matrix(feature_map).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


def test_entries_are_mean_products_of_channels() -> None:
    """For each map, entry (i, j) of its matrix is the mean over positions of channel i times channel j."""
    feature_map = features(2, 3, 4, 5)

    found = gram_matrix(feature_map)

    for n in range(2):
        for i in range(3):
            for j in range(3):
                expected = sum(
                    float(feature_map[n, i, row, column] * feature_map[n, j, row, column])
                    for row in range(4)
                    for column in range(5)
                )
                assert found[n, i, j].item() == pytest.approx(expected / 20, rel=1e-12)


def test_the_matrix_is_symmetric_and_positive_semi_definite() -> None:
    """The matrix is symmetric and has no negative eigenvalue, even with more channels than positions."""
    gram = gram_matrix(features(3, 8, 2, 3))

    torch.testing.assert_close(gram, gram.mT, rtol=0.0, atol=1e-15)
    assert torch.linalg.eigvalsh(gram).min().item() > -1e-12


def test_a_repeated_map_has_the_same_matrix() -> None:
    """A map repeated in both directions has the same matrix, because positions are averaged, not summed."""
    feature_map = features(2, 4, 3, 5)

    torch.testing.assert_close(gram_matrix(feature_map.repeat(1, 1, 3, 2)), gram_matrix(feature_map))


def test_the_order_of_positions_does_not_matter() -> None:
    """A map whose positions are shuffled in the same way in all channels has the same matrix."""
    feature_map = features(1, 4, 3, 5)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    shuffled = feature_map.flatten(2)[:, :, order].view(1, 4, 5, 3)

    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(feature_map))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_half_precisions_are_multiplied_in_fp32(given: torch.dtype, expected: torch.dtype) -> None:
    """The matrix of bf16 or float16 features is fp32; that of fp32 or float64 features keeps their precision."""
    feature_map = features(2, 3, 4, 5, dtype=given)
    gram = gram_matrix(feature_map)

    assert gram.dtype == expected
    torch.testing.assert_close(gram.double(), gram_matrix(feature_map.double()), rtol=1e-5, atol=1e-6)


def test_half_precision_does_not_overflow() -> None:
    """Features whose squares float16 cannot store have a finite matrix."""
    feature_map = torch.full((1, 2, 3, 3), 1000.0, dtype=torch.float16)

    assert gram_matrix(feature_map).tolist() == [[[1e6, 1e6], [1e6, 1e6]]]


def test_the_memory_order_does_not_matter() -> None:
    """A map in channels_last memory order has the same matrix."""
    feature_map = features(2, 6, 4, 5, dtype=torch.float32)

    found = gram_matrix(feature_map.to(memory_format=torch.channels_last))

    torch.testing.assert_close(found, gram_matrix(feature_map))


def test_the_gradient_agrees_with_finite_differences() -> None:
    """Autograd's gradient through the matrix agrees with finite differences."""
    feature_map = features(2, 3, 2, 4).requires_grad_()

    assert torch.autograd.gradcheck(gram_matrix, (feature_map,))


@pytest.mark.parametrize("shape", [(3, 4, 5), (4,), (1, 2, 3, 4, 5)])
def test_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    """A tensor that is not of shape (N, C, H, W) is refused."""
    with pytest.raises(ShapeError, match="expected a feature map of shape"):
        gram_matrix(torch.zeros(shape))


@pytest.mark.parametrize(("channels", "height", "width"), [(16, 64, 32), (16, 71, 45), (3, 100, 97), (8, 20, 20)])
def test_bf16_matrices_on_a_cpu_are_precise(channels: int, height: int, width: int) -> None:
    """On a CPU, the matrix of bf16 features differs from the exact one by less than a thousandth, at any size."""
    feature_map = features(2, channels, height, width).relu().bfloat16()
    feature_map = feature_map.contiguous(memory_format=torch.channels_last)
    exact = gram_matrix(feature_map.double())

    found = gram_matrix(feature_map)

    assert found.dtype == torch.float32
    assert (found - exact).norm() < 1e-3 * exact.norm()
    torch.testing.assert_close(found, found.mT, rtol=4e-3, atol=0.0)


def test_positions_in_chunks_give_the_same_sums() -> None:
    """A GPU sums chunks of positions side by side; with or without positions left over, that is the sum over all."""
    for chunks, size in ((4, (5, 8)), (7, (5, 8)), (1, (3, 5))):
        feature_map = features(2, 3, *size, dtype=torch.float32)
        by_position = feature_map.permute(0, 2, 3, 1).flatten(1, 2)

        found = gram._products_by_chunks(by_position, chunks)

        torch.testing.assert_close(found, gram_sums(feature_map.double()).float())

"""gram: correlations between channels."""

import pytest
import torch
from torch import Tensor

from nst_core.errors import ShapeError
from nst_core.losses.gram import gram_matrix


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_by_hand() -> None:
    """Two channels over two positions: (1, 2) and (3, 4) correlate as 11/2."""
    feature_map = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])

    assert gram_matrix(feature_map).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


def test_formula() -> None:
    """Entry (i, j) of a map's matrix is the mean over positions of channel i times channel j, map by map."""
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


def test_symmetric_and_positive() -> None:
    """The matrix is symmetric and no direction has a negative square, with more channels than positions too."""
    gram = gram_matrix(features(3, 8, 2, 3))

    torch.testing.assert_close(gram, gram.mT, rtol=0.0, atol=1e-15)
    assert torch.linalg.eigvalsh(gram).min().item() > -1e-12


def test_tiling_changes_nothing() -> None:
    """A map laid side by side with itself has the same matrix: positions are averaged, not summed."""
    feature_map = features(2, 4, 3, 5)

    torch.testing.assert_close(gram_matrix(feature_map.repeat(1, 1, 3, 2)), gram_matrix(feature_map))


def test_places_do_not_matter() -> None:
    """A map whose positions are shuffled, all channels alike, has the same matrix."""
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
def test_precision(given: torch.dtype, expected: torch.dtype) -> None:
    """Half precisions are multiplied in fp32; fp32 and float64 stay."""
    feature_map = features(2, 3, 4, 5, dtype=given)
    gram = gram_matrix(feature_map)

    assert gram.dtype == expected
    torch.testing.assert_close(gram.double(), gram_matrix(feature_map.double()), rtol=1e-5, atol=1e-6)


def test_half_precision_does_not_overflow() -> None:
    """Activations whose squares float16 cannot hold have a finite matrix."""
    feature_map = torch.full((1, 2, 3, 3), 1000.0, dtype=torch.float16)

    assert gram_matrix(feature_map).tolist() == [[[1e6, 1e6], [1e6, 1e6]]]


def test_memory_layout_does_not_matter() -> None:
    """A channels_last map has the same matrix."""
    feature_map = features(2, 6, 4, 5, dtype=torch.float32)

    found = gram_matrix(feature_map.to(memory_format=torch.channels_last))

    torch.testing.assert_close(found, gram_matrix(feature_map))


def test_gradient() -> None:
    """The gradient is that of finite differences."""
    feature_map = features(2, 3, 2, 4).requires_grad_()

    assert torch.autograd.gradcheck(gram_matrix, (feature_map,))


@pytest.mark.parametrize("shape", [(3, 4, 5), (4,), (1, 2, 3, 4, 5)])
def test_shape(shape: tuple[int, ...]) -> None:
    """Anything but (N, C, H, W) is refused by its shape."""
    with pytest.raises(ShapeError, match="expected a feature map of shape"):
        gram_matrix(torch.zeros(shape))


@pytest.mark.parametrize(("channels", "height", "width"), [(16, 64, 32), (16, 71, 45), (3, 100, 97), (8, 20, 20)])
def test_bf16_on_a_cpu_keeps_the_matrix(channels: int, height: int, width: int) -> None:
    """In bf16 the sums are kept in more digits than bf16 has: a part in a thousand of the exact matrix, at any size."""
    feature_map = features(2, channels, height, width).relu().bfloat16()
    feature_map = feature_map.contiguous(memory_format=torch.channels_last)
    exact = gram_matrix(feature_map.double())

    found = gram_matrix(feature_map)

    assert found.dtype == torch.float32
    assert (found - exact).norm() < 1e-3 * exact.norm()
    torch.testing.assert_close(found, found.mT, rtol=4e-3, atol=0.0)

"""convolution: one frozen convolution, forward and back to its input, by any algorithm."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nst_core.backbones import convolution
from nst_core.backbones.convolution import Convolution

SHAPES = [(3, 64, 20, 24), (64, 64, 40, 36), (64, 128, 12, 10), (128, 128, 4, 4)]


def tensors(channels: int, filters: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(channels + filters + height)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return (
        normal(2, channels, height, width),
        normal(filters, channels, 3, 3),
        normal(filters),
        normal(2, filters, height, width),
    )


def held_to_float64(make: Callable[[Tensor], Tensor], shape: tuple[int, int, int, int], tolerance: float) -> None:
    features, weight, bias, gradient = tensors(*shape)
    reference = features.double().requires_grad_()
    expected = functional.conv2d(reference, weight.double(), bias.double(), padding=1)
    expected.backward(gradient.double())
    assert reference.grad is not None
    ours = Convolution(make(weight), make(bias))

    forward, back = ours.forward(make(features)), ours.backward(make(gradient))

    assert (forward.double() - expected).norm() < tolerance * expected.norm()
    assert (back.double() - reference.grad).norm() < tolerance * reference.grad.norm()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nnpack", [True, False])
def test_fp32(shape: tuple[int, int, int, int], nnpack: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32, with NNPACK and without, values and gradients are within 1e-5 of those in float64."""
    if nnpack and not convolution.has_nnpack():
        pytest.skip("this torch has no NNPACK, or does not know this processor")
    monkeypatch.setattr(convolution, "has_nnpack", lambda: nnpack)
    held_to_float64(lambda tensor: tensor, shape, 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16(shape: tuple[int, int, int, int]) -> None:
    """In bf16 they are within bf16's rounding, in either memory order."""
    held_to_float64(lambda tensor: tensor.bfloat16(), shape, 1e-2)
    held_to_float64(
        lambda tensor: (
            tensor.bfloat16().contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.bfloat16()
        ),
        shape,
        1e-2,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_float64(shape: tuple[int, int, int, int]) -> None:
    """In float64 it is the library's."""
    held_to_float64(lambda tensor: tensor.double(), shape, 1e-12)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large map that is worked through in strips of rows comes out as at once."""
    if not convolution.has_nnpack():
        pytest.skip("this torch has no NNPACK, or does not know this processor")
    features, weight, bias, gradient = tensors(64, 64, 61, 40)
    ours = Convolution(weight, bias)
    at_once = ours.forward(features), ours.backward(gradient)

    monkeypatch.setattr(convolution, "STRIP_FLOATS", 1)
    in_strips = ours.forward(features), ours.backward(gradient)

    torch.testing.assert_close(in_strips, at_once, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_rectified_on_the_way(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    """A convolution that rectifies at once gives what the two give one after the other, in any precision."""
    features, weight, bias, _ = (tensor.to(dtype) for tensor in tensors(*shape))
    ours = Convolution(weight, bias)

    torch.testing.assert_close(ours.rectified(features), ours.forward(features).relu(), rtol=1e-5, atol=1e-5)
    assert float(ours.rectified(features).min()) == 0.0

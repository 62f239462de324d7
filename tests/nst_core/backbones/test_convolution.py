"""Convolution: every algorithm's values and gradients, which algorithm is used when, and strips of large maps."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

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


def check_against_float64(make: Callable[[Tensor], Tensor], shape: tuple[int, int, int, int], tolerance: float) -> None:
    """Check outputs and input gradients of tensors converted by `make` against those of torch in float64."""
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
def test_fp32_is_close_to_float64(
    shape: tuple[int, int, int, int], nnpack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32, with or without NNPACK, outputs and gradients are within 1e-5 of those in float64."""
    if nnpack and not convolution.has_nnpack():
        pytest.skip("this torch has no NNPACK, or does not know this processor")
    monkeypatch.setattr(convolution, "has_nnpack", lambda: nnpack)
    check_against_float64(lambda tensor: tensor, shape, 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_is_close_to_float64(shape: tuple[int, int, int, int]) -> None:
    """In bf16, in either memory order, outputs and gradients are within 1e-2 of those in float64."""
    check_against_float64(lambda tensor: tensor.bfloat16(), shape, 1e-2)
    check_against_float64(
        lambda tensor: (
            tensor.bfloat16().contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.bfloat16()
        ),
        shape,
        1e-2,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_float64_is_exact(shape: tuple[int, int, int, int]) -> None:
    """In float64, outputs and gradients are within 1e-12 of torch's own convolution."""
    check_against_float64(lambda tensor: tensor.double(), shape, 1e-12)


def test_strips_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that is convolved in strips of rows has the same output and gradient as in one piece."""
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
def test_rectified_is_forward_followed_by_relu(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    """In every precision, `rectified` returns the output of `forward` with negative values set to 0."""
    features, weight, bias, _ = (tensor.to(dtype) for tensor in tensors(*shape))
    ours = Convolution(weight, bias)

    torch.testing.assert_close(ours.rectified(features), ours.forward(features).relu(), rtol=1e-5, atol=1e-5)
    assert float(ours.rectified(features).min()) == 0.0


@pytest.mark.parametrize("nnpack", [True, False])
@pytest.mark.parametrize(
    ("channels", "filters", "pictures", "height", "width", "algorithm"),
    [
        (64, 64, 1, 9, 11, "library"),  # 99 positions are too few for Winograd's algorithm
        (64, 64, 1, 10, 10, "winograd"),
        (64, 64, 2, 5, 10, "winograd"),
        (63, 64, 1, 40, 40, "library"),  # with fewer than 64 channels its transforms cost too much
        (64, 63, 1, 40, 40, "library"),
        (64, 64, 1, 8, 16, "winograd"),  # up to here, 32 pairs of channels or more per position
        (64, 64, 1, 3, 43, "nnpack"),
        (64, 128, 2, 8, 16, "winograd"),
        (64, 128, 2, 10, 13, "nnpack"),
    ],
)
def test_channels_and_positions_decide_the_algorithm(
    monkeypatch: pytest.MonkeyPatch,
    nnpack: bool,
    channels: int,
    filters: int,
    pictures: int,
    height: int,
    width: int,
    algorithm: str,
) -> None:
    """The numbers of channels and positions decide the algorithm; the cached forms of the weights show which ran."""
    if nnpack and not convolution.has_nnpack():
        pytest.skip("this torch has no NNPACK, or does not know this processor")
    monkeypatch.setattr(convolution, "has_nnpack", lambda: nnpack)
    ready = {"library": (set(), set()), "nnpack": ({"_plain"}, {"_flipped", "_no_bias"})}
    ready["winograd"] = {"_transformed"}, {"_flipped", "_flipped_transformed"}
    forward, back = ready["winograd" if algorithm == "nnpack" and not nnpack else algorithm]
    ours = Convolution(torch.zeros(filters, channels, 3, 3), torch.zeros(filters))
    known = set(vars(ours))

    ours.forward(torch.zeros(pictures, channels, height, width))
    assert set(vars(ours)) - known == forward
    ours.backward(torch.zeros(pictures, filters, height, width))
    assert set(vars(ours)) - known == forward | back


def test_only_fp32_uses_winograds_algorithm() -> None:
    """Winograd's algorithm, which is too inexact for float64 and bf16, is not used for them."""
    features, weight = torch.zeros(1, 64, 16, 16), torch.zeros(64, 64, 3, 3)
    for dtype in (torch.float64, torch.bfloat16):
        ours = Convolution(weight.to(dtype), torch.zeros(64, dtype=dtype))
        ours.forward(features.to(dtype))

        assert not ours.by_winograd
        assert "_transformed" not in vars(ours)


def test_bf16_without_onednn_uses_torchs_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without oneDNN's support of bf16, torch's own convolution gives close results, and no weights are repacked."""
    features, weight, bias, gradient = (tensor.bfloat16() for tensor in tensors(64, 64, 12, 10))
    usual = Convolution(weight, bias)
    monkeypatch.setattr(convolution, "has_onednn_bf16", lambda: False)
    ours = Convolution(weight, bias)

    found = ours.forward(features), ours.rectified(features), ours.backward(gradient)
    expected = usual.forward(features), usual.rectified(features), usual.backward(gradient)

    assert not ours.by_onednn
    assert not {"_packed", "_flipped_packed"} & set(vars(ours))
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0.3)


@pytest.fixture
def fresh_capabilities() -> Iterator[None]:
    """Clear the cached answers about torch's capabilities before and after a test that changes torch."""
    caches = convolution.has_onednn_bf16, convolution.has_nnpack
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("fresh_capabilities")
@pytest.mark.parametrize("missing", convolution.ONEDNN_OPERATORS)
def test_a_torch_without_one_of_onednns_operators_still_works(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch lacks any of oneDNN's private operators, bf16 maps are convolved without them."""
    others = {name: lambda *_arguments: True for name in convolution.ONEDNN_OPERATORS if name != missing}
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(**others))

    check_against_float64(lambda tensor: tensor.bfloat16(), (64, 64, 12, 10), 1e-2)


@pytest.mark.usefixtures("fresh_capabilities")
def test_a_torch_without_nnpacks_function_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch lacks NNPACK's private function, fp32 maps of a size for NNPACK are convolved without it."""
    monkeypatch.delattr(torch, convolution.NNPACK_FUNCTION, raising=False)

    check_against_float64(lambda tensor: tensor, (64, 64, 40, 36), 1e-5)


def test_the_first_layers_output_is_contiguous() -> None:
    """In fp32 on a CPU the output for 3 channels has (N, C, H, W) memory order, as the second layer needs it, even if
    the weights are in channels_last order.
    """
    features, weight, bias, _ = tensors(3, 64, 20, 24)
    weight = weight.contiguous(memory_format=torch.channels_last)

    assert Convolution(weight, bias).forward(features).is_contiguous()
    assert Convolution(weight, bias).rectified(features).is_contiguous()


@pytest.fixture
def strip_heights(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The heights of all strips that NNPACK receives during the test, in order."""
    if not convolution.has_nnpack():
        pytest.skip("this torch has no NNPACK, or does not know this processor")
    heights: list[int] = []
    nnpack = torch._nnpack_spatial_convolution

    def recording(strip: Tensor, *others: object) -> Tensor:
        heights.append(strip.shape[2])
        return nnpack(strip, *others)

    monkeypatch.setattr(torch, "_nnpack_spatial_convolution", recording)
    return heights


@pytest.mark.parametrize(
    ("height", "rows", "strips"),
    [
        (100, 30, [31, 32, 32, 11]),  # each includes the row above it, or below it, or both
        (60, 30, [31, 31]),
        (61, 30, [31, 32, 2]),
        (30, 30, [30]),
        (31, 30, [31, 2]),
        (100, 1, [25, 26, 26, 26, 5]),  # no strip is shorter than 24 rows
        (24, 1, [24]),
    ],
)
def test_strips_are_as_high_as_their_limit_allows(
    monkeypatch: pytest.MonkeyPatch, strip_heights: list[int], height: int, rows: int, strips: list[int]
) -> None:
    """A strip has as many rows as its limit of floats allows, but at least 24, and the output is that of one piece."""
    monkeypatch.setattr(convolution, "STRIP_FLOATS", 2 * 128 * 8 * (rows + 1) - 1)
    features = torch.ones(2, 64, height, 8)

    found = convolution._nnpack(features, torch.ones(128, 64, 3, 3), torch.zeros(128))

    assert strip_heights == strips
    rows_seen = torch.full((height,), 3.0)
    rows_seen[0] = rows_seen[-1] = 2.0
    torch.testing.assert_close(found[:, :, :, 4], (64 * 3 * rows_seen).expand(2, 128, height), rtol=1e-5, atol=0.0)


def test_a_map_above_160_mb_is_convolved_in_strips(strip_heights: list[int]) -> None:
    """With the real limits, an fp32 map of 164 MB is convolved in two strips of less than 165 MB each."""
    width, height = 640, 1000
    convolution._nnpack(torch.zeros(1).expand(1, 64, height, width), torch.ones(4, 64, 3, 3), torch.zeros(4))

    assert len(strip_heights) == 2
    assert 4 * 64 * width * max(strip_heights) < 165_000_000

"""coordinates: maps between an image and the coordinates that are optimised."""

import math

import pytest
import torch
from torch import Tensor

from nst_core.geometry import strips
from nst_core.optimizers import coordinates
from nst_core.optimizers.coordinates import MARGIN, FourierBox, NormalisedPixels, held_at_range, within_range

WIDTH = 1.0 + 2.0 * MARGIN
"""Width of the range that pixels of a `FourierBox` can take."""

SIZES = [(8, 8), (8, 9), (9, 8), (9, 9), (32, 20), (17, 31), (1, 6), (6, 1), (2, 2), (1, 1)]


def image(height: int, width: int, seed: int = 0, count: int = 2) -> Tensor:
    """Noise in [0, 1] that includes pure black and white."""
    generator = torch.Generator().manual_seed(seed)
    return (1.4 * torch.rand(count, 3, height, width, generator=generator) - 0.2).clamp(0.0, 1.0)


def squeezed(pixels: Tensor) -> Tensor:
    """The z of `FourierBox`, for which image = (1 + 2 MARGIN) sigmoid(z) - MARGIN."""
    return ((pixels + MARGIN) / WIDTH).logit()


def test_within_range_clamps_an_image() -> None:
    """Values outside [0, 1] become black or white; the others are unchanged."""
    pixels = torch.tensor([-0.2, 0.0, 0.3, 1.0, 1.25])

    assert within_range(pixels).tolist() == torch.tensor([0.0, 0.0, 0.3, 1.0, 1.0]).tolist()


def test_the_gradient_is_one_sided_out_of_range() -> None:
    """Beyond white a gradient that would brighten becomes 0 and one that darkens is kept; beyond black vice versa.

    Descent goes against the sign of a gradient. Within [0, 1], bounds included, gradients are unchanged.
    """
    pixels = torch.tensor([1.2, 1.2, -0.1, -0.1, 1.0, 1.0, 0.0, 0.0, 0.5])
    gradient = torch.tensor([-3.0, 3.0, 2.0, -2.0, -5.0, 5.0, 7.0, -7.0, 4.0])

    held = held_at_range(pixels, gradient)

    assert held.tolist() == [0.0, 3.0, 0.0, -2.0, -5.0, 5.0, 7.0, -7.0, 4.0]
    assert gradient[0].item() == -3.0


def fully(box: FourierBox, half: Tensor) -> Tensor:
    """Values of a half spectrum, shape (height, width // 2 + 1), laid out over a real image's whole spectrum."""
    columns = [column if column <= box.width // 2 else box.width - column for column in range(box.width)]
    return half[:, columns]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_fourier_box_round_trip(height: int, width: int) -> None:
    """Decoding the coordinates of an image gives the image, with pure black and white and for odd and even sizes."""
    box, pixels = FourierBox(height, width), image(height, width)

    point = box.encode(pixels)

    assert point.shape == (2, 3 * height * (width // 2 + 1) * 2)
    torch.testing.assert_close(box.decode(point), pixels, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 9), (9, 8), (16, 16)])
def test_fourier_box_decodes_by_the_formula(height: int, width: int) -> None:
    """The image is the squeezed inverse transform of coefficients, which are the coordinates times weights."""
    box = FourierBox(height, width)
    point = torch.randn(1, 3 * height * (width // 2 + 1) * 2, generator=torch.Generator().manual_seed(0))
    coefficients = torch.view_as_complex(point.view(1, 3, height, width // 2 + 1, 2)) * box.scale
    light, red_blue, green = torch.fft.irfft2(coefficients, s=(height, width), norm="ortho")[0]
    a, b, c = 3**-0.5, 2**-0.5, 6**-0.5
    z = torch.stack(
        [a * light + b * red_blue + c * green, a * light - 2 * c * green, a * light - b * red_blue + c * green]
    )

    torch.testing.assert_close(box.decode(point)[0], WIDTH / (1.0 + torch.exp(-z)) - MARGIN)


@pytest.mark.parametrize(("height", "width"), [(32, 20), (17, 31)])
@pytest.mark.parametrize("size", [1.0, 1e3, 1e30])
def test_fourier_box_stays_within_its_margin(height: int, width: int, size: float) -> None:
    """Decoded images are finite and within [-MARGIN, 1 + MARGIN], however large the coordinates."""
    box = FourierBox(height, width)
    generator = torch.Generator().manual_seed(0)
    point = size * torch.randn(2, 3 * height * (width // 2 + 1) * 2, generator=generator)

    found = box.decode(point)

    assert bool(torch.isfinite(found).all())
    assert found.min().item() >= -MARGIN - 1e-6
    assert found.max().item() <= 1.0 + MARGIN + 1e-6


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_fourier_box_weights_have_mean_square_1(height: int, width: int) -> None:
    """Over the whole spectrum of a real image, the weights of the frequencies have a mean square of 1."""
    box = FourierBox(height, width)
    copies = torch.tensor([1.0 if column in (0, width / 2) else 2.0 for column in range(width // 2 + 1)])
    weights = box.scale * copies.sqrt()

    assert fully(box, weights).square().mean().item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 20), (17, 31)])
def test_fourier_box_weights_fall_with_the_root_of_frequency(height: int, width: int) -> None:
    """The weight of a frequency f is proportional to f^-1/2; the mean has the weight of the lowest frequency."""
    box = FourierBox(height, width)
    copies = torch.tensor([1.0 if column in (0, width / 2) else 2.0 for column in range(width // 2 + 1)])
    weights = (box.scale * copies.sqrt()).tolist()
    lowest = 1.0 / max(height, width)

    for row in range(height):
        for column in range(width // 2 + 1):
            frequency = max(lowest, math.hypot(min(row, height - row) / height, column / width))
            assert weights[row][column] / weights[0][0] == pytest.approx((frequency / lowest) ** -0.5, rel=1e-4)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 20), (17, 31)])
def test_fourier_box_bands_are_octaves_of_an_axis(height: int, width: int) -> None:
    """Two coordinates share a band if and only if they are of one colour axis and in one octave of frequency."""
    box = FourierBox(height, width)
    lowest = 1.0 / max(height, width)

    bands = box.bands.spread(torch.arange(box.bands.count).float()[None])[0].view(3, height, width // 2 + 1, 2)

    band_of: dict[tuple[int, int], set[float]] = {}
    for row in range(height):
        for column in range(width // 2 + 1):
            frequency = max(lowest, math.hypot(min(row, height - row) / height, column / width))
            octave = math.floor(math.log2(frequency / lowest) + 1e-6)
            for axis in range(3):
                band_of.setdefault((axis, octave), set()).update(bands[axis, row, column].tolist())
    assert all(len(members) == 1 for members in band_of.values())
    assert len(set.union(*band_of.values())) == len(band_of)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_fourier_box_is_orthonormal_but_for_weights(height: int, width: int) -> None:
    """With the weights removed, the coordinates of an image have the norm of its z."""
    box, pixels = FourierBox(height, width), image(height, width)
    copies = torch.tensor([1.0 if column in (0, width / 2) else 2.0 for column in range(width // 2 + 1)])
    weights = (box.scale * copies.sqrt())[..., None]

    plain = box.encode(pixels).view(2, 3, height, width // 2 + 1, 2) * weights

    torch.testing.assert_close(plain.flatten(1).norm(dim=1), squeezed(pixels).flatten(1).norm(dim=1), rtol=1e-4, atol=0)


def test_fourier_box_angles_are_kept() -> None:
    """With the weights removed, the coordinates of two images have the inner product of their z."""
    box, one, other = FourierBox(9, 12), image(9, 12, seed=1, count=1), image(9, 12, seed=2, count=1)
    copies = torch.tensor([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0])
    weights = (box.scale * copies.sqrt())[..., None]

    first, second = (box.encode(pixels).view(3, 9, 7, 2) * weights for pixels in (one, other))

    assert (first * second).sum().item() == pytest.approx((squeezed(one) * squeezed(other)).sum().item(), rel=1e-4)


@pytest.mark.parametrize("kind", [FourierBox, NormalisedPixels])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pull_back_is_the_gradient_of_decode(kind, height, width) -> None:
    """`pull_back` returns the gradient that autograd computes through `decode`."""
    coordinates = kind(height, width)
    point = coordinates.encode(image(height, width)).requires_grad_()
    pixels = coordinates.decode(point)
    gradient = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(3))

    (expected,) = torch.autograd.grad(pixels, point, gradient)

    torch.testing.assert_close(coordinates.pull_back(pixels.detach(), gradient), expected, rtol=1e-4, atol=1e-5)


def test_fourier_box_gradient_is_finite() -> None:
    """The gradient is finite at pure black and white too, and is not 0 in any channel."""
    pixels = image(9, 12)

    gradient = FourierBox(9, 12).pull_back(pixels, 2.0 * pixels)

    assert bool(torch.isfinite(gradient).all())
    assert bool((gradient.view(2, 3, -1).abs().amax(dim=2) > 0.0).all())


def test_fourier_box_black_and_white_can_still_move() -> None:
    """Pure black and white are not at infinity: their gradient keeps more than a quarter of that of mid-grey."""
    box = FourierBox(4, 4)

    def freedom(level: float) -> float:
        pixels = torch.full((1, 3, 4, 4), level)
        return box.pull_back(pixels, torch.ones_like(pixels)).norm().item()

    assert freedom(0.0) == pytest.approx(freedom(1.0), rel=1e-4)
    assert freedom(0.0) > 0.25 * freedom(0.5)


@pytest.mark.parametrize("kind", [FourierBox, NormalisedPixels])
def test_each_row_is_one_image(kind: type[FourierBox | NormalisedPixels]) -> None:
    """A batch is encoded and decoded as its images one by one, and its coordinates are contiguous in memory."""
    coordinates, pixels = kind(8, 9), image(8, 9, count=3)
    point = coordinates.encode(pixels)

    assert point.is_contiguous()
    for n in range(3):
        torch.testing.assert_close(coordinates.encode(pixels[[n]]), point[[n]])
        torch.testing.assert_close(coordinates.decode(point[[n]]), coordinates.decode(point)[[n]])


def test_normalised_pixels_by_hand() -> None:
    """Coordinates are the pixels minus ImageNet's mean, divided by its standard deviation, per channel."""
    pixels = torch.tensor([0.5, 0.6, 0.7]).view(1, 3, 1, 1)

    point = NormalisedPixels(1, 1).encode(pixels)

    assert point.tolist() == [pytest.approx([0.015 / 0.229, 0.144 / 0.224, 0.294 / 0.225], rel=1e-5)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_normalised_pixels_round_trip(height: int, width: int) -> None:
    """Decoding the coordinates of an image gives the image, even where it lies outside [0, 1]."""
    pixels = 3.0 * image(height, width) - 1.0
    coordinates = NormalisedPixels(height, width)

    torch.testing.assert_close(coordinates.decode(coordinates.encode(pixels)), pixels, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(12, 10), (13, 9)])
def test_a_large_image_by_strips_gives_the_same_results(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    """A large image is transformed axis by axis and strip by strip, with the results of the whole."""
    image, gradient = torch.rand(2, 3, height, width), torch.randn(2, 3, height, width)
    whole = FourierBox(height, width)
    point = whole.encode(image)
    decoded, back = whole.decode(point), whole.pull_back(image, gradient.clone())
    monkeypatch.setattr(coordinates, "WHOLE_UP_TO", 8)
    monkeypatch.setattr(strips, "STRIP_PIXELS", 40)
    parts = FourierBox(height, width)

    torch.testing.assert_close(parts.encode(image), point)
    torch.testing.assert_close(parts.decode(point), decoded)
    torch.testing.assert_close(parts.pull_back(image, gradient.clone()), back)

"""Image <-> the numbers that are optimised.

`FourierBox` is for L-BFGS, `NormalisedPixels` for Adam. Both can lead out of [0, 1]; `within_range` and
`held_at_range` make what is optimised the picture that a file can hold.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from nst_core.backbones.catalogue import IMAGENET_MEAN, IMAGENET_STD
from nst_core.geometry.strips import by_strips
from nst_core.optimizers.bands import WHOLE_UP_TO, Bands


def within_range(image: Tensor) -> Tensor:
    """The picture that is saved of an image, but for rounding: clamped to [0, 1]."""
    return image.clamp(0.0, 1.0)


def held_at_range(image: Tensor, gradient: Tensor, low: Tensor | float = 0.0, high: Tensor | float = 1.0) -> Tensor:
    """The gradient of a loss of an image clamped to [low, high], 0 where going down it would lead further out.

    A clamped pixel has no influence at all, but with no gradient it could never come back: it keeps what pulls it in.
    """
    leads_out = ((image > high) & (gradient < 0.0)) | ((image < low) & (gradient > 0.0))
    return gradient.masked_fill(leads_out, 0.0)


class Coordinates(Protocol):
    """A smooth map between images (N, 3, H, W) and rows of coordinates (N, n)."""

    def encode(self, image: Tensor) -> Tensor:
        """Coordinates of images."""

    def decode(self, point: Tensor) -> Tensor:
        """Images of coordinates."""

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with respect to coordinates, given their image and the gradient with respect to it.

        The memory of that gradient may be used.
        """


MARGIN = 0.1
"""How far beyond [0, 1] coordinates may lead: what lies there is black or white, which are then not at infinity."""

EXPONENT = 0.5
"""Coefficients are divided by frequency to the power of -EXPONENT: broad strokes move first. At 0.4 and 0.65 it takes
some evaluations more."""


AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Light and shade, and two of colour, in RGB and not yet of unit length. Fine colour counts for next to nothing, fine
light and shade for much: apart from each other, each gets steps of its own length."""


class FourierBox:
    """Fourier coefficients, weighted by frequency, of an image squeezed into [-MARGIN, 1 + MARGIN], by axes of colour.

    image = (1 + 2 MARGIN) * sigmoid(AXES' z) - MARGIN,   z = inverse FFT(coefficients * f^-EXPONENT)

    The box keeps L-BFGS from losing pixels far outside of what a file can hold; a plain sigmoid (MARGIN = 0) would
    crawl on dark or saturated photographs. The weights are a preconditioner. Scaled so that coordinates are orthonormal
    but for those weights, whose mean square is 1.

    Args:
        height, width: of the image in pixels.

    Attributes:
        bands: an octave of frequencies of one axis each.
    """

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu") -> None:
        self.height, self.width = height, width
        self.axes = torch.nn.functional.normalize(torch.tensor(AXES, dtype=torch.float32, device=device), dim=1)
        rows = torch.fft.fftfreq(height, dtype=torch.float32, device=device)[:, None]
        columns = torch.fft.rfftfreq(width, dtype=torch.float32, device=device)[None]
        frequency = torch.hypot(rows, columns).clamp_min(1.0 / max(height, width))
        weights = frequency**-EXPONENT
        # Of a real image only half the spectrum is kept: the inner columns stand for two coefficients each.
        self.copies = torch.full((1, columns.shape[1]), 2.0, dtype=torch.float32, device=device)
        self.copies[:, 0] = 1.0
        if width % 2 == 0:
            self.copies[:, -1] = 1.0
        mean_square = (self.copies * weights.square()).sum() / (height * width)
        self.scale = weights / mean_square.sqrt() / self.copies.sqrt()
        # No frequency is above 0.75: half a cycle per pixel down and across.
        octaves = math.floor(math.log2(max(1.0, 0.75 * max(height, width)))) + 1
        octave = (frequency / frequency.min()).log2().to(torch.uint8)
        self.bands = Bands(octave.flatten(), octaves, planes=3, parts=2)

    def encode(self, image: Tensor) -> Tensor:
        """Coordinates, shape (N, n), of images in [0, 1], shape (N, 3, H, W)."""

        def unsqueezed(part: Tensor) -> Tensor:
            inside = ((part + MARGIN) / (1.0 + 2.0 * MARGIN)).clamp(1e-4, 1.0 - 1e-4)
            return _turned(self.axes, inside.logit())

        return self._spectrum(by_strips(unsqueezed, image), lambda spectrum: spectrum / self.scale)

    def decode(self, point: Tensor) -> Tensor:
        """Images in [-MARGIN, 1 + MARGIN], shape (N, 3, H, W), of coordinates."""
        coefficients = torch.view_as_complex(point.view(point.shape[0], 3, *self.scale.shape, 2))
        if len(self._planes) == 1:
            z = self._inverse(coefficients)
        else:
            z = point.new_empty(point.shape[0], 3, self.height, self.width)
            for plane in self._planes:
                z[:, plane] = self._inverse(coefficients[:, plane])

        def squeezed(part: Tensor) -> Tensor:
            return (1.0 + 2.0 * MARGIN) * _turned(self.axes.T, part).sigmoid() - MARGIN

        return by_strips(squeezed, z, out=z)

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with respect to coordinates, shape (N, n), given that to their image, shape (N, 3, H, W)."""

        def turned(image: Tensor, gradient: Tensor) -> Tensor:
            # sigmoid'(z) = sigmoid(z) (1 - sigmoid(z)), here of an image that is 1 + 2 MARGIN times as wide.
            slope = (image + MARGIN) * (1.0 + MARGIN - image) / (1.0 + 2.0 * MARGIN)
            return _turned(self.axes, gradient * slope)

        of_z = by_strips(turned, image, gradient, out=gradient)
        return self._spectrum(of_z, lambda spectrum: spectrum * (self.copies * self.scale))

    @property
    def _planes(self) -> tuple[slice, ...]:
        """Axes whose Fourier transforms are made at once: all three, or of a large picture one after the other."""
        whole = 3 * self.height * self.width <= WHOLE_UP_TO
        return (slice(None),) if whole else tuple(slice(axis, axis + 1) for axis in range(3))

    def _inverse(self, coefficients: Tensor) -> Tensor:
        z: Tensor = torch.fft.irfft2(coefficients * self.scale, s=(self.height, self.width), norm="ortho")
        return z

    def _spectrum(self, z: Tensor, weighted: Callable[[Tensor], Tensor]) -> Tensor:
        """Weighted Fourier coefficients as a row of coordinates."""
        if len(self._planes) == 1:
            return torch.view_as_real(weighted(torch.fft.rfft2(z, norm="ortho"))).flatten(1).contiguous()
        row = z.new_empty(z.shape[0], 3, *self.scale.shape, 2)
        for plane in self._planes:
            row[:, plane] = torch.view_as_real(weighted(torch.fft.rfft2(z[:, plane], norm="ortho")))
        return row.flatten(1)


def _turned(axes: Tensor, image: Tensor) -> Tensor:
    """The channels of images, shape (N, 3, H, W), along other axes, shape (3, 3)."""
    return torch.einsum("ac,nchw->nahw", axes, image)


class NormalisedPixels:
    """Pixels minus ImageNet's mean, divided by its std: where the notebook's Adam works, and as unbounded as there."""

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu") -> None:
        self.shape = (3, height, width)
        self.mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device=device).view(1, 3, 1, 1)

    def encode(self, image: Tensor) -> Tensor:
        """Coordinates, shape (N, n), of images, shape (N, 3, H, W)."""
        return ((image - self.mean) / self.std).flatten(1).contiguous()

    def decode(self, point: Tensor) -> Tensor:
        """Images, shape (N, 3, H, W), of coordinates."""
        return point.view(point.shape[0], *self.shape) * self.std + self.mean

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG002  # the map is the same everywhere
        """The gradient with respect to coordinates, shape (N, n), given that to their image, shape (N, 3, H, W)."""
        return (gradient * self.std).flatten(1)

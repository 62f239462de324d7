"""Maps between an image and the coordinates that are optimised.

`FourierBox` is for L-BFGS, `NormalisedPixels` for Adam. Both can leave [0, 1]; `within_range` and `held_at_range`
ensure that the optimised image is one that a file can hold.
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
    """Return the image as it is saved, except for rounding: clamped to [0, 1]."""
    return image.clamp(0.0, 1.0)


def held_at_range(image: Tensor, gradient: Tensor, low: Tensor | float = 0.0, high: Tensor | float = 1.0) -> Tensor:
    """Return the gradient of a loss of an image clamped to [low, high], set to 0 where descent would lead further out.

    A clamped pixel does not influence the loss, but without a gradient it could never return: the gradient that pulls
    it back in is kept.
    """
    leads_out = ((image > high) & (gradient < 0.0)) | ((image < low) & (gradient > 0.0))
    return gradient.masked_fill(leads_out, 0.0)


class Coordinates(Protocol):
    """A smooth map between images (N, 3, H, W) and rows of coordinates (N, n)."""

    def encode(self, image: Tensor) -> Tensor:
        """Return the coordinates of images."""

    def decode(self, point: Tensor) -> Tensor:
        """Return the images of coordinates."""

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to the coordinates, given their image and the gradient with respect to it.

        The memory of the given gradient may be reused.
        """


MARGIN = 0.1
"""How far coordinates may leave [0, 1]. Values there are saved as black or white, which the sigmoid therefore reaches
at finite z."""

EXPONENT = 0.5
"""Coefficients are divided by frequency to the power of -EXPONENT, so that broad strokes move first. With 0.4 and 0.65
it takes some evaluations more."""


AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))
"""Three colour axes in RGB, not yet of unit length: luminance and two of chroma. Fine chroma hardly matters and fine
luminance matters much: on separate axes each gets its own step length."""


class FourierBox:
    """Frequency-weighted Fourier coefficients, along colour axes, of an image squeezed into [-MARGIN, 1 + MARGIN].

        image = (1 + 2 MARGIN) * sigmoid(AXES' z) - MARGIN,   z = inverse FFT(coefficients * f^-EXPONENT)

    The box keeps L-BFGS from moving pixels far outside the range that a file can hold; a plain sigmoid (MARGIN = 0)
    would converge very slowly on dark or saturated photographs. The weights are a preconditioner. The coordinates are
    scaled to be orthonormal except for these weights, whose mean square is 1.

    Args:
        height, width: size of the image in pixels.

    Attributes:
        bands: one band per colour axis and octave of frequencies.
    """

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu") -> None:
        self.height, self.width = height, width
        self.axes = torch.nn.functional.normalize(torch.tensor(AXES, dtype=torch.float32, device=device), dim=1)
        rows = torch.fft.fftfreq(height, dtype=torch.float32, device=device)[:, None]
        columns = torch.fft.rfftfreq(width, dtype=torch.float32, device=device)[None]
        frequency = torch.hypot(rows, columns).clamp_min(1.0 / max(height, width))
        weights = frequency**-EXPONENT
        # A real image needs only half the spectrum; each inner column stands for two conjugate coefficients.
        self.copies = torch.full((1, columns.shape[1]), 2.0, dtype=torch.float32, device=device)
        self.copies[:, 0] = 1.0
        if width % 2 == 0:
            self.copies[:, -1] = 1.0
        mean_square = (self.copies * weights.square()).sum() / (height * width)
        self.scale = weights / mean_square.sqrt() / self.copies.sqrt()
        # No frequency is above 0.75: at most half a cycle per pixel, both vertically and horizontally.
        octaves = math.floor(math.log2(max(1.0, 0.75 * max(height, width)))) + 1
        octave = (frequency / frequency.min()).log2().to(torch.uint8)
        self.bands = Bands(octave.flatten(), octaves, planes=3, parts=2)

    def encode(self, image: Tensor) -> Tensor:
        """Return the coordinates, shape (N, n), of images in [0, 1], shape (N, 3, H, W)."""

        def unsqueezed(part: Tensor) -> Tensor:
            inside = ((part + MARGIN) / (1.0 + 2.0 * MARGIN)).clamp(1e-4, 1.0 - 1e-4)
            return _project(self.axes, inside.logit())

        return self._spectrum(by_strips(unsqueezed, image), lambda spectrum: spectrum / self.scale)

    def decode(self, point: Tensor) -> Tensor:
        """Return the images of coordinates, shape (N, 3, H, W), in [-MARGIN, 1 + MARGIN]."""
        coefficients = torch.view_as_complex(point.view(point.shape[0], 3, *self.scale.shape, 2))
        if len(self._planes) == 1:
            z = self._inverse(coefficients)
        else:
            z = point.new_empty(point.shape[0], 3, self.height, self.width)
            for plane in self._planes:
                z[:, plane] = self._inverse(coefficients[:, plane])

        def squeezed(part: Tensor) -> Tensor:
            return (1.0 + 2.0 * MARGIN) * _project(self.axes.T, part).sigmoid() - MARGIN

        return by_strips(squeezed, z, out=z)

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient by coordinates, shape (N, n), given that by pixels, shape (N, 3, H, W)."""

        def projected(image: Tensor, gradient: Tensor) -> Tensor:
            # sigmoid'(z) = sigmoid(z) (1 - sigmoid(z)), for a sigmoid stretched by 1 + 2 MARGIN.
            slope = (image + MARGIN) * (1.0 + MARGIN - image) / (1.0 + 2.0 * MARGIN)
            return _project(self.axes, gradient * slope)

        of_z = by_strips(projected, image, gradient, out=gradient)
        return self._spectrum(of_z, lambda spectrum: spectrum * (self.copies * self.scale))

    @property
    def _planes(self) -> tuple[slice, ...]:
        """Slices of the axes that are Fourier transformed at once: all three, or one at a time for a large image."""
        whole = 3 * self.height * self.width <= WHOLE_UP_TO
        return (slice(None),) if whole else tuple(slice(axis, axis + 1) for axis in range(3))

    def _inverse(self, coefficients: Tensor) -> Tensor:
        z: Tensor = torch.fft.irfft2(coefficients * self.scale, s=(self.height, self.width), norm="ortho")
        return z

    def _spectrum(self, z: Tensor, weighted: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weighted Fourier coefficients as a row of coordinates."""
        if len(self._planes) == 1:
            return torch.view_as_real(weighted(torch.fft.rfft2(z, norm="ortho"))).flatten(1).contiguous()
        row = z.new_empty(z.shape[0], 3, *self.scale.shape, 2)
        for plane in self._planes:
            row[:, plane] = torch.view_as_real(weighted(torch.fft.rfft2(z[:, plane], norm="ortho")))
        return row.flatten(1)


def _project(axes: Tensor, image: Tensor) -> Tensor:
    """Project the channels of images, shape (N, 3, H, W), onto other axes, shape (3, 3)."""
    return torch.einsum("ac,nchw->nahw", axes, image)


class NormalisedPixels:
    """Pixels minus ImageNet's mean, over its deviation: the notebook's coordinates for Adam, unbounded as there."""

    def __init__(self, height: int, width: int, device: torch.device | str = "cpu") -> None:
        self.shape = (3, height, width)
        self.mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device=device).view(1, 3, 1, 1)

    def encode(self, image: Tensor) -> Tensor:
        """Return the coordinates, shape (N, n), of images, shape (N, 3, H, W)."""
        return ((image - self.mean) / self.std).flatten(1).contiguous()

    def decode(self, point: Tensor) -> Tensor:
        """Return the images of coordinates, shape (N, 3, H, W)."""
        return point.view(point.shape[0], *self.shape) * self.std + self.mean

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG002  # the map is the same everywhere
        """Return the gradient by coordinates, shape (N, n), given that by pixels, shape (N, 3, H, W)."""
        return (gradient * self.std).flatten(1)

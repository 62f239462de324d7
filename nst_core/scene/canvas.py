"""What the optimisation may change in an image: everything, only its luminance, or only what is not protected.

The losses see `shown`, a file holds `saved`, and both are recomputed from the image at every evaluation: the optimised
image is the saved image.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nst_core.geometry.strips import by_strips
from nst_core.optimizers.coordinates import held_at_range, within_range

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of Y of YIQ, applied to the values that a file holds (Gatys et al., 2017, 1611.07865, section 5)."""


def luminance(image: Tensor) -> Tensor:
    """Return the luminance of images (N, 3, H, W), shape (N, 1, H, W)."""
    # Weights as numbers, here and in `Canvas.pull_back`: copying them as a tensor would make the host wait for the GPU.
    red, green, blue = (image[:, channel : channel + 1] * weight for channel, weight in enumerate(LUMINANCE))
    return red + green + blue


def grey(image: Tensor) -> Tensor:
    """Return colourless images of the same luminance, shape (N, 3, H, W)."""
    return luminance(image).expand(-1, 3, -1, -1).contiguous()


@dataclass(frozen=True)
class Canvas:
    """What an optimisation may change, and how an image is mapped to what the losses see and what its file holds.

    An image is the decoded form of an optimizer's coordinates: its values may lie outside [0, 1]. `shown` is what the
    losses see of it: in range, with the protected part restored, and grey if colours are kept. `saved` adds the
    content's colours to the shown image: that is the pastiche. `seen` maps any finished image to what the losses see.

    Args:
        contents: the content images, shape (N, 3, H, W), in [0, 1].
        protected: a mask of shape (N, 1, H, W), 1 where the content is kept to the last bit, 0 where it may change;
            None protects nothing.
        keeps_colours: whether only the luminance may change, as far as the content's own colours then stay in range.
    """

    contents: Tensor
    protected: Tensor | None = None
    keeps_colours: bool = False

    @cached_property
    def targets(self) -> Tensor:
        """The contents as the losses see them."""
        return self.seen(self.contents)

    @cached_property
    def _chroma(self) -> Tensor:
        return self.contents - luminance(self.contents)

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        """The lowest and highest luminance that keep a pixel's colours in range; the content's own lies in between."""
        return -self._chroma.amin(dim=1, keepdim=True), 1.0 - self._chroma.amax(dim=1, keepdim=True)

    def seen(self, picture: Tensor) -> Tensor:
        """Return an image as the losses see it."""
        return grey(picture) if self.keeps_colours else picture

    def shown(self, image: Tensor) -> Tensor:
        """Return what the losses see of an optimised image, in [0, 1]."""
        if self.keeps_colours:
            low, high = self._bounds
            # If a pixel has no room, rounding may swap its bounds; the upper one then applies.
            light = by_strips(luminance, image)
            picture = light.maximum(low).minimum(high).clamp(0.0, 1.0).expand(-1, 3, -1, -1)
        else:
            picture = within_range(image)
        # With a mask of 1 this is exactly the content.
        return picture if self.protected is None else torch.lerp(picture, self.targets, self.protected)

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to an image, given that with respect to what is shown of it."""
        if self.protected is not None:
            gradient = gradient * (1.0 - self.protected)
        if not self.keeps_colours:
            return by_strips(held_at_range, image, gradient)

        def held(image: Tensor, gradient: Tensor, low: Tensor, high: Tensor) -> Tensor:
            light = held_at_range(luminance(image), gradient.sum(dim=1, keepdim=True), low, high)
            return torch.cat([light * weight for weight in LUMINANCE], dim=1)

        return by_strips(held, image, gradient, *self._bounds)

    def saved(self, shown: Tensor) -> Tensor:
        """Return the image that is saved for a shown image, in [0, 1]."""
        return torch.clamp(shown + self._chroma, 0.0, 1.0) if self.keeps_colours else shown

    def keep(self, index: Tensor) -> "Canvas":
        """Return the canvas of some of the batch's pastiches, in the order of `index`."""
        if len(self.contents) == len(index) == 1:
            return self
        protected = None if self.protected is None else self.protected[index]
        return Canvas(self.contents[index], protected, self.keeps_colours)

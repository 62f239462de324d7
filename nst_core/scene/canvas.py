"""What the optimised image may change of a picture: all of it, its luminance alone, or only what is not protected.

The losses see `shown`, a file holds `saved`, and both follow from the image at every evaluation: what is optimised is
what is saved.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nst_core.geometry.strips import by_strips
from nst_core.optimizers.coordinates import held_at_range, within_range
from nst_core.options import StylizeOptions

LUMINANCE = (0.299, 0.587, 0.114)
"""Y of YIQ, of the values that a file holds (Gatys et al., 2017, 1611.07865, section 5)."""


def luminance(image: Tensor) -> Tensor:
    """Of images, shape (N, 3, H, W): shape (N, 1, H, W)."""
    # Weights as numbers, here and in `Canvas.pull_back`: as a tensor they would come from the host, which waits for it.
    red, green, blue = (image[:, channel : channel + 1] * weight for channel, weight in enumerate(LUMINANCE))
    return red + green + blue


def grey(image: Tensor) -> Tensor:
    """Images of the same luminance without colour, shape (N, 3, H, W)."""
    return luminance(image).expand(-1, 3, -1, -1).contiguous()


@dataclass(frozen=True)
class Canvas:
    """What is open to an optimisation, and what becomes of an image on its way to the losses and to its file.

    An image is what an optimizer's coordinates mean: its values may lie outside of [0, 1]. `shown` is what the losses
    see of it: in range, protected, and grey where colours are kept. `saved` gives the colours back to what is shown:
    that is the pastiche. `seen` takes any finished picture to the losses.

    Args:
        contents: shape (N, 3, H, W), in [0, 1].
        protected: shape (N, 1, H, W), 1 where the content stays to the last bit, 0 where it may change; None is 0.
        keeps_colours: whether luminance alone may change, as far as the content's own colours leave it in range.
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
        """Between which a pixel's luminance leaves its colours in range; the content's own always does."""
        return -self._chroma.amin(dim=1, keepdim=True), 1.0 - self._chroma.amax(dim=1, keepdim=True)

    def seen(self, picture: Tensor) -> Tensor:
        """A picture as the losses see it."""
        return grey(picture) if self.keeps_colours else picture

    def shown(self, image: Tensor) -> Tensor:
        """What the losses see of an image that is optimised, in [0, 1]."""
        if self.keeps_colours:
            low, high = self._bounds
            # Of a pixel without room rounding may put the bounds in the wrong order: the upper one then holds.
            light = by_strips(luminance, image)
            picture = light.maximum(low).minimum(high).clamp(0.0, 1.0).expand(-1, 3, -1, -1)
        else:
            picture = within_range(image)
        # At 1 this is exactly the content.
        return picture if self.protected is None else torch.lerp(picture, self.targets, self.protected)

    def pull_back(self, image: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with respect to an image, given that with respect to what is shown of it."""
        if self.protected is not None:
            gradient = gradient * (1.0 - self.protected)
        if not self.keeps_colours:
            return by_strips(held_at_range, image, gradient)

        def held(image: Tensor, gradient: Tensor, low: Tensor, high: Tensor) -> Tensor:
            light = held_at_range(luminance(image), gradient.sum(dim=1, keepdim=True), low, high)
            return torch.cat([light * weight for weight in LUMINANCE], dim=1)

        return by_strips(held, image, gradient, *self._bounds)

    def saved(self, shown: Tensor) -> Tensor:
        """The picture that is saved of what is shown, in [0, 1]."""
        return torch.clamp(shown + self._chroma, 0.0, 1.0) if self.keeps_colours else shown

    def keep(self, index: Tensor) -> "Canvas":
        """The canvas of some of the batch's pastiches, in the order of `index`."""
        if len(self.contents) == len(index) == 1:
            return self
        protected = None if self.protected is None else self.protected[index]
        return Canvas(self.contents[index], protected, self.keeps_colours)


def canvas_of(contents: Tensor, protected: Tensor | None, options: StylizeOptions) -> Canvas:
    """The canvas that some options ask for."""
    return Canvas(contents, protected, options.colors == "luminance")

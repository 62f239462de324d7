"""All images of a batch at one size: contents, styles, protection masks and regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import exact_tile_px
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.regions import Regions, region_count
from nst_core.losses.targets import ContentTarget, StyleTarget, encode_both, encode_content
from nst_core.machine.footprint import Extra, MemoryPlan, extra_of
from nst_core.options import StylizeOptions
from nst_core.scene.canvas import Canvas
from nst_core.scene.shrink import shrink
from nst_core.scene.styles import StyleImage, style_target


def as_batch(images: Sequence[Tensor]) -> Tensor:
    """Concatenate images of shape (1, C, H, W) to a batch; a single image is not copied."""
    return images[0] if len(images) == 1 else torch.cat(list(images))


def extra_of_pairs(options: StylizeOptions, regions: Regions | None, protected: Tensor | None) -> Extra:
    """Return the additional memory that options and masks need; see `nst_core.machine.footprint.extra_of`.

    It takes the regions of one pair or of a whole batch, whose pairs all have equally many.
    """
    return extra_of(options, 0 if regions is None else region_count(regions), protects=protected is not None)


@dataclass(frozen=True)
class Scene:
    """The images of a batch of pairs; all but the style images are on the device.

    Attributes:
        contents: the content images, shape (N, 3, H, W), in [0, 1].
        styles: the style of each pair; pairs of the same style share the object.
        options: resolved options.
        protected: a protection mask, shape (N, 1, H, W); see `Canvas`.
        regions: the regions of the contents.
        level: how often all these images were halved.
    """

    contents: Tensor
    styles: tuple[StyleImage, ...]
    options: StylizeOptions
    protected: Tensor | None = None
    regions: Regions | None = None
    level: int = 0

    @property
    def exact_tile_px(self) -> int | None:
        """The tile side for exact passes over pastiches; see `nst_core.geometry.tiles.exact_tile_px`."""
        height, width = self.contents.shape[2:]
        return exact_tile_px(height, width)

    @cached_property
    def canvas(self) -> Canvas:
        """The canvas that defines what may change in the contents."""
        return Canvas(self.contents, self.protected, self.options.colors == "luminance")

    def halved(self, level: int) -> "Scene":
        """Return this full-size scene with all images halved `level` times."""
        protected = None if self.protected is None else shrink(self.protected, level)
        regions = self.regions and Regions(shrink(self.regions.maps, level))
        return Scene(shrink(self.contents, level), self.styles, self.options, protected, regions, level)

    def content_target(self, network: VGG) -> ContentTarget:
        """Encode the contents as the losses see them."""
        return encode_content(network, self.canvas.targets, self.options, self.exact_tile_px)

    def content_and_own_style(self, network: VGG) -> tuple[ContentTarget, StyleTarget]:
        """Encode the content target and the contents' own style matrices in one pass."""
        return encode_both(network, self.canvas.targets, self.options, self.regions, self.exact_tile_px)

    def style_target(self, network: VGG) -> StyleTarget:
        """Return the style targets of all pairs; a shared style is encoded once, and not again at full size."""
        device = str(self.contents.device)
        known = {id(style): style for style in self.styles}
        targets = {
            name: style.target
            if self.level == 0
            else style_target(network, style.pictures, self.options, device, self.level)
            for name, style in known.items()
        }
        return {
            layer: torch.cat([targets[id(style)][layer] for style in self.styles])
            for layer in self.options.style_layers
        }

    def exact_loss(self, network: VGG, content: ContentTarget, style: StyleTarget) -> PerceptualLoss:
        """Return the fp32 losses of pastiches, which are passed in as `canvas` shows them."""
        return PerceptualLoss(network, content, style, self.options, self.regions, self.exact_tile_px)

    def fast_loss(
        self, network: ScheduledVGG, content: ContentTarget, style: StyleTarget, plan: MemoryPlan
    ) -> PerceptualLoss:
        """Return the same losses in the form used for optimising."""
        planned = network.recomputing(recompute=plan.recompute)
        return PerceptualLoss(planned, content, style, self.options, self.regions, plan.tile_px)

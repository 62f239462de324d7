"""All pictures of a batch at one size: contents, styles, what is protected, and where regions are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.geometry.tiles import exact_tile_px
from nst_core.losses.perceptual import PerceptualLoss
from nst_core.losses.regions import Regions, count
from nst_core.losses.targets import ContentTarget, StyleTarget, encode_both, encode_content
from nst_core.machine.footprint import Extra, MemoryPlan, extra_of
from nst_core.options import StylizeOptions
from nst_core.scene.canvas import Canvas, canvas_of
from nst_core.scene.shrink import shrink
from nst_core.scene.styles import StyleImage, style_target


def as_batch(images: Sequence[Tensor]) -> Tensor:
    """Images of shape (1, C, H, W) as one batch; a single one is not copied."""
    return images[0] if len(images) == 1 else torch.cat(list(images))


def extra_beside(options: StylizeOptions, regions: Regions | None, protected: Tensor | None) -> Extra:
    """See `nst_core.machine.footprint.extra_of`: of a pair, or of a batch, in which each has as many."""
    return extra_of(options, 0 if regions is None else count(regions), protects=protected is not None)


@dataclass(frozen=True)
class Scene:
    """The pictures of a batch of pairs, on the device but for the styles'.

    Attributes:
        contents: shape (N, 3, H, W), in [0, 1].
        styles: one per pair; pairs of one style share it.
        options: resolved.
        protected: shape (N, 1, H, W); see `Canvas`.
        regions: of the contents.
        level: how often all this was halved.
    """

    contents: Tensor
    styles: tuple[StyleImage, ...]
    options: StylizeOptions
    protected: Tensor | None = None
    regions: Regions | None = None
    level: int = 0

    @property
    def exact_tile_px(self) -> int | None:
        """See `nst_core.geometry.tiles.exact_tile_px`, of pastiches."""
        height, width = self.contents.shape[2:]
        return exact_tile_px(height, width)

    @cached_property
    def canvas(self) -> Canvas:
        """What may be changed of the contents."""
        return canvas_of(self.contents, self.protected, self.options)

    def halved(self, level: int) -> "Scene":
        """The same pictures, of full size here, halved so many times."""
        protected = None if self.protected is None else shrink(self.protected, level)
        regions = self.regions and Regions(shrink(self.regions.maps, level))
        return Scene(shrink(self.contents, level), self.styles, self.options, protected, regions, level)

    def content_target(self, network: VGG) -> ContentTarget:
        """Of the contents as the losses see them."""
        return encode_content(network, self.canvas.targets, self.options, self.exact_tile_px)

    def content_and_own_style(self, network: VGG) -> tuple[ContentTarget, StyleTarget]:
        """The content target, and the matrices of the contents' own style, from one pass."""
        return encode_both(network, self.canvas.targets, self.options, self.regions, self.exact_tile_px)

    def style_target(self, network: VGG) -> StyleTarget:
        """Of every pair's style; what pairs share is encoded once, and at full size not again."""
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
        """The losses of pastiches, as `canvas` shows them, in fp32."""
        return PerceptualLoss(network, content, style, self.options, self.regions, self.exact_tile_px)

    def fast_loss(
        self, network: ScheduledVGG, content: ContentTarget, style: StyleTarget, plan: MemoryPlan
    ) -> PerceptualLoss:
        """The same losses as they are optimised."""
        planned = network.recomputing(recompute=plan.recompute)
        return PerceptualLoss(planned, content, style, self.options, self.regions, plan.tile_px)

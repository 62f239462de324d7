"""What is asked for of one pair, and what comes of it."""

from dataclasses import dataclass, field

from torch import Tensor

from nst_core.errors import OptionsError, ShapeError
from nst_core.losses.regions import Regions, count
from nst_core.losses.targets import ContentTarget
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import check_image, check_range
from nst_core.scene.styles import StyleImage
from nst_core.stopping import StopReason


@dataclass(frozen=True)
class StylizeRequest:
    """One pair.

    Attributes:
        content: shape (1, 3, H, W), in [0, 1].
        style: with as many regions as `regions`.
        options: resolved.
        regions: where in the content each region is, maps of its size; None is everywhere.
        protected: shape (1, 1, H, W), 1 where the content stays to the last bit; None is nowhere.
        initial: what to start from in place of `options.init`, of the content's shape.
    """

    content: Tensor
    style: StyleImage
    options: StylizeOptions
    regions: Regions | None = None
    protected: Tensor | None = None
    initial: Tensor | None = None

    def __post_init__(self) -> None:
        if self.options.style_layer_weights is None:
            raise OptionsError("expected resolved options: StylizeOptions(...).resolved()")
        check_image(self.content, "content")
        _check_beside(self.content, "protected", self.protected, 1)
        _check_beside(self.content, "initial", self.initial, 3)
        if self.regions is not None and self.regions.maps.shape[2:] != self.content.shape[2:]:
            raise ShapeError(
                f"regions: expected maps of the content's size {tuple(self.content.shape[2:])}, got "
                f"{tuple(self.regions.maps.shape[2:])}"
            )
        if count(self.regions) != self.style.regions:
            raise ShapeError(f"the content has {count(self.regions)} regions, its style {self.style.regions}")

    def check_ranges(self) -> None:
        """Refuse numbers outside of [0, 1]: every pixel is looked at, which is done once, when work begins.

        Raises:
            ShapeError: with the picture's name.
        """
        for what, image in (("content", self.content), ("initial", self.initial), ("protected", self.protected)):
            if image is not None:
                check_range(image, what)


def _check_beside(content: Tensor, what: str, image: Tensor | None, channels: int) -> None:
    """Refuse what is no image of the content's size."""
    if image is None:
        return
    check_image(image, what, channels)
    if image.shape[2:] != content.shape[2:]:
        raise ShapeError(
            f"{what}: expected the content's size {tuple(content.shape[2:])}, got {tuple(image.shape[2:])}"
        )


@dataclass(frozen=True)
class StylizeResult:
    """One pastiche.

    Attributes:
        pastiche: in [0, 1], shape (1, 3, H, W), on the CPU.
        initial: fp32 losses of the initial pastiche: the content image, the style image or noise.
        steps, evaluations, stop_reason: as in `Outcome`, at full size.
        coarse_evaluations: at the coarse levels, the coarsest first; empty where there was none.
        seconds: of the batch, coarse levels and targets included.
        content: the pair's content target, on the backbone's device, for `measure`.
    """

    pastiche: Tensor
    initial: LossValues
    steps: int
    evaluations: int
    coarse_evaluations: tuple[int, ...]
    stop_reason: StopReason
    seconds: float
    content: ContentTarget = field(repr=False, compare=False)

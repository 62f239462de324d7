"""The input and the result of stylizing one pair."""

from dataclasses import dataclass, field

from torch import Tensor

from nst_core.errors import OptionsError, ShapeError
from nst_core.losses.regions import Regions, region_count
from nst_core.losses.targets import ContentTarget
from nst_core.losses.values import LossValues
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import check_image, check_range
from nst_core.scene.styles import StyleImage
from nst_core.stopping import StopReason


@dataclass(frozen=True)
class StylizeRequest:
    """The engine's input for one pair.

    Attributes:
        content: the content image, shape (1, 3, H, W), in [0, 1].
        style: the encoded style, with as many regions as `regions`.
        options: resolved options.
        regions: a map of each region over the content, at the content's size; None means one region, everywhere.
        protected: a mask of shape (1, 1, H, W), 1 where the content is kept to the last bit; None protects nothing.
        initial: an image of the content's shape to start from in place of `options.init`.
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
        _check_fits_content(self.content, "protected", self.protected, 1)
        _check_fits_content(self.content, "initial", self.initial, 3)
        if self.regions is not None and self.regions.maps.shape[2:] != self.content.shape[2:]:
            raise ShapeError(
                f"regions: expected maps of the content's size {tuple(self.content.shape[2:])}, got "
                f"{tuple(self.regions.maps.shape[2:])}"
            )
        if region_count(self.regions) != self.style.regions:
            raise ShapeError(f"the content has {region_count(self.regions)} regions, its style {self.style.regions}")

    def check_ranges(self) -> None:
        """Check that all values lie in [0, 1]. This reads every pixel, so it is called once, when work begins.

        Raises:
            ShapeError: naming the image that has other values.
        """
        for what, image in (("content", self.content), ("initial", self.initial), ("protected", self.protected)):
            if image is not None:
                check_range(image, what)


def _check_fits_content(content: Tensor, what: str, image: Tensor | None, channels: int) -> None:
    """Raise a ShapeError if an optional image is not an image tensor of the content's size."""
    if image is None:
        return
    check_image(image, what, channels)
    if image.shape[2:] != content.shape[2:]:
        raise ShapeError(
            f"{what}: expected the content's size {tuple(content.shape[2:])}, got {tuple(image.shape[2:])}"
        )


@dataclass(frozen=True)
class StylizeResult:
    """The result of stylizing one pair.

    Attributes:
        pastiche: the pastiche in [0, 1], shape (1, 3, H, W), on the CPU.
        initial: the fp32 losses of the initial pastiche: the content image, the style image or noise.
        steps, evaluations, stop_reason: as in `Outcome`, at full size.
        coarse_evaluations: the number of evaluations at each coarse level, the coarsest first; empty without coarse
            levels.
        seconds: the time that the batch took, coarse levels and target encoding included.
        content: the pair's content target on the backbone's device, for `measure`.
    """

    pastiche: Tensor
    initial: LossValues
    steps: int
    evaluations: int
    coarse_evaluations: tuple[int, ...]
    stop_reason: StopReason
    seconds: float
    content: ContentTarget = field(repr=False, compare=False)

"""The library's entry point: stylize one pair of Pillow images in the calling process."""

import functools
from dataclasses import dataclass

from PIL import Image

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.errors import DivergedError, ShapeError
from nst_core.geometry.sizes import pastiche_size
from nst_core.guides import NO_GUIDES, ContentGuides, StyleSource, painted_pixels, request_of, style_of
from nst_core.images import PictureFile, resize
from nst_core.images.writing.picture_file import Levels
from nst_core.losses.values import LossValues
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.runtime import choose_devices, choose_precision, prepare_process
from nst_core.measure import measure
from nst_core.optimize import OnStep
from nst_core.options import StylizeOptions
from nst_core.scene.masks.matching import region_colours
from nst_core.scene.pixels import from_array, to_array, to_picture
from nst_core.stopping import StopReason
from nst_core.stylize import stylize


@dataclass(frozen=True)
class StylizedPicture:
    """A pastiche as an image.

    Attributes:
        levels: its sRGB values, shape (H, W, 3), with the bits per channel of `bit_depth`;
            `nst_core.images.encode_image` encodes them as a file.
        picture: the same image in 8-bit sRGB, mode RGB, whatever the bit depth of `levels`.
        losses: the fp32 losses of `levels`.
        initial: the fp32 losses of the image that the optimisation started from.
        steps, evaluations, stop_reason: as in `Outcome`, at full size.
        seconds: the time spent on the device.
    """

    levels: Levels
    picture: Image.Image
    losses: LossValues
    initial: LossValues
    steps: int
    evaluations: int
    stop_reason: StopReason
    seconds: float


def stylize_picture(
    content: Image.Image,
    style: Image.Image | StyleSource,
    options: StylizeOptions | None = None,
    *,
    guides: ContentGuides = NO_GUIDES,
    device: str = "auto",
    backbone: str = "vgg19",
    on_step: OnStep | None = None,
) -> StylizedPicture:
    """Stylize one image (Gatys, Ecker, Bethge: CVPR 2016). The network is loaded once and cached.

    Configures torch for the device as described in `nst_core.machine.runtime.prepare_process`: fp32 without TF32, freed
    memory kept.

    Args:
        content: an image of mode RGB; `nst_core.images.decode_image` makes one of any file and applies colour profiles
            and transparency.
        style: an image of mode RGB; or the images of a blend, or an image with a mask.
        options: the look; by default 512 px on the long edge. Options that concern only a file (`output_format`,
            `jpeg_quality`, `output_profile`, `dpi`) or how it is read (`alpha`) have no effect here.
        guides: masks of the content, or an image to start from.
        device: auto (the first GPU, else the CPU), cpu, cuda, or one GPU such as cuda:1.
        backbone: a name in `nst_core.backbones.catalogue`.
        on_step: called after every evaluation.

    Raises:
        ShapeError: if an argument is not a Pillow image, or an image has the wrong mode.
        OptionsError: if the device does not exist, or an image is too small for a layer.
        WeightsError: if there are no weights for this backbone.
        OutOfMemory, DivergedError: if the device has too little memory, or the loss did not stay finite.
    """
    source = style if isinstance(style, StyleSource) else StyleSource((style,))
    _check_modes(content, source, guides)
    options = (options or StylizeOptions()).resolved()
    chosen = choose_devices(device)[0]
    network = _network(backbone, chosen, choose_precision("auto", chosen))
    size = pastiche_size(*content.size, options.size_px, enlarge=options.enlarge)
    resized = resize(content, *size)
    colours = region_colours(guides.mask, source.mask)
    encoded = style_of(source, size, options, network, colours, painted_pixels(resized, guides))
    request = request_of(resized, encoded, options, guides, colours)
    (result,) = stylize([request], network, on_step)
    if isinstance(result, DivergedError):
        raise result
    file = PictureFile(bit_depth=options.bit_depth)
    levels = file.levels(to_array(result.pastiche))
    return StylizedPicture(
        levels=levels,
        picture=to_picture(result.pastiche),
        losses=measure(from_array(file.srgb(levels)), request, network, result.content),
        initial=result.initial,
        steps=result.steps,
        evaluations=result.evaluations,
        stop_reason=result.stop_reason,
        seconds=result.seconds,
    )


def _check_modes(content: Image.Image, style: StyleSource, guides: ContentGuides) -> None:
    """Raise a ShapeError that names the first argument that is not a Pillow image of an accepted mode."""
    of_rgb: dict[str, object] = {
        "content": content,
        **{f"style {number}": picture for number, picture in enumerate(style.pictures, start=1)},
        "the style's mask": style.mask,
        "the content's mask": guides.mask,
        "the image to start from": guides.start,
    }
    of_any_mode: dict[str, object] = {"protect": guides.protect, "alpha": guides.alpha}
    for what, picture in {**of_rgb, **of_any_mode}.items():
        if picture is None:
            continue
        if not isinstance(picture, Image.Image):
            raise ShapeError(f"{what}: expected an image of Pillow's, got {type(picture).__name__}")
        if what in of_rgb and picture.mode != "RGB":
            raise ShapeError(f"{what}: expected an image of mode RGB, got {picture.mode}")


@functools.lru_cache(maxsize=1)
def _network(name: str, device: str, precision: PrecisionName) -> Backbone:
    prepare_process(device)
    return load_backbone(find_weights(name), device, precision)

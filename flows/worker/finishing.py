"""A finished pastiche in floats -> the pixel values of its file, what a reader of it sees, and notes for users."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import ImageChops

from flows.worker.inputs import LoadedPair, StyleInputs
from nst_core.geometry.sizes import style_size
from nst_core.images import PictureFile, as_read
from nst_core.images.colour.rgb_space import Floats
from nst_core.images.writing.picture_file import Levels
from nst_core.options.recipes import RECIPES
from nst_core.scene.masks.levels import PURE, SMALLEST_SHARE

Size = tuple[int, int]
"""(width, height) in pixels."""

SAME_SHAPE = 0.05
"""The relative change of shape up to which resizing an image causes no note: sizes are rounded to whole pixels."""

ENLARGED = 1.5
"""The factor up to which enlarging a style image causes no note."""

MOSTLY_PURE = 0.1
"""The share of a mask up to which grey, as along soft edges, causes no note."""

WHITE_PER_GREY = 0.1
"""The least white of a mask, per grey of it, that causes no note: a small area has a soft edge of about its size."""


def file_of(loaded: LoadedPair) -> PictureFile:
    """Return the format of a pair's output file, as its options request it."""
    options = loaded.pair.spec.options
    return PictureFile(
        file_format=options.output_format,
        bit_depth=options.bit_depth,
        jpeg_quality=options.jpeg_quality,
        profile=loaded.content.origin.profile if options.output_profile == "content" else b"",
        dpi=options.dpi,
    )


def levels_of(pastiche: Floats, loaded: LoadedPair) -> Levels:
    """Return the pixel values of a pair's file, with the content's transparency where it is kept.

    Args:
        pastiche: sRGB pixels in [0, 1].
        loaded: the pair.
    """
    alpha: NDArray[np.uint8] | None = None if loaded.content.alpha is None else np.asarray(loaded.content.alpha)
    return file_of(loaded).levels(pastiche, alpha)


def pixels_as_read(levels: Levels, loaded: LoadedPair) -> Floats:
    """Return the sRGB pixels, in [0, 1], that a reader of a pair's file sees."""
    file = file_of(loaded)
    return file.srgb(as_read(levels, file))


def shape_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note for each mask or start image whose shape differs from the content's."""
    return tuple(
        _squeezed(column, image.picture.size, "content", loaded.size)
        for column, image in loaded.others.items()
        if _differ_in_shape(image.picture.size, loaded.size)
    )


def style_notes(loaded: LoadedPair, style: StyleInputs) -> tuple[str, ...]:
    """Return a note for each style image that is enlarged by more than `ENLARGED`, and for a mask of another shape."""
    options = loaded.pair.spec.options
    takes_content_shape = RECIPES[options.recipe].style_takes_content_shape
    advice = "take a larger image" if takes_content_shape else "take a larger image, or a smaller style_scale"
    first, notes = style.first.picture.size, []
    for column, image in style.by_column:
        size = image.picture.size
        if column == "style_mask":
            if _differ_in_shape(size, first):
                notes.append(_squeezed(column, size, "style", first))
            continue
        used = loaded.size if takes_content_shape else style_size(*size, loaded.size, options.style_scale)
        factor = max(used[0] / size[0], used[1] / size[1])
        if factor > ENLARGED:
            notes.append(
                f"{column}: has {size[0]} x {size[1]} px and is enlarged {factor:.1f} times, with strokes as blurred "
                f"as that; {advice}"
            )
    return tuple(notes)


def protect_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note where a mask `protect` is all black, all white, or mostly grey, as a cut-out photograph is."""
    mask = loaded.others.get("protect")
    if mask is None:
        return ()
    light = mask.picture.convert("L")
    levels = (light if mask.alpha is None else ImageChops.multiply(light, mask.alpha)).histogram()
    black, white = PURE
    kept, mixed = sum(levels[white:]) / sum(levels), sum(levels[black + 1 : white]) / sum(levels)
    is_grey = mixed >= SMALLEST_SHARE and kept < WHITE_PER_GREY * mixed
    if is_grey or mixed > max(kept, MOSTLY_PURE):
        return (
            f"protect: {mixed:.0%} of it is grey, where content and paint are mixed, and {kept:.0%} white; a "
            "photograph, even a cut-out one, is no mask: make white what stays, and black the rest",
        )
    if not any(levels[:white]):
        return ("protect: all of it is white, so that nothing is painted",)
    if not any(levels[black + 1 :]):
        return ("protect: all of it is black or transparent, so that all is painted",)
    return ()


def alpha_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note where all of a content is transparent, as after a failed export: its losses of 0 look perfect."""
    alpha = loaded.content.alpha
    if alpha is None or any(alpha.histogram()[PURE[0] + 1 :]):
        return ()
    return ("alpha keep: all of the content is transparent, so that nothing is painted",)


def _differ_in_shape(size: Size, other: Size) -> bool:
    """Return whether two sizes differ in their ratio of width to height by more than `SAME_SHAPE`."""
    return abs(math.log(size[0] * other[1] / (size[1] * other[0]))) > SAME_SHAPE


def _squeezed(column: str, size: Size, target: str, target_size: Size) -> str:
    """Return the note for an image that is squeezed to the shape of the content or the style."""
    squeezed = f"squeezed from {size[0]} x {size[1]} to {target_size[0]} x {target_size[1]}"
    return f"{column}: of another shape than the {target}, {squeezed}"


def loss_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note where the losses and distances are not those of the file's colours."""
    if loaded.pair.spec.options.colors != "luminance":
        return ()
    return ("colors luminance: losses and distances are those of grey images; compare them with such rows alone",)


def profile_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note where the output file could not have the colour profile that the options request."""
    if loaded.pair.spec.options.output_profile == "srgb" or loaded.content.origin.profile:
        return ()
    return (f"output_profile content: the file is in sRGB, as of the content {loaded.content.origin.no_profile}",)

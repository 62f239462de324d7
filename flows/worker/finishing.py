"""A finished pastiche in floats -> the pixel values of its file, what a reader of it sees, and notes for users."""

import math

import numpy as np
from numpy.typing import NDArray

from flows.worker.inputs import LoadedPair, StyleInputs
from nst_core.geometry.sizes import style_size
from nst_core.images import PictureFile, as_read
from nst_core.images.colour.rgb_space import Floats
from nst_core.images.writing.picture_file import Levels

SAME_SHAPE = 0.05
"""The relative change of shape up to which resizing an image causes no note: sizes are rounded to whole pixels."""

ENLARGED = 1.5
"""The factor up to which enlarging a style image causes no note."""


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
    width, height = loaded.size
    apart = {
        column: one.picture.size
        for column, one in loaded.others.items()
        if abs(math.log(one.picture.width * height / (one.picture.height * width))) > SAME_SHAPE
    }
    return tuple(
        f"{column}: of another shape than the content, squeezed from {size[0]} x {size[1]} to {width} x {height}"
        for column, size in apart.items()
    )


def style_notes(loaded: LoadedPair, style: StyleInputs) -> tuple[str, ...]:
    """Return a note for each style image that is enlarged by more than `ENLARGED`."""
    scale = loaded.pair.spec.options.style_scale
    sizes = {column: one.picture.size for column, one in style.by_column if column != "style_mask"}
    enlarged = {
        column: (size, factor)
        for column, size in sizes.items()
        if (factor := max(style_size(*size, loaded.size, scale)) / max(size)) > ENLARGED
    }
    return tuple(
        f"{column}: has {size[0]} x {size[1]} px and is enlarged {factor:.1f} times, with strokes as blurred as that; "
        "take a larger picture, or a smaller style_scale"
        for column, (size, factor) in enlarged.items()
    )


def profile_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """Return a note where the output file could not have the colour profile that the options request."""
    if loaded.pair.spec.options.output_profile == "srgb" or loaded.content.origin.profile:
        return ()
    return (f"output_profile content: the file is in sRGB, as of the content {loaded.content.origin.no_profile}",)

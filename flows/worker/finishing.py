"""A finished pastiche in floats -> the values that its file will hold, and what a reader of the file sees of them."""

import math

import numpy as np
from numpy.typing import NDArray

from flows.worker.inputs import LoadedPair, StyleInputs
from nst_core.geometry.sizes import style_size
from nst_core.images import PictureFile, as_read
from nst_core.images.colour.rgb_space import Floats
from nst_core.images.writing.picture_file import Levels

SAME_SHAPE = 0.05
"""Up to this part of its width or height a picture may be squeezed without a word: sizes are whole numbers."""

ENLARGED = 1.5
"""Up to so many times a style may be enlarged without a word."""


def file_of(loaded: LoadedPair) -> PictureFile:
    """The file that a pair's options ask for."""
    options = loaded.pair.spec.options
    return PictureFile(
        file_format=options.output_format,
        bit_depth=options.bit_depth,
        jpeg_quality=options.jpeg_quality,
        profile=loaded.content.origin.profile if options.output_profile == "content" else b"",
        dpi=options.dpi,
    )


def levels_of(pastiche: Floats, loaded: LoadedPair) -> Levels:
    """The values of a pair's file for sRGB pixels in [0, 1], with the content's transparency where that is kept."""
    alpha: NDArray[np.uint8] | None = None if loaded.content.alpha is None else np.asarray(loaded.content.alpha)
    return file_of(loaded).levels(pastiche, alpha)


def seen(levels: Levels, loaded: LoadedPair) -> Floats:
    """The sRGB pixels, in [0, 1], that a reader of the file sees."""
    file = file_of(loaded)
    return file.srgb(as_read(levels, file))


def shape_notes(loaded: LoadedPair) -> tuple[str, ...]:
    """What was brought to the content's shape although it has another one."""
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
    """Which pictures of the style have far fewer pixels than they are used with."""
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


def notes_of(loaded: LoadedPair) -> tuple[str, ...]:
    """What the user should know of the file."""
    if loaded.pair.spec.options.output_profile == "srgb" or loaded.content.origin.profile:
        return ()
    return (f"output_profile content: the file is in sRGB, as of the content {loaded.content.origin.no_profile}",)

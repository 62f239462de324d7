"""Bytes -> 8-bit sRGB pictures, and pictures -> bytes for screen, print and film. Knows nothing of storage or tensors.

What a phone, camera, scanner, archive, renderer, browser or paint program writes comes out as an upright 8-bit sRGB
picture, or as a `BadImage` that says why not. Limits are checked on the header, before any pixel is decoded.

From the top down; each room imports only what stands below it, and neither of the first two the other:

    reading/   the bytes of a file -> a picture that is ready to use; a large one piece by piece
    writing/   a picture -> the bytes of its file
    colour/    what the values of a file mean: alpha, 16 bits, profiles -> sRGB, and back
    files/     what files are made of and how they begin, told without a pixel being decoded
    refusals   the limits, and the words in which a picture is refused
    scale      a picture at another size

Another format is a line in `files/formats`, and where its structure can be made to cost time, a file beside
`files/png`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst_core.images.files.formats import FORMATS
from nst_core.images.reading.decode import DecodedImage, decode_image
from nst_core.images.reading.origin import Origin
from nst_core.images.refusals import MAX_BYTES, MAX_PIXELS, MAX_RATIO, MIN_SIDE_PX
from nst_core.images.scale import resize

if TYPE_CHECKING:
    from nst_core.images.writing.encode import as_read, encode_image, read_metadata
    from nst_core.images.writing.picture_file import PictureFile

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MIN_SIDE_PX",
    "DecodedImage",
    "Origin",
    "PictureFile",
    "as_read",
    "decode_image",
    "encode_image",
    "read_metadata",
    "resize",
]

_WITH_NUMPY = {
    "as_read": "writing.encode",
    "encode_image": "writing.encode",
    "read_metadata": "writing.encode",
    "PictureFile": "writing.picture_file",
}
"""Name -> its file. Loaded when asked for: a process that only decodes starts in half the time without."""


def __getattr__(name: str) -> Any:
    """A name of the files that take numpy."""
    if name not in _WITH_NUMPY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_NUMPY[name]}"), name)

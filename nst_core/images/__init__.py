"""Image decoding to 8-bit sRGB, and encoding for screen, print and film. Knows nothing of storage or tensors.

The files that phones, cameras, scanners, archives, renderers, browsers and paint programs write are decoded to upright
8-bit sRGB images, or refused with a `BadImage` that says why. Limits are checked on the header, before any pixel is
decoded.

The subpackages and modules form layers: each imports only from the ones below it, and `reading` and `writing` do not
import each other:

    reading/   the bytes of a file -> a decoded image; a large one piece by piece
    writing/   an image -> the bytes of its file
    colour/    colour conversion: alpha, 16 bits and colour profiles -> sRGB, and back
    files/     file formats: their signatures and structure, examined without decoding a pixel
    refusals   the limits, and the errors for images that exceed them
    scale      resizing

Another format is a line in `files/formats` and, if its structure can be crafted to take long to parse, a module next to
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
"""Name -> its module. Imported on first use: a process that only decodes starts in half the time without numpy."""


def __getattr__(name: str) -> Any:
    """Import a name from the modules that need numpy, on first use."""
    if name not in _WITH_NUMPY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_NUMPY[name]}"), name)

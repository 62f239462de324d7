"""Bytes -> 8-bit sRGB pictures, and pictures -> bytes for screen, print and film. Knows nothing of storage or tensors.

What a phone, camera, scanner, archive, renderer, browser or paint program writes comes out as an upright 8-bit sRGB
picture, or as a `BadImage` that says why not. Limits are checked on the header, before any pixel is decoded.

    decode     bytes -> a picture that is ready to use
    lean       a file without what says nothing about its pixels, its structure judged: `png`, `jpeg`, `gif`, `tiff`
    parts      how many parts a file may have
    formats    which formats are read; what bytes are that are none of them
    refusals   the limits, and the words in which a picture is refused
  a large picture, reduced while it is decoded
    reduction  by how much, and whether it fits the memory
    pieces     a picture in pieces from the top down: `png_bands`, `tiff_bands`, `jpeg2000`, `unpacking`
    canvas     pieces, reduced and put below each other
  colours
    colour     alpha, 16 bits and colour profiles -> RGB, sRGB
    colour_of  what a file says of its colours, as a profile: `boxes`, `colour_numbers`
    deep       colour of 16 bits
    float_tiff floating point numbers -> 16 bits
    profiles   a colour profile without what takes minutes
    rgb_space  what a profile of primaries and curves means: sRGB -> its values and back
  what goes on
    credits    who made a picture, from its EXIF
    origin     that and its profile, of a file that was decoded
    picture_file  how a picture is kept: format, bits, colour space -> the values that the file holds
    encode     those -> bytes, with metadata; and the metadata back
    deep_png   a PNG of 16 bits, which Pillow does not write
    scale      a picture at another size

Another format is a line in `formats`, and where its structure can be made to cost time, a file beside `png`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst_core.images.decode import DecodedImage, decode_image
from nst_core.images.formats import FORMATS
from nst_core.images.origin import Origin
from nst_core.images.refusals import MAX_BYTES, MAX_PIXELS, MAX_RATIO, MIN_SIDE_PX
from nst_core.images.scale import resize

if TYPE_CHECKING:
    from nst_core.images.encode import as_read, encode_image, read_metadata
    from nst_core.images.picture_file import PictureFile

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

_WITH_NUMPY = {"as_read": "encode", "encode_image": "encode", "read_metadata": "encode", "PictureFile": "picture_file"}
"""Name -> its file. Loaded when asked for: a process that only decodes starts in half the time without."""


def __getattr__(name: str) -> Any:
    """A name of the files that take numpy."""
    if name not in _WITH_NUMPY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_NUMPY[name]}"), name)

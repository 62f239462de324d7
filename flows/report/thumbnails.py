"""Make thumbnails of originals and pastiches, a few at a time, so that memory does not grow with the run.

An image that is missing or unreadable is replaced by the reason, and never fails the page.
"""

import base64
import io
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from flows import storage
from flows.decoding.decoder_pool import decode
from flows.decoding.decoder_process import WantedPicture
from flows.decoding.image_bytes import picture_bytes
from flows.errors import InputChanged, NotAllowed, NotFound
from flows.limits import Limits
from nst_core.errors import BadImage, NstError
from nst_core.images import MAX_BYTES, MAX_PIXELS

READERS = 8
"""The number of files read concurrently, as remote storage has a high latency."""
_DECODERS = threading.BoundedSemaphore(2)
"""Limits how many images are decoded concurrently: one of the largest allowed takes about 300 MB."""
QUALITY = 70
"""The WebP quality of a thumbnail."""


@dataclass(frozen=True)
class Wanted:
    """An image to make a thumbnail of.

    Attributes:
        address: the address of the image.
        edge_px: the longest edge of the thumbnail in pixels.
        sha256: the hash of the file if known, else empty; an existing thumbnail of the same file can then be reused.
        is_pastiche: whether a run has written the image, so that it may be read where outputs may be.
    """

    address: str
    edge_px: int
    sha256: str = ""
    is_pastiche: bool = False


@dataclass(frozen=True)
class Thumbnail:
    """The bytes of a thumbnail in WebP, and its size in pixels."""

    data: bytes
    width: int
    height: int

    def as_uri(self) -> str:
        """Return the thumbnail as a data URI, to embed it in a page."""
        return f"data:image/webp;base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Shown:
    """A thumbnail as a page refers to it.

    Attributes:
        source: the URI of the thumbnail.
        width, height: its size in pixels.
        missing: why there is no thumbnail; empty if there is one.
    """

    source: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


Keep = Callable[[str, Thumbnail], str]
"""Stores a thumbnail, given its key, and returns the URI that the page uses for it."""


def small_pictures(wanted: Mapping[str, Wanted], keep: Keep, limits: Limits) -> dict[str, Shown]:
    """Make the thumbnails of images and store each with `keep` as soon as it is made; return them by key."""

    def shown(key: str) -> Shown:
        try:
            picture = small_picture(wanted[key], limits)
        except NstError as error:
            return Shown(missing=why_missing(error))
        thumbnail = encoded(picture)
        return Shown(keep(key, thumbnail), thumbnail.width, thumbnail.height)

    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(wanted, pool.map(shown, wanted), strict=True))


def small_picture(wanted: Wanted, limits: Limits) -> Image.Image:
    """Read an image, upright and in sRGB, shrunk to the wanted size.

    Raises:
        StorageError: the file cannot be read, or the operator's limits do not allow it.
        InputChanged: the file has another hash than expected.
        BadImage: the file is not a usable image.
        TookTooLong, WorkerDied: decoding failed for another reason than the file.
    """
    limits.check_readable(wanted.address, is_ours=wanted.is_pastiche)
    within = limits.readable_by_runs if wanted.is_pastiche else limits.readable
    as_wanted = WantedPicture("thumbnail", 2 * wanted.edge_px, most_pixels=limits.max_image_pixels or MAX_PIXELS)
    with picture_bytes(wanted.address, limits.max_image_bytes or MAX_BYTES, within) as file, _DECODERS:
        if wanted.sha256 and file.sha256 != wanted.sha256:
            raise InputChanged(f"{wanted.address}: is another file than the run had")
        picture = decode(file.data, storage.name_of(wanted.address), as_wanted).picture
        picture.thumbnail((wanted.edge_px, wanted.edge_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return picture


def encoded(picture: Image.Image) -> Thumbnail:
    """Encode a small image as a thumbnail."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=2)
    return Thumbnail(buffer.getvalue(), *picture.size)


def why_missing(error: Exception) -> str:
    """Return a short reason that does not disclose addresses of the machine on which the page is written."""
    if isinstance(error, NotFound):
        return "the file is not there"
    if isinstance(error, InputChanged):
        return "the file is another one by now"
    if isinstance(error, NotAllowed):
        return "the operator's limits keep it closed"
    return "not a readable image" if isinstance(error, BadImage) else "the file could not be read"

"""Originals and pastiches -> small pictures, a few at a time: memory does not grow with the run.

A picture that is missing or unreadable costs its own thumbnail and a reason, never the page.
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
"""Files read at a time: storage far away waits more than it works."""
_DECODERS = threading.BoundedSemaphore(2)
"""Pictures decoded at a time: one of the largest that are allowed takes some 300 MB."""
QUALITY = 70


@dataclass(frozen=True)
class Wanted:
    """A picture to make small.

    Attributes:
        address: where it is.
        edge_px: how long its long edge may be.
        sha256: of the file, where that is known; a small picture made of the same file before is then taken again.
        is_pastiche: whether a run has written it, and so where outputs lie.
    """

    address: str
    edge_px: int
    sha256: str = ""
    is_pastiche: bool = False


@dataclass(frozen=True)
class Thumbnail:
    """A small WebP."""

    data: bytes
    width: int
    height: int

    def as_uri(self) -> str:
        """Its bytes as an address, for a page that stands alone."""
        return f"data:image/webp;base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Shown:
    """A small picture as a page refers to it, or why there is none."""

    source: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


Keep = Callable[[str, Thumbnail], str]
"""(key, thumbnail) -> the address that a page shows it by."""


def small_pictures(wanted: Mapping[str, Wanted], keep: Keep, limits: Limits) -> dict[str, Shown]:
    """Key -> a small picture, each kept as soon as it is made."""

    def shown(key: str) -> Shown:
        try:
            picture = small_picture(wanted[key], limits)
        except NstError as error:
            return Shown(missing=why_missing(error))
        made = encoded(picture)
        return Shown(keep(key, made), made.width, made.height)

    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(wanted, pool.map(shown, wanted), strict=True))


def small_picture(wanted: Wanted, limits: Limits) -> Image.Image:
    """A picture, upright, sRGB, no larger than wanted.

    Raises:
        StorageError: it cannot be read, or the operator's limits keep it closed.
        InputChanged: it is another file by now.
        BadImage: it is no usable picture.
        TookTooLong, WorkerDied: it could not be decoded, through no fault of its own.
    """
    limits.check_readable(wanted.address, is_ours=wanted.is_pastiche)
    within = limits.readable_of_ours if wanted.is_pastiche else limits.readable
    as_wanted = WantedPicture("thumbnail", 2 * wanted.edge_px, most_pixels=limits.max_image_pixels or MAX_PIXELS)
    with picture_bytes(wanted.address, limits.max_image_bytes or MAX_BYTES, within) as file, _DECODERS:
        if wanted.sha256 and file.sha256 != wanted.sha256:
            raise InputChanged(f"{wanted.address}: is another file than the run had")
        picture = decode(file.data, storage.name_of(wanted.address), as_wanted).picture
        picture.thumbnail((wanted.edge_px, wanted.edge_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return picture


def encoded(picture: Image.Image) -> Thumbnail:
    """The file of a small picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=2)
    return Thumbnail(buffer.getvalue(), *picture.size)


def why_missing(error: Exception) -> str:
    """A few words, without addresses of the machine that made the page."""
    if isinstance(error, NotFound):
        return "the file is not there any more"
    if isinstance(error, InputChanged):
        return "the file is another one by now"
    if isinstance(error, NotAllowed):
        return "the operator's limits keep it closed"
    return "not a readable picture" if isinstance(error, BadImage) else "the file could not be read"

"""The decoder subprocess: decodes one image after the other, each within a CPU time limit and a memory limit.

`flows.decoding.decoder` starts it as a program of its own. An image may be crafted to block its decoder, so the kernel
kills the process when an image takes too long. The process exits by itself when its parent is gone.
"""

import fcntl
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, Literal

from PIL import Image

from nst_core.errors import BadImage
from nst_core.geometry.sizes import pastiche_size
from nst_core.images import MAX_PIXELS, DecodedImage, Origin, decode_image, resize
from nst_core.images.files.credits import Credits
from nst_core.images.reading.reduction import WHOLE_PIXELS
from nst_core.images.refusals import too_costly

_STRIP_BYTES = 1_000_000
"""About how many bytes of pixels are sent at a time, so that one process packs while the other unpacks."""


Purpose = Literal["whole", "thumbnail", "style", "pastiche", "mask"]
"""What an image is needed for: see `WantedPicture`."""


@dataclass(frozen=True)
class WantedPicture:
    """What an image is needed for, which determines the size at which it is returned.

    Attributes:
        purpose: `whole` returns the image at its own size. `thumbnail` may reduce it, but to no less than `edge_px` a
            side. `style` may reduce a very large one, but to no less than `edge_px` on its long edge. `pastiche`
            returns it at the size of a pastiche with that long edge. `mask` does the same, where each pixel is the
            mean of the area that it covers.
        edge_px: the length of an edge in pixels, see `purpose`; None only for a whole image.
        enlarge: whether a pastiche or mask is enlarged to `edge_px`.
        keep_alpha: see `nst_core.images.decode_image`.
        most_pixels: see `nst_core.images.decode_image`.
    """

    purpose: Purpose = "whole"
    edge_px: int | None = None
    enlarge: bool = False
    keep_alpha: bool = False
    most_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Bounds:
    """The time and memory limits for decoding one image.

    Attributes:
        seconds: the CPU time in seconds, multiplied for an image of more than `WHOLE_PIXELS`. It is not wall-clock
            time, which passes while other processes use the cores.
        memory_bytes: the memory in bytes beyond what the process had before, including the image file.
    """

    seconds: float
    memory_bytes: int


def main() -> None:
    """Serve requests from stdin on stdout.

    A request is a line of JSON and the bytes of a file; the response is a line of JSON and the pixels.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent decides what Ctrl-C means
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # warnings of Pillow: the notes hold what matters in them
    requests, responses = os.fdopen(_copy_of(0), "rb"), os.fdopen(_copy_of(1), "wb")
    if sys.stderr is not None:  # it is None if this process was started with a closed stderr
        sys.stderr = os.fdopen(_copy_of(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # libtiff prints warnings, which belong neither in a response nor on a user's terminal
        os.dup2(nothing, descriptor)
    try:
        while line := requests.readline():
            request = json.loads(line)
            data = requests.read(request["bytes"])
            if not _respond(responses, data, WantedPicture(**request["wanted"]), Bounds(**request["bounds"])):
                return
    except BrokenPipeError:
        os._exit(0)  # skips the flush at exit, which would print an error about a response that nobody reads


def _copy_of(descriptor: int) -> int:
    """Duplicate a file descriptor to a number above those of the standard streams, which may be closed."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def request_line(data: bytes, wanted: WantedPicture, bounds: Bounds) -> bytes:
    """Return the line of JSON that precedes the bytes of a file in a request."""
    request = {"bytes": len(data), "wanted": asdict(wanted), "bounds": asdict(bounds)}
    return json.dumps(request).encode() + b"\n"


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes (left, upper, right, lower) of horizontal strips that cover an image, from the top down."""
    width, height = size
    rows = max(1, _STRIP_BYTES // (3 * width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def origin_from_json(origin: dict[str, Any]) -> Origin:
    """Rebuild an `Origin` from the JSON of a response."""
    return Origin(bytes.fromhex(origin["profile"]), origin["no_profile"], Credits(**origin["credit"]))


def _respond(responses: BinaryIO, data: bytes, wanted: WantedPicture, bounds: Bounds) -> bool:
    """Respond to one request, and return whether the process can serve another one."""
    try:
        with _within(bounds, len(data)):
            decoded = _decoded(data, wanted, bounds)
    except BadImage as error:
        _send_line(responses, refused=[error.reason, error.message])
        return True
    except MemoryError:  # it may have been raised anywhere, so the state of this process is not to be trusted
        limit = f"an image that is decoded in {bounds.memory_bytes / 1e9:g} GB of memory"
        refusal = too_costly("", limit, "one that takes more")
        _send_line(responses, refused=[refusal.reason, refusal.message])
        return False
    picture, alpha = decoded.picture, decoded.alpha
    origin = asdict(decoded.origin) | {"profile": decoded.origin.profile.hex()}
    _send_line(responses, size=picture.size, notes=decoded.notes, has_alpha=alpha is not None, origin=origin)
    for image in (picture, alpha) if alpha else (picture,):
        responses.writelines(image.crop(box).tobytes() for box in strips(image.size))
    responses.flush()
    return True


def _decoded(data: bytes, wanted: WantedPicture, bounds: Bounds) -> DecodedImage:
    decoded = decode_image(
        data,
        "",
        enough_px=wanted.edge_px if wanted.purpose == "thumbnail" else None,
        needed_px=wanted.edge_px,
        keep_alpha=wanted.keep_alpha,
        most_pixels=wanted.most_pixels,
        on_size=lambda size: _set_clock(bounds.seconds * max(1.0, size[0] * size[1] / WHOLE_PIXELS)),
    )
    if wanted.edge_px is None or wanted.purpose not in ("pastiche", "mask"):
        return decoded
    size = pastiche_size(*decoded.size, wanted.edge_px, enlarge=wanted.enlarge)
    by_area, alpha = wanted.purpose == "mask", decoded.alpha
    if alpha is not None:
        # Not by the Lanczos filter, which leaves waves next to hard edges.
        is_enlarged = size[0] > (alpha.width if decoded.box is None else decoded.box[2] - decoded.box[0])
        smooth = is_enlarged and not by_area
        alpha = alpha.resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.BOX, decoded.box)
    return replace(decoded, picture=resize(decoded.picture, *size, decoded.box, by_area=by_area), alpha=alpha)


def _send_line(responses: BinaryIO, **response: Any) -> None:
    responses.write(json.dumps(response).encode() + b"\n")
    responses.flush()


@contextmanager
def _within(bounds: Bounds, file_bytes: int) -> Iterator[None]:
    """Limit the time and memory of one image; when the time is over, SIGPROF ends the process wherever it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):  # only Linux has /proc/self/statm; elsewhere only the time is limited
        resource.setrlimit(resource.RLIMIT_AS, (_used_bytes() - file_bytes + bounds.memory_bytes, hard))
    _set_clock(bounds.seconds)
    try:
        yield
    finally:
        _set_clock(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _set_clock(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _used_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

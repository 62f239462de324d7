"""A decoding process from the inside: one picture after the other, each in a time and memory of its own.

A program of its own, started by `flows.decoding.decoder`. An image may be crafted to block whoever decodes it, so the
kernel ends the process where one takes too long. It ends by itself when there is nobody left to ask it.
"""

import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Literal

from nst_core.errors import BadImage
from nst_core.geometry.sizes import pastiche_size
from nst_core.images import MAX_PIXELS, DecodedImage, Origin, decode_image, resize
from nst_core.images.files.credits import Credits
from nst_core.images.reading.reduction import WHOLE_PIXELS
from nst_core.images.refusals import too_costly

_STRIP_BYTES = 1_000_000
"""Of pixels that are handed over at a time, so that one process packs while the other unpacks."""


Purpose = Literal["whole", "thumbnail", "style", "pastiche", "mask"]


@dataclass(frozen=True)
class WantedPicture:
    """What a picture is wanted for, which decides the size that it comes at.

    Attributes:
        purpose: `whole`: at its own size. `thumbnail`: perhaps smaller, but with at least `edge_px` a side. `style`: a
            very large one perhaps smaller, but with at least `edge_px` on its long edge. `pastiche`: at the size of a
            pastiche of that long edge. `mask`: the same, each pixel the mean of the area that it stands for.
        edge_px: see `purpose`; None for a whole picture alone.
        enlarge: whether a pastiche or mask is enlarged to `edge_px`.
        keep_alpha, most_pixels: see `nst_core.images.decode_image`.
    """

    purpose: Purpose = "whole"
    edge_px: int | None = None
    enlarge: bool = False
    keep_alpha: bool = False
    most_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Bounds:
    """What a picture may take.

    Attributes:
        seconds: of computing, not of the clock, which goes on while others have the cores; as many again for each
            `WHOLE_PIXELS`.
        memory_bytes: that the process did not have before, its file included.
    """

    seconds: float
    memory_bytes: int


def main() -> None:
    """Answer questions, each a line of JSON and the bytes of a file, by a line of JSON and pixels."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C only the parent decides what it means
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # Pillow's: what matters in them is in the notes
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stderr = os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for printed in (1, 2):  # what libtiff thinks of a picture is no answer, and no line for a user's terminal
        os.dup2(nothing, printed)
    try:
        while line := asked.readline():
            question = json.loads(line)
            data = asked.read(question["bytes"])
            if not _answer(told, data, WantedPicture(**question["wanted"]), Bounds(**question["bounds"])):
                return
    except BrokenPipeError:
        os._exit(0)  # without a word about the rest of an answer that nobody waits for


def question_of(data: bytes, wanted: WantedPicture, bounds: Bounds) -> bytes:
    """The line that goes before the bytes of a file."""
    question = {"bytes": len(data), "wanted": asdict(wanted), "bounds": asdict(bounds)}
    return json.dumps(question).encode() + b"\n"


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that make up a picture, from the top down."""
    width, height = size
    rows = max(1, _STRIP_BYTES // (3 * width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def origin_told(origin: dict[str, Any]) -> Origin:
    """What `asdict` made of an origin and JSON of that, undone."""
    return Origin(bytes.fromhex(origin["profile"]), origin["no_profile"], Credits(**origin["credit"]))


def _answer(told: BinaryIO, data: bytes, wanted: WantedPicture, bounds: Bounds) -> bool:
    """Answer a question; whether the process is fit for another one."""
    try:
        with _within(bounds, len(data)):
            decoded = _decoded(data, wanted, bounds)
    except BadImage as error:
        _tell(told, refused=[error.reason, error.message])
        return True
    except MemoryError:  # which may have come in the middle of anything
        limit = f"a picture that is decoded in {bounds.memory_bytes / 1e9:g} GB of memory"
        refusal = too_costly("", limit, "one that takes more")
        _tell(told, refused=[refusal.reason, refusal.message])
        return False
    picture, alpha = decoded.picture, decoded.alpha
    origin = asdict(decoded.origin) | {"profile": decoded.origin.profile.hex()}
    _tell(told, size=picture.size, notes=decoded.notes, has_alpha=alpha is not None, origin=origin)
    for one in (picture, alpha) if alpha else (picture,):
        told.writelines(one.crop(box).tobytes() for box in strips(one.size))
    told.flush()
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
    at_size = partial(resize, width=size[0], height=size[1], box=decoded.box, by_area=wanted.purpose == "mask")
    return replace(decoded, picture=at_size(decoded.picture), alpha=decoded.alpha and at_size(decoded.alpha))


def _tell(told: BinaryIO, **answer: Any) -> None:
    told.write(json.dumps(answer).encode() + b"\n")
    told.flush()


@contextmanager
def _within(bounds: Bounds, file_bytes: int) -> Iterator[None]:
    """A picture's time and memory: the signal that its time is over ends the process, wherever it is."""
    most, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):  # only Linux tells; elsewhere the time alone is bounded
        resource.setrlimit(resource.RLIMIT_AS, (_used_bytes() - file_bytes + bounds.memory_bytes, hard))
    _set_clock(bounds.seconds)
    try:
        yield
    finally:
        _set_clock(0)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _set_clock(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _used_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

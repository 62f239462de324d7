"""A decoding process from the inside: one picture after the other, each in a time and memory of its own.

A program of its own, started by `flows.worker.decoder`. What it decodes may be made to hold whoever decodes it, so the
kernel ends it where a picture takes too long. It ends by itself when there is nobody left to ask it.
"""

import json
import os
import resource
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from PIL import Image

from nst_core.errors import BadImage
from nst_core.images import MAX_PIXELS, decode_image, resize
from nst_core.images.refusals import too_costly
from nst_core.sizes import pastiche_size

SECONDS = 10
"""Of computing, not of the clock, which goes on while others have the cores. A photograph takes a tenth of one, the
largest picture that is allowed some two."""
MEMORY_BYTES = 1_500_000_000
"""Beside the pixels themselves: a picture with alpha and a profile is held in several copies for a while."""
_PIXEL_BYTES = 4

_STRIP_BYTES = 1_000_000
"""Of pixels that are handed over at a time, so that one process packs while the other unpacks."""


@dataclass(frozen=True)
class WantedSize:
    """How large a picture is wanted: as it is, or smaller.

    Attributes:
        enough_px: see `nst_core.images.decode_image`.
        size_px: the long edge of the pastiche that it is to have the size of.
        enlarge: whether it may be enlarged to that.
    """

    enough_px: int | None = None
    size_px: int | None = None
    enlarge: bool = False


def main() -> None:
    """Answer questions, each a line of JSON and the bytes of a file, by a line of JSON and pixels."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C only the parent decides what it means
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    warnings.simplefilter("ignore")  # Pillow's: what matters in them is in the notes
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with suppress(BrokenPipeError):
        while line := asked.readline():
            question = json.loads(line)
            data = asked.read(question.pop("bytes"))
            if not _answer(told, data, WantedSize(**question)):
                return


def question_of(data: bytes, wanted: WantedSize) -> bytes:
    """The line that goes before the bytes of a file."""
    return json.dumps({"bytes": len(data), **asdict(wanted)}).encode() + b"\n"


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that make up a picture, from the top down."""
    width, height = size
    rows = max(1, _STRIP_BYTES // (3 * width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def _answer(told: BinaryIO, data: bytes, wanted: WantedSize) -> bool:
    """Answer a question; whether the process is fit for another one."""
    try:
        with _bounded():
            picture, notes = _decoded(data, wanted)
    except BadImage as error:
        _tell(told, refused=[error.reason, error.message])
        return True
    except MemoryError:  # which may have come in the middle of anything
        limit = f"a picture that is decoded in {MEMORY_BYTES / 1e9:g} GB of memory beside its pixels"
        refusal = too_costly("", limit, "one that takes more")
        _tell(told, refused=[refusal.reason, refusal.message])
        return False
    _tell(told, size=picture.size, notes=notes)
    told.writelines(picture.crop(box).tobytes() for box in strips(picture.size))
    told.flush()
    return True


def _decoded(data: bytes, wanted: WantedSize) -> tuple[Image.Image, tuple[str, ...]]:
    decoded = decode_image(data, "", enough_px=wanted.enough_px)
    if wanted.size_px is None:
        return decoded.picture, decoded.notes
    size = pastiche_size(*decoded.picture.size, wanted.size_px, enlarge=wanted.enlarge)
    return resize(decoded.picture, *size), decoded.notes


def _tell(told: BinaryIO, **answer: Any) -> None:
    told.write(json.dumps(answer).encode() + b"\n")
    told.flush()


@contextmanager
def _bounded() -> Iterator[None]:
    """A picture's time and memory: the signal that its time is over ends the process, wherever it is."""
    most, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError):  # only Linux tells; elsewhere the time alone is bounded
        bound = _used_bytes() + MEMORY_BYTES + _PIXEL_BYTES * MAX_PIXELS
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _used_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

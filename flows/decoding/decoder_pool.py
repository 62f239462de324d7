"""A pool of decoder subprocesses, in which an untrusted image can neither block nor crash this process."""

import atexit
import functools
import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.decoding.decoder import BOUNDS, CLOCK_SECONDS, Decoder, DecoderDied
from flows.decoding.decoder_process import WantedPicture
from flows.errors import TookTooLong, WorkerDied
from nst_core.images import DecodedImage
from nst_core.images.reading.reduction import WHOLE_PIXELS
from nst_core.images.refusals import damaged, too_costly

PATIENCE_SECONDS = 0.5
"""How long an image waits for an idle process before a spare process is started for it. Small images never need the
spare one, and an image that uses up its whole time limit does not hold up the others."""

AS_IT_IS = WantedPicture()
"""Requests the whole image at its own size."""

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def _new_decoder() -> Decoder:
    decoder = Decoder()
    atexit.register(decoder.end)  # if this process is killed instead, the decoder reads end of file and exits
    return decoder


_ready: "queue.LifoQueue[Decoder]" = queue.LifoQueue()
_spare: "queue.LifoQueue[Decoder]" = queue.LifoQueue()
for _decoders in (_ready, _spare):
    _decoders.put(_new_decoder())


@functools.cache
def side_by_side(processes: int) -> None:
    """Let up to `processes` images be decoded at once from now on; each process starts when the others are busy.

    Used with a GPU, which consumes images faster than one process decodes them and leaves the CPU cores free to decode.
    """
    for _ in range(processes - 1):
        _ready.put(_new_decoder())


def get_ready() -> None:
    """Start a process for the first image without waiting for it; if that fails, the first `decode` reports it."""
    with suppress(queue.Empty, WorkerDied):
        decoder = _ready.get_nowait()
        try:
            decoder.start()
        finally:
            _ready.put(decoder)


def decode(data: bytes, name: str, wanted: WantedPicture = AS_IT_IS) -> DecodedImage:
    """Decode an image as `nst_core.images.decode_image` does, at the size that `wanted` requests.

    Args:
        data: the bytes of the image file.
        name: the name of the image in error messages.
        wanted: what the image is needed for.

    Raises:
        BadImage: if `data` is no image, or decoding it takes more time or memory than the limits allow.
        TookTooLong: if the machine gave the process too little CPU time, which is no fault of the image.
        WorkerDied: if no process could be started, or two were killed, which is no fault of the image.
    """
    with _lent() as decoder:
        try:
            return decoder.decode(data, name, wanted)
        except DecoderDied as death:
            if _is_over_time(death):
                raise _error_of(name, death) from death
        try:  # a second attempt, as the previous image or another program may have ended the process
            return decoder.decode(data, name, wanted)
        except DecoderDied as death:
            raise _error_of(name, death) from death


@contextmanager
def _lent() -> Iterator[Decoder]:
    decoder = _idle()
    try:
        yield decoder
    finally:
        _ready.put(decoder)


def _idle() -> Decoder:
    with suppress(queue.Empty):
        return _ready.get(timeout=PATIENCE_SECONDS)
    with suppress(queue.Empty):
        return _spare.get_nowait()
    return _ready.get()


def _is_over_time(death: DecoderDied) -> bool:
    return death.code == -signal.SIGPROF


def _error_of(name: str, death: DecoderDied) -> Exception:
    """Return the error for an image that used up its CPU time, or during which two processes died."""
    if _is_over_time(death):
        limit = f"an image that is decoded in {BOUNDS.seconds:g} seconds for each {WHOLE_PIXELS / 1e6:g} megapixels"
        return too_costly(name, limit, "one that takes longer")
    if death.is_overdue:
        return TookTooLong(f"{name}: not decoded in {CLOCK_SECONDS:g} seconds, of which the machine gave it too few")
    how = signal.Signals(-death.code).name if death.code < 0 else f"exit code {death.code}"
    if -death.code in _CRASHES:
        return damaged(name, "image", RuntimeError(f"the decoder crashes with {how}"))
    return WorkerDied(f"{name}: the process that decodes it ended twice, with {how}; there may be too little memory")

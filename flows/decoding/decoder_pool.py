"""A picture that was handed in, decoded where it can hold or kill nobody: in a process beside this one."""

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
"""How long a picture waits for those before it, until a second process is started for it: small pictures never need
one, and one picture that takes all its time does not hold up the others."""

AS_IT_IS = WantedPicture()

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def _one_more() -> Decoder:
    decoder = Decoder()
    atexit.register(decoder.end)  # where this process is killed instead, the other one finds its questions at an end
    return decoder


_ready: "queue.LifoQueue[Decoder]" = queue.LifoQueue()
_spare: "queue.LifoQueue[Decoder]" = queue.LifoQueue()
for _decoders in (_ready, _spare):
    _decoders.put(_one_more())


@functools.cache
def side_by_side(processes: int) -> None:
    """From now on let so many pictures be decoded at once, each process started when those before it are busy.

    For a GPU, which takes pictures faster than one process decodes them, and leaves the cores free to do it.
    """
    for _ in range(processes - 1):
        _ready.put(_one_more())


def get_ready() -> None:
    """Have a process on its way, beside other work, to the first picture; if there can be none, that one says so."""
    with suppress(queue.Empty, WorkerDied):
        decoder = _ready.get_nowait()
        try:
            decoder.start()
        finally:
            _ready.put(decoder)


def decode(data: bytes, name: str, wanted: WantedPicture = AS_IT_IS) -> DecodedImage:
    """The picture in `data`, as `nst_core.images.decode_image` makes it, at the size that is wanted.

    Raises:
        BadImage: it is none, or takes more time or memory than a picture may.
        TookTooLong, WorkerDied: the process was held up or killed twice, which is no fault of the picture.
    """
    with _lent() as decoder:
        try:
            return decoder.decode(data, name, wanted)
        except DecoderDied as ended:
            if _is_over_time(ended):
                raise _blamed(name, ended) from ended
        try:  # once more: the picture before it, or somebody else, may have ended the process
            return decoder.decode(data, name, wanted)
        except DecoderDied as ended:
            raise _blamed(name, ended) from ended


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


def _is_over_time(ended: DecoderDied) -> bool:
    return ended.code == -signal.SIGPROF


def _blamed(name: str, ended: DecoderDied) -> Exception:
    """The error of a picture that was too slow, or over which two processes have died."""
    if _is_over_time(ended):
        limit = f"a picture that is decoded in {BOUNDS.seconds:g} seconds for each {WHOLE_PIXELS / 1e6:g} megapixels"
        return too_costly(name, limit, "one that takes longer")
    if ended.is_overdue:
        return TookTooLong(f"{name}: not decoded in {CLOCK_SECONDS:g} seconds, of which the machine gave it too few")
    how = signal.Signals(-ended.code).name if ended.code < 0 else f"exit code {ended.code}"
    if -ended.code in _CRASHES:
        return damaged(name, "picture", RuntimeError(f"the decoder crashes with {how}"))
    return WorkerDied(f"{name}: the process that decodes it ended twice, with {how}; there may be too little memory")

"""A process that decodes a picture at a time and can be killed alone, as its starter sees it."""

import json
import os
import subprocess
import threading
from contextlib import suppress
from typing import IO, Any

from PIL import Image

from flows import interpreter
from flows.decoding.decoder_process import Bounds, WantedPicture, origin_told, question_of, strips
from flows.errors import WorkerDied
from nst_core.errors import BadImage
from nst_core.images import DecodedImage
from nst_core.images.reading.reduction import MEMORY_BYTES

BOUNDS = Bounds(seconds=10, memory_bytes=MEMORY_BYTES)
"""A photograph takes a tenth of a second, 50 megapixels some two. Copies that are held for a while of a picture with
alpha and a profile take most of the memory."""

CLOCK_SECONDS = 240.0
"""After which a process is given up that has not even used up a picture's time: it was stopped, or got no core."""

FAREWELL_SECONDS = 2.0
"""How long a process that answers no more may take to end by itself."""

_PROGRAM = "from flows.decoding.decoder_process import main; main()"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Threads would take memory and do nothing; those of a decoder share what is set aside for small pieces."""


class DecoderDied(Exception):
    """The process is gone, and with it the answer.

    Attributes:
        code: as `subprocess.Popen.returncode`.
        is_overdue: whether it was we who killed it.
    """

    def __init__(self, code: int, *, is_overdue: bool) -> None:
        super().__init__(code, is_overdue)
        self.code, self.is_overdue = code, is_overdue


class Decoder:
    """A place for one process, started when it is asked, and again when it has ended; for one thread at a time.

    Args:
        bounds: of each picture.
    """

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Have a process that is on its way, without waiting for it.

        Raises:
            WorkerDied: if the machine has no more processes to give.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.end()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                interpreter.command(_PROGRAM),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | _ENVIRONMENT,
            )
        except OSError as error:
            raise WorkerDied(f"no process to decode pictures in could be started: {error}") from error

    def decode(self, data: bytes, name: str, wanted: WantedPicture) -> DecodedImage:
        """The picture in `data`.

        Raises:
            BadImage: as the process says.
            DecoderDied: it died over it.
            WorkerDied: as for `start`.
        """
        self.start()
        process, overdue = self._process, threading.Event()
        assert process is not None

        def give_up() -> None:
            overdue.set()
            process.kill()

        clock = threading.Timer(CLOCK_SECONDS, give_up)
        clock.start()
        try:
            return _asked(process, data, name, question_of(data, wanted, self._bounds))
        except BadImage:
            raise
        except (OSError, EOFError) as error:
            with suppress(subprocess.TimeoutExpired):  # or our own signal would be taken for its end
                process.wait(FAREWELL_SECONDS)
            raise DecoderDied(self.end(), is_overdue=overdue.is_set()) from error
        except BaseException:  # in the middle of an answer
            self.end()
            raise
        finally:
            clock.cancel()

    def end(self) -> int:
        """End the process, if there is one; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what it was still to be told
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        return process.wait()


def _asked(process: "subprocess.Popen[bytes]", data: bytes, name: str, question: bytes) -> DecodedImage:
    asked, answer = process.stdin, process.stdout
    assert asked is not None
    assert answer is not None
    asked.write(question)
    asked.write(data)
    asked.flush()
    line = answer.readline()
    if not line:
        raise EOFError
    told: dict[str, Any] = json.loads(line)
    if "refused" in told:
        raise BadImage(name, *told["refused"])
    size = tuple(told["size"])
    picture = _received(answer, "RGB", size)
    alpha = _received(answer, "L", size) if told["has_alpha"] else None
    return DecodedImage(picture, tuple(told["notes"]), alpha, origin_told(told["origin"]))


def _received(answer: IO[bytes], mode: str, size: tuple[int, int]) -> Image.Image:
    picture = Image.new(mode, size)
    for box in strips(size):
        strip = box[2], box[3] - box[1]
        wanted = len(mode) * strip[0] * strip[1]
        pixels = answer.read(wanted)
        if len(pixels) < wanted:
            raise EOFError
        picture.paste(Image.frombuffer(mode, strip, pixels, "raw", mode, 0, 1), box)
    return picture

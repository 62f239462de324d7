"""The parent's side of a decoder subprocess, which decodes one image at a time and can be killed alone."""

import json
import os
import subprocess
import threading
from contextlib import suppress
from typing import IO, Any

from PIL import Image

from flows import interpreter
from flows.decoding.decoder_process import Bounds, WantedPicture, origin_from_json, request_line, strips
from flows.errors import WorkerDied
from nst_core.errors import BadImage
from nst_core.images import DecodedImage
from nst_core.images.reading.reduction import MEMORY_BYTES

BOUNDS = Bounds(seconds=10, memory_bytes=MEMORY_BYTES)
"""The limits for each image. A photograph takes about 0.1 s, 50 megapixels about 2 s. Most of the memory goes to the
temporary copies of an image that has alpha and a colour profile."""

CLOCK_SECONDS = 240.0
"""The wall-clock time after which a process is killed although it has not used up an image's CPU time: it was stopped,
or it got no core."""

FAREWELL_SECONDS = 2.0
"""How long a process that has stopped responding may take to exit by itself."""

_PROGRAM = "from flows.decoding.decoder_process import main; main()"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Keeps memory low: threads of OpenMP and OpenBLAS would take memory and do nothing, and with few malloc arenas the
threads of an image codec share the memory that is reserved for small allocations."""


class DecoderDied(Exception):
    """The decoder process ended before it had sent its whole response.

    Attributes:
        code: the exit code, as in `subprocess.Popen.returncode`.
        is_overdue: whether this process killed it after `CLOCK_SECONDS`.
    """

    def __init__(self, code: int, *, is_overdue: bool) -> None:
        super().__init__(code, is_overdue)
        self.code, self.is_overdue = code, is_overdue


class Decoder:
    """One decoder process, started on demand and started again after it has ended; for one thread at a time.

    Args:
        bounds: the time and memory limits for each image.
    """

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process if none is running, without waiting until it is ready.

        Raises:
            WorkerDied: if the operating system cannot start another process.
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
            raise WorkerDied(f"no process to decode images in could be started: {error}") from error

    def decode(self, data: bytes, name: str, wanted: WantedPicture) -> DecodedImage:
        """Decode the image in `data`.

        Args:
            data: the bytes of the image file.
            name: the name of the image in error messages.
            wanted: what the image is needed for.

        Raises:
            BadImage: if the process refuses the image.
            DecoderDied: if the process ended while it decoded the image.
            WorkerDied: if the process cannot be started.
        """
        self.start()
        process, overdue = self._process, threading.Event()
        assert process is not None

        def kill_overdue() -> None:
            overdue.set()
            process.kill()

        clock = threading.Timer(CLOCK_SECONDS, kill_overdue)
        clock.start()
        try:
            return _request(process, data, name, request_line(data, wanted, self._bounds))
        except BadImage:
            raise
        except (OSError, EOFError) as error:
            with suppress(subprocess.TimeoutExpired):  # otherwise the exit code would be that of our own SIGKILL
                process.wait(FAREWELL_SECONDS)
            raise DecoderDied(self.end(), is_overdue=overdue.is_set()) from error
        except BaseException:  # an interrupt in the middle of a response, the rest of which nobody will read
            self.end()
            raise
        finally:
            clock.cancel()

    def end(self) -> int:
        """End the process, if one was started, and return its exit code; 0 if none was."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # flushing the rest of a request to a dead process
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        return process.wait()


def _request(process: "subprocess.Popen[bytes]", data: bytes, name: str, header: bytes) -> DecodedImage:
    requests, responses = process.stdin, process.stdout
    assert requests is not None
    assert responses is not None
    requests.write(header)
    requests.write(data)
    requests.flush()
    line = responses.readline()
    if not line:
        raise EOFError
    response: dict[str, Any] = json.loads(line)
    if "refused" in response:
        raise BadImage(name, *response["refused"])
    size = tuple(response["size"])
    picture = _read_pixels(responses, "RGB", size)
    alpha = _read_pixels(responses, "L", size) if response["has_alpha"] else None
    return DecodedImage(picture, tuple(response["notes"]), alpha, origin_from_json(response["origin"]))


def _read_pixels(responses: IO[bytes], mode: str, size: tuple[int, int]) -> Image.Image:
    picture = Image.new(mode, size)
    for box in strips(size):
        strip = box[2], box[3] - box[1]
        byte_count = len(mode) * strip[0] * strip[1]
        pixels = responses.read(byte_count)
        if len(pixels) < byte_count:
            raise EOFError
        picture.paste(Image.frombuffer(mode, strip, pixels, "raw", mode, 0, 1), box)
    return picture

"""The stub in place of the engine: made-up images and losses after a set delay, or the fault that was requested."""

import hashlib
import os
import signal
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from flows.errors import DeviceLost
from flows.records.timestamps import Moment
from flows.stub import WARNING, Stub
from flows.worker.animation import frame_size
from flows.worker.finishing import levels_of
from flows.worker.inputs import Input, LoadedPair
from flows.worker.job import Job
from flows.worker.stylized import Stylized
from nst_core.errors import DivergedError, OutOfMemory
from nst_core.losses.values import Distances, LossValues

TILES = 8
"""The number of squares along each edge of a made-up image."""


def make_up_chunk(
    chunk: Sequence[LoadedPair], style: Input, job: Job
) -> Iterator[tuple[LoadedPair, Stylized | Exception]]:
    """Yield every pair of a chunk with a made-up result, or with the error that the stub was told to raise for it."""
    stub = job.stub or Stub()
    for loaded in chunk:
        began = Moment.now()
        try:
            _misbehave(loaded.pair.spec.pair_id, stub)
            time.sleep(stub.seconds)
            yield loaded, _made_up(loaded, style, job, began)
        except DeviceLost:  # ends the batch, as it does with the engine
            raise
        except Exception as error:  # noqa: BLE001  # fails this pair alone, as it does with the engine
            yield loaded, error


def _misbehave(pair_id: str, stub: Stub) -> None:
    if pair_id in stub.kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if pair_id in stub.exit:
        os._exit(0)
    if pair_id in stub.lose:
        raise DeviceLost("the GPU is of no use to its process any more (stub)")
    while pair_id in stub.hang:
        time.sleep(60)
    if pair_id in stub.nan:
        raise DivergedError("the loss was not finite (stub)")
    if pair_id in stub.oom:
        raise OutOfMemory("not enough memory (stub)")
    if pair_id in stub.error:
        raise RuntimeError("an error that nobody expects (stub)")


def _made_up(loaded: LoadedPair, style: Input, job: Job, began: Moment) -> Stylized:
    nonce = os.urandom(16) if job.stub and job.stub.random else b""
    inputs = f"{loaded.content.sha256} {style.sha256} {loaded.pair.spec.options.digest()}".encode()
    digest = hashlib.shake_256(inputs + nonce).digest(3 * TILES * TILES)
    picture = _picture(digest, loaded.size)
    losses = LossValues(total=1 + digest[0] / 256, content=1.0, style=digest[0] / 256, tv=0.0)
    return Stylized(
        loaded=loaded,
        levels=levels_of(np.asarray(picture, dtype=np.float32) / np.float32(255.0), loaded),
        losses=losses,
        distances=Distances(losses.content, losses.style),
        initial=LossValues(total=3.0, content=0.0, style=3.0, tv=0.0),
        steps=1,
        evaluations=1,
        stop_reason="steps",
        seconds=began.seconds_since(),
        started_at=began.utc,
        notes=(WARNING,),
        frames=() if job.timeline == "none" else _frames(loaded.content.picture, picture),
    )


def _frames(content: Image.Image, picture: Image.Image) -> tuple[Image.Image, ...]:
    """Return two frames: the content and the made-up image."""
    size = frame_size(*picture.size)
    return content.resize(size), picture.resize(size)


def _picture(digest: bytes, size: tuple[int, int]) -> Image.Image:
    """Return an image of coloured squares with the word STUB on it, where it fits."""
    picture = Image.frombytes("RGB", (TILES, TILES), digest).resize(size, Image.Resampling.NEAREST)
    ImageDraw.Draw(picture).text((2, 2), "STUB", fill="white", stroke_width=1, stroke_fill="black")
    return picture

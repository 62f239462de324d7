"""Timelines: a few small frames that show how each pastiche evolved, spaced by visible change and not by step.

Most of the visible change happens in the first tenth of the steps. So a pastiche is sampled ever more rarely, a sample
is kept only if it differs enough from the one kept before, and the frames are chosen from the kept ones such that
successive frames differ about equally.

A timeline is a by-product: an error in this module costs a pair its timeline and nothing else.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from flows.worker.animation import FRAMES, frame_size
from nst_core.optimize import StepReport

Frame = NDArray[np.uint8]
"""Shape (height, width, 3), sRGB."""

MOST_KEPT = 40
"""How many samples a pair keeps at most to choose frames from: some 9 MB."""
EVERY_LOOK = 12
"""The number of evaluations at each level that are all sampled; after these, the interval grows by `LOOK_AGAIN`."""
LOOK_AGAIN = 1.1
"""The ratio between the evaluations of two successive samples."""
MOST_SHRUNK = 32
"""The factor by which one resampling shrinks at most. CUDA's kernel for antialiased resampling refuses more than 47."""
LEAST_CHANGE = 1.0
"""The least mean difference of two kept samples, in levels of 255; a smaller one is invisible."""


@dataclass
class _Film:
    """The kept samples of one pastiche.

    Attributes:
        frames: the kept samples, in order.
        least: the mean difference that a new sample must have from the last one kept.
        lowest: the total loss at the last sample of this level.
        next_look: by level, the evaluation from which the next sample is due.
        trouble: why there is no timeline; empty where nothing went wrong.
    """

    frames: list[Frame] = field(default_factory=list)
    least: float = LEAST_CHANGE
    lowest: float = float("inf")
    next_look: dict[int, int] = field(default_factory=dict)
    trouble: str = ""

    def wants(self, level: int, evaluation: int, total: float) -> bool:
        """Return whether to take a sample: one is due, and the best pastiche has changed since the last one."""
        return not self.trouble and evaluation >= self.next_look.get(level, 1) and total < self.lowest

    def add(self, frame: Frame) -> None:
        """Keep a sample if it shows something new; where there are too many, drop those that change the least."""
        if self.frames and difference(self.frames[-1], frame) < self.least:
            return
        self.frames.append(frame)
        while len(self.frames) > MOST_KEPT:
            self.least *= 1.25
            self.frames = thinned(self.frames, self.least)


class Timelines:
    """The timelines of a chunk's pairs; an instance is the engine's `on_step` callback.

    Args:
        pairs: the number of pairs in the chunk.
        size: the (width, height) of their pastiches in pixels.
    """

    def __init__(self, pairs: int, size: tuple[int, int]) -> None:
        self._films = [_Film() for _ in range(pairs)]
        self._size = frame_size(*size)

    def __call__(self, step: StepReport) -> None:
        """Take a sample of one evaluation of one pair, if one is due."""
        film = self._films[step.pair]
        if step.evaluation == 1:  # a new level, whose losses cannot be compared with those of the level before
            film.lowest = float("inf")
        if not film.wants(step.level, step.evaluation, step.losses.total):
            return
        film.lowest = step.losses.total
        later = int(step.evaluation * LOOK_AGAIN)
        film.next_look[step.level] = max(step.evaluation + 1, 0 if step.evaluation < EVERY_LOOK else later)
        try:
            film.add(small_frame(step.look(), self._size))
        except Exception as error:  # noqa: BLE001  # an error here costs the timeline, not the pair
            film.frames, film.trouble = [], f"{type(error).__name__}: {error}"

    def trouble(self, pair: int) -> str:
        """Return why a pair has no frames; empty where it has some."""
        return self._films[pair].trouble

    def of(self, pair: int, finished: Image.Image) -> tuple[Image.Image, ...]:
        """Return a pair's frames, the finished image last; empty where making them failed."""
        film = self._films[pair]
        if film.trouble:
            return ()
        last = finished.resize(self._size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        kept = [*film.frames, np.asarray(last)]
        return (*(Image.fromarray(kept[place]) for place in evenly_spaced(kept, FRAMES)[:-1]), last)


@torch.no_grad()
def small_frame(pastiche: Tensor, size: tuple[int, int]) -> Frame:
    """Return a frame of a pastiche; a pastiche of a coarse level is enlarged.

    Args:
        pastiche: shape (1, 3, H, W), about in [0, 1].
        size: the frame's (width, height) in pixels.
    """
    width, height = size
    while min(pastiche.shape[2] // height, pastiche.shape[3] // width) >= MOST_SHRUNK:
        pastiche = functional.avg_pool2d(pastiche, 2)
    small = functional.interpolate(pastiche, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    levels = small[0].clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).permute(1, 2, 0)
    frame: Frame = levels.contiguous().cpu().numpy()
    return frame


def difference(one: Frame, other: Frame) -> float:
    """Return the mean absolute difference of two frames, in levels of 255."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def thinned(frames: Sequence[Frame], least: float) -> list[Frame]:
    """Return the first frame and every frame that differs by at least `least` from the one kept before it."""
    kept = [frames[0]]
    for frame in frames[1:]:
        if difference(kept[-1], frame) >= least:
            kept.append(frame)
    return kept


def evenly_spaced(frames: Sequence[Frame], most: int) -> list[int]:
    """Return the indices of at most `most` frames that differ about equally, the first and the last included."""
    steps = [difference(before, after) for before, after in itertools.pairwise(frames)]
    distance = np.concatenate([[0.0], np.cumsum(steps)])
    goals = np.linspace(0.0, distance[-1], most)
    nearest = {int(np.abs(distance - goal).argmin()) for goal in goals}
    return sorted(nearest | {0, len(frames) - 1})

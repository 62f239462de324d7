"""How the pastiches of a chunk came to be: a few small frames of each, chosen by visible change and not by step.

Most of what one sees happens in the first tenth of the steps. So a pastiche is looked at ever more seldom; a look is
kept where it differs enough from the one kept before; and of those the frames are chosen so that each two differ alike.

A by-product: whatever goes wrong here costs the timeline of its pair, and nothing else.
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
"""Looks that wait to be chosen from: some 9 MB of a pair."""
EVERY_LOOK = 12
"""Evaluations of each size that are all looked at; later ones come at distances that grow by `LOOK_AGAIN`."""
LOOK_AGAIN = 1.1
LEAST_CHANGE = 1.0
"""Mean difference of two kept looks in levels of 255, below which nobody sees one."""


@dataclass
class _Film:
    """The looks at one pastiche that were kept."""

    frames: list[Frame] = field(default_factory=list)
    least: float = LEAST_CHANGE
    lowest: float = float("inf")
    next_look: dict[int, int] = field(default_factory=dict)
    trouble: str = ""

    def wants(self, level: int, evaluation: int, total: float) -> bool:
        """Whether to look: it is time to, and the best pastiche is another than at the last look."""
        return not self.trouble and evaluation >= self.next_look.get(level, 1) and total < self.lowest

    def add(self, frame: Frame) -> None:
        """Keep a look, if it shows something new; of too many, those go that show the least."""
        if self.frames and difference(self.frames[-1], frame) < self.least:
            return
        self.frames.append(frame)
        while len(self.frames) > MOST_KEPT:
            self.least *= 1.25
            self.frames = thinned(self.frames, self.least)


class Timelines:
    """The timelines of the pairs of one chunk, fed by the engine's reports.

    Args:
        pairs: how many there are.
        size: of their pastiches, width and height in pixels.
    """

    def __init__(self, pairs: int, size: tuple[int, int]) -> None:
        self._films = [_Film() for _ in range(pairs)]
        self._size = frame_size(*size)

    def __call__(self, step: StepReport) -> None:
        """Look at one evaluation of one pair, if it is worth it."""
        film = self._films[step.pair]
        if step.evaluation == 1:  # another size: its losses do not compare with those before
            film.lowest = float("inf")
        if not film.wants(step.level, step.evaluation, step.losses.total):
            return
        film.lowest = step.losses.total
        later = int(step.evaluation * LOOK_AGAIN)
        film.next_look[step.level] = max(step.evaluation + 1, 0 if step.evaluation < EVERY_LOOK else later)
        try:
            film.add(small_frame(step.look(), self._size))
        except Exception as error:  # noqa: BLE001  # a pair is not lost over a picture of its making
            film.frames, film.trouble = [], f"{type(error).__name__}: {error}"

    def trouble(self, pair: int) -> str:
        """Why a pair has no frames; empty where it has."""
        return self._films[pair].trouble

    def of(self, pair: int, finished: Image.Image) -> tuple[Image.Image, ...]:
        """A pair's frames, the finished picture last; none where they could not be made."""
        film = self._films[pair]
        if film.trouble:
            return ()
        last = finished.resize(self._size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        kept = [*film.frames, np.asarray(last)]
        return (*(Image.fromarray(kept[place]) for place in chosen(kept, FRAMES)[:-1]), last)


@torch.no_grad()
def small_frame(pastiche: Tensor, size: tuple[int, int]) -> Frame:
    """A frame of a pastiche, shape (1, 3, H, W), in or about [0, 1]; a pastiche of a coarse size is enlarged."""
    width, height = size
    small = functional.interpolate(pastiche, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    levels = small[0].clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).permute(1, 2, 0)
    frame: Frame = levels.contiguous().cpu().numpy()
    return frame


def difference(one: Frame, other: Frame) -> float:
    """The mean difference of two frames, in levels of 255."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def thinned(frames: Sequence[Frame], least: float) -> list[Frame]:
    """The frames that differ by at least so much from the one that is kept before them; the first one always."""
    kept = [frames[0]]
    for frame in frames[1:]:
        if difference(kept[-1], frame) >= least:
            kept.append(frame)
    return kept


def chosen(frames: Sequence[Frame], most: int) -> list[int]:
    """The places of at most so many frames that are as equally far apart as can be, the first and the last included."""
    steps = [difference(before, after) for before, after in itertools.pairwise(frames)]
    way = np.concatenate([[0.0], np.cumsum(steps)])
    goals = np.linspace(0.0, way[-1], most)
    nearest = {int(np.abs(way - goal).argmin()) for goal in goals}
    return sorted(nearest | {0, len(frames) - 1})

"""The result of a pair, passed from the device's thread to the threads that write. Does not import torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from flows.records.attempts import LossSample
from flows.worker.inputs import LoadedPair
from nst_core.images.writing.picture_file import Levels
from nst_core.losses.values import Distances, LossValues

if TYPE_CHECKING:
    from nst_core.stopping import StopReason


@dataclass(frozen=True)
class Stylized:
    """A pair's finished pastiche, ready to be written.

    Attributes:
        loaded: the pair.
        levels: the pixel values of its file.
        losses, distances: those of the image that a reader of the saved file sees; no distances where it is too small.
        initial: the losses of the image that the optimisation started from.
        steps: the number of accepted steps.
        evaluations: the number of evaluations.
        stop_reason: why the optimisation stopped.
        seconds: the pair's equal share of the time that its chunk took on the device, plus the time to measure it.
            Loading and writing run concurrently and are not included, so the seconds of all pairs add up to the
            device's time.
        started_at: when its chunk began, in UTC.
        notes: what the user should know about how it was made.
        history: a few dozen samples of its losses.
        frames: small images of equal size that show how the pastiche evolved, the finished one last; empty where no
            timeline was requested.
    """

    loaded: LoadedPair
    levels: Levels
    losses: LossValues
    distances: Distances | None
    initial: LossValues
    steps: int
    evaluations: int
    stop_reason: "StopReason"
    seconds: float
    started_at: str
    notes: tuple[str, ...] = ()
    history: tuple[LossSample, ...] = ()
    frames: tuple[Image.Image, ...] = ()

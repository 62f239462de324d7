"""A pair's finished pastiche, on its way from the device to storage. No torch."""

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
        levels: the values of its file.
        losses, distances: of what a reader of the saved file sees.
        notes: what the user should know of how it was made.
        history: some dozens of its evaluations.
        frames: small pictures of how it came to be, of equal size, the finished one last; none where nobody asked.
        seconds: the pair's equal share of the time that its chunk took on the device, and the time to measure it.
            Loading and writing happen beside the device's work and are not in it, so these add up to a device's time.
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

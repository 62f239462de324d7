"""What every pair of a run shares."""

from dataclasses import dataclass

from flows.decoding.image_bytes import PictureLimits
from flows.settings import Timeline
from flows.storage import Places
from flows.stub import Stub
from nst_core.backbones.catalogue import WeightsFile
from nst_core.images import MAX_BYTES, MAX_PIXELS
from nst_core.machine.hardware import PrecisionName


@dataclass(frozen=True)
class Job:
    """What every pair of a run shares.

    Attributes:
        weights: the file on the machine that planned the run.
        threads: of the CPU for each worker process; None leaves it to torch.
        max_image_bytes, max_image_pixels: a picture of more is refused.
        readable, writable: where pictures really lie, and what is written below the output; None is anywhere.
        weights_address: where another machine finds it; None is the published file.
        stub: how the stub behaves; None for a real backbone.
        timeline: what kind of file is written of how each pastiche came to be.
    """

    output: str
    run_id: str
    weights: WeightsFile
    precision: PrecisionName
    threads: int | None = None
    max_image_bytes: int = MAX_BYTES
    max_image_pixels: int = MAX_PIXELS
    readable: Places | None = None
    writable: Places | None = None
    weights_address: str | None = None
    stub: Stub | None = None
    timeline: Timeline = "none"

    @property
    def picture_limits(self) -> PictureLimits:
        """What holds for the pictures of every pair."""
        return PictureLimits(self.max_image_bytes, self.max_image_pixels, self.readable)

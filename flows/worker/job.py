"""The parameters that all pairs of a run share, sent to every worker process."""

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
    """The parameters that all pairs of a run share.

    Attributes:
        output: the address of the run's output.
        run_id: the id of the run.
        weights: the weights file on the machine that planned the run.
        precision: the precision of the optimisation.
        threads: the CPU threads of each worker process; None leaves the number to torch.
        max_image_bytes, max_image_pixels: larger images are refused.
        readable, writable: the places where images, links resolved, may be read and where the output may be written;
            None allows any place.
        weights_address: where other machines find the weights; None is the published file.
        stub: how the stub behaves; None for a real backbone.
        timeline: the file format of the animations that show how each pastiche evolved, or `none`.
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
        """The limits for the images of every pair."""
        return PictureLimits(self.max_image_bytes, self.max_image_pixels, self.readable)

"""How many pairs of a size the device holds at once: predicted from its memory, and lowered when that proves wrong."""

from collections.abc import Sequence

from flows.records.plans import PlannedPair
from flows.worker.chunks import Size
from flows.worker.lost_device import detecting_device_loss
from nst_core.backbones.backbone import Backbone
from nst_core.errors import OutOfMemory
from nst_core.machine.footprint import NOTHING, Extra, extra_of
from nst_core.machine.memory import largest_batch
from nst_core.options import StylizeOptions
from nst_core.scene.masks.palette import MOST_REGIONS


def most_extra(pairs: Sequence[PlannedPair]) -> Extra:
    """Return an upper bound of the extra memory that any pair of a batch needs, before its masks are read.

    See `nst_core.machine.footprint.extra_of`.
    """
    columns = {column for pair in pairs for column in pair.spec.others}
    options = pairs[0].spec.options
    regions = MOST_REGIONS if "content_mask" in columns else int(options.alpha == "keep")
    return extra_of(options, regions, protects="protect" in columns)


class Capacity:
    """The number of pairs of each size that the device holds at once.

    Args:
        options: the options of the batch's pairs.
        backbone: the backbone on its device.
        extra: the memory that a pair needs in addition to its images.
    """

    def __init__(self, options: StylizeOptions, backbone: Backbone, extra: Extra = NOTHING) -> None:
        self._options, self._backbone, self._extra = options, backbone, extra
        self._most: dict[Size, int] = {}

    def __call__(self, size: Size) -> int:
        """Return how many pairs of this size one chunk takes, at least 1."""
        if size not in self._most:
            self._most[size] = self._predicted(size)
        return self._most[size]

    def learn(self, size: Size, pairs: int, error: Exception) -> None:
        """Halve the chunks of this size after one of `pairs` pairs ran out of memory; ignore any other error."""
        if isinstance(error, OutOfMemory | MemoryError):
            self._most[size] = max(1, min(self(size), (pairs + 1) // 2))

    def _predicted(self, size: Size) -> int:
        # With a time budget, a pair's result would depend on how many others share the device, so it runs alone.
        if self._options.max_seconds is not None:
            return 1
        # This is no pair's work, so an error that is not recognised as the device's loss would end the run.
        with detecting_device_loss(self._backbone.device):
            return largest_batch(*size, self._backbone, self._extra)

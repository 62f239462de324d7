"""How many pairs of a size go on the device together."""

from collections.abc import Sequence

from flows.records.plans import PlannedPair
from flows.worker.chunks import Size
from flows.worker.lost_device import loss_noticed
from nst_core.backbones.backbone import Backbone
from nst_core.errors import OutOfMemory
from nst_core.machine.footprint import NOTHING, Extra, extra_of
from nst_core.machine.memory import largest_batch
from nst_core.options import StylizeOptions
from nst_core.scene.masks import MOST_REGIONS


def most_extra(pairs: Sequence[PlannedPair]) -> Extra:
    """What any pair of a batch may take beside its pictures, before masks are read; see `extra_of`."""
    columns = {column for pair in pairs for column in pair.spec.others}
    options = pairs[0].spec.options
    regions = MOST_REGIONS if "content_mask" in columns else int(options.alpha == "keep")
    return extra_of(options, regions, protects="protect" in columns)


class Capacity:
    """How many pairs of a size the device holds at once: what the engine predicts, until that proves too many."""

    def __init__(self, options: StylizeOptions, backbone: Backbone, extra: Extra = NOTHING) -> None:
        self._options, self._backbone, self._extra = options, backbone, extra
        self._most: dict[Size, int] = {}

    def __call__(self, size: Size) -> int:
        """Pairs of this size that one chunk takes, at least 1."""
        if size not in self._most:
            self._most[size] = self._predicted(size)
        return self._most[size]

    def learn(self, size: Size, pairs: int, error: Exception) -> None:
        """After a chunk of so many pairs has failed: where there was too little memory, chunks are smaller from now."""
        if isinstance(error, OutOfMemory | MemoryError):
            self._most[size] = max(1, min(self(size), (pairs + 1) // 2))

    def _predicted(self, size: Size) -> int:
        # A time budget is one pair's own: shared with others, its result would depend on how many they are.
        if self._options.max_seconds is not None:
            return 1
        with loss_noticed(self._backbone.device):  # no pair's work, so that an error would end the run
            return largest_batch(*size, self._backbone, self._extra)

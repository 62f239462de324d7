"""Which of the loaded pairs are stylized next, together: those of one size, as many as the device holds.

Content pictures differ in shape, so the pairs of a batch differ in size; a size is known when its picture is decoded.
"""

from collections.abc import Callable, Sequence

from flows.worker.inputs import LoadedPair
from nst_core.backbones.backbone import Backbone
from nst_core.errors import OutOfMemory
from nst_core.memory import largest_batch
from nst_core.options import StylizeOptions

Size = tuple[int, int]


class Capacity:
    """How many pairs of a size the device holds at once: what the engine predicts, until that proves too many."""

    def __init__(self, options: StylizeOptions, backbone: Backbone) -> None:
        self._options, self._backbone = options, backbone
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
        return largest_batch(*size, self._options, self._backbone)


def next_chunk(
    waiting: Sequence[LoadedPair], capacity: Callable[[Size], int], *, more_to_come: bool
) -> list[LoadedPair]:
    """The pairs to stylize next, all of one size; none if it is better to wait for more to be loaded.

    A chunk is full if it can be: only when nothing more is to come is the fullest of the incomplete ones taken.
    """
    by_size: dict[Size, list[LoadedPair]] = {}
    for loaded in waiting:
        by_size.setdefault(loaded.size, []).append(loaded)
    for size, alike in by_size.items():
        if len(alike) >= capacity(size):
            return alike[: capacity(size)]
    return [] if more_to_come or not by_size else max(by_size.values(), key=len)

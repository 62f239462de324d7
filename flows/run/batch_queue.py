"""A queue of batches with style affinity: a worker gets a batch of the style that it has cached, if one is left.

A worker caches the images and targets of its last few styles. So workers spread out over the styles, and a worker
whose style has no batches left takes one of the style with the most pairs waiting.
"""

from collections import deque
from collections.abc import Collection, Sequence

from flows.records.plans import Batch


class BatchQueue:
    """The waiting batches, in the order of the manifest except for style affinity. Not thread-safe."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._by_style: dict[str, deque[Batch]] = {}
        for batch in batches:
            self._by_style.setdefault(style_of(batch), deque()).append(batch)

    def __bool__(self) -> bool:
        """Return whether any batch is waiting."""
        return bool(self._by_style)

    def take(self, warm: str | None, elsewhere: Collection[str | None] = ()) -> Batch:
        """Remove and return the next batch for a worker; the queue must not be empty.

        Args:
            warm: the style of the worker's last batch, which it has cached.
            elsewhere: the styles of the other workers' current or last batches.
        """
        style = warm if warm in self._by_style else self._new_style(elsewhere)
        assert style is not None
        waiting = self._by_style[style]
        batch = waiting.popleft()
        if not waiting:
            del self._by_style[style]
        return batch

    def _new_style(self, elsewhere: Collection[str | None]) -> str:
        """Return the first style that no worker has, or else the style with the most pairs waiting."""
        free = [style for style in self._by_style if style not in elsewhere]
        return free[0] if free else max(self._by_style, key=self._pairs_left)

    def _pairs_left(self, style: str) -> int:
        return sum(len(batch.pairs) for batch in self._by_style[style])


def style_of(batch: Batch) -> str:
    """Return the address of the style image, which is the same for all pairs of a batch."""
    return batch.pairs[0].spec.style

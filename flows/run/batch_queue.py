"""Which of the waiting batches a worker does next: one of the style that it has warm, where there is one left.

A worker keeps the pictures and targets of its last few styles. Workers spread out over the styles, and whoever has
none left of its own helps where most is waiting.
"""

from collections import deque
from collections.abc import Collection, Sequence

from flows.records.plans import Batch


class BatchQueue:
    """Batches that wait, in the order of the manifest as far as warm styles allow. For one thread."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._by_style: dict[str, deque[Batch]] = {}
        for batch in batches:
            self._by_style.setdefault(style_of(batch), deque()).append(batch)

    def __bool__(self) -> bool:
        """Whether any batch waits."""
        return bool(self._by_style)

    def take(self, warm: str | None, elsewhere: Collection[str | None] = ()) -> Batch:
        """The next batch of a worker; there must be one.

        Args:
            warm: the style that the worker did last.
            elsewhere: the styles that the other workers did last, or are at.
        """
        style = warm if warm in self._by_style else self._new_style(elsewhere)
        assert style is not None
        waiting = self._by_style[style]
        batch = waiting.popleft()
        if not waiting:
            del self._by_style[style]
        return batch

    def _new_style(self, elsewhere: Collection[str | None]) -> str:
        """The first that nobody is at, else the one with the most pairs left."""
        free = [style for style in self._by_style if style not in elsewhere]
        return free[0] if free else max(self._by_style, key=self._pairs_left)

    def _pairs_left(self, style: str) -> int:
        return sum(len(batch.pairs) for batch in self._by_style[style])


def style_of(batch: Batch) -> str:
    """The address of the style that all pairs of a batch have."""
    return batch.pairs[0].spec.style

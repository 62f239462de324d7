"""Which of the loaded pairs are stylized next, together: those of one size, as many as the device holds.

Content pictures differ in shape, so the pairs of a batch differ in size; a size is known when its picture is decoded.
"""

from collections.abc import Callable, Sequence

from flows.worker.inputs import LoadedPair

Size = tuple[int, int]


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

"""Choose which of the loaded pairs are stylized together next: pairs of one size, as many as the device holds.

Content images differ in shape, so the pairs of a batch differ in size, and a size is only known after decoding.
"""

from collections.abc import Callable, Sequence

from flows.worker.inputs import LoadedPair

Size = tuple[int, int]
"""(width, height) in pixels."""


def next_chunk(
    waiting: Sequence[LoadedPair], capacity: Callable[[Size], int], *, more_to_come: bool
) -> list[LoadedPair]:
    """Return the pairs to stylize next, all of one size; empty if it is better to wait until more are loaded.

    Full chunks are preferred: the largest incomplete one is taken only when no more pairs will be loaded.

    Args:
        waiting: the loaded pairs that are not stylized yet.
        capacity: returns how many pairs of a size the device holds at once.
        more_to_come: whether more pairs of the batch are being loaded.
    """
    by_size: dict[Size, list[LoadedPair]] = {}
    for loaded in waiting:
        by_size.setdefault(loaded.size, []).append(loaded)
    for size, same_size in by_size.items():
        if len(same_size) >= capacity(size):
            return same_size[: capacity(size)]
    return [] if more_to_come or not by_size else max(by_size.values(), key=len)

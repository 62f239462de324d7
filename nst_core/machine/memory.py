"""Which plan a batch is made by: the fastest that fits what is free. Torch only to ask a GPU."""

import dataclasses
from bisect import bisect_right

from nst_core.errors import OutOfMemory
from nst_core.machine.allowance import free_bytes
from nst_core.machine.footprint import (
    NOTHING,
    Computing,
    Extra,
    MemoryPlan,
    base_bytes,
    in_gb,
    predicted,
    predicted_bytes,
)

HISTORY = 20
"""Pairs (s, y) that L-BFGS keeps where there is memory for them."""

SHARE = 0.85
"""Of the free memory that may be planned with."""

FEWEST_PAIRS_OF_HISTORY = 5

TILES_PX = (2048, 1024, 512, 256)
"""Of tiles, the largest first: around each a halo is worked out in vain, of a large one the smaller share."""

MOST_PIXELS_AT_ONCE = 32 * 512 * 512
"""On a GPU; beyond this a larger batch is no faster per pair."""


def plan_memory(
    width: int, height: int, pairs: int, backbone: Computing, free: int | None = None, extra: Extra = NOTHING
) -> MemoryPlan:
    """The fastest plan for a batch that fits what is free, or the smallest there is where none does.

    Args:
        width: of the pastiches, in pixels.
        height: of the pastiches, in pixels.
        pairs: in the batch.
        backbone: that they are stylized with.
        free: bytes of memory to plan with; None asks the device.
        extra: see `extra_of`.
    """
    budget = SHARE * ((available_bytes(backbone.device) if free is None else free) + base_bytes(backbone))
    plans = _plans(width, height, pairs)
    fits = (plan for plan in plans if predicted_bytes(width, height, plan, backbone, extra) <= budget)
    plan = next(fits, plans[-1])
    keeping = dataclasses.replace(plan, keep_freed=True)
    return keeping if predicted_bytes(width, height, keeping, backbone, extra) <= budget else plan


def check_fits(width: int, height: int, backbone: Computing, free: int | None = None, extra: Extra = NOTHING) -> None:
    """Refuse a pastiche that not even the smallest plan has room for, before anything of it is computed.

    Args:
        width: in pixels.
        height: in pixels.
        backbone: that it would be stylized with.
        free: bytes of memory; None asks the device.
        extra: see `extra_of`.

    Raises:
        OutOfMemory: with what it would take, what there is, and the size that there is room for.
    """
    there = (available_bytes(backbone.device) if free is None else free) + base_bytes(backbone)
    needed = predicted(width, height, _plans(width, height, 1)[-1], backbone, extra)
    if needed.total <= there:
        return
    long_edge = max(width, height)
    sizes = range(1, long_edge)
    fitting = bisect_right(sizes, there, key=lambda px: _smallest(width, height, px / long_edge, backbone, extra))
    advice = f"lower size_px to {fitting}" if fitting else "free some memory"
    raise OutOfMemory(
        f"a pastiche of {width} x {height} px takes at least {needed}, and {backbone.device} has "
        f"{in_gb(there - base_bytes(backbone))} free: {advice}"
    )


def _smallest(width: int, height: int, scale: float, backbone: Computing, extra: Extra) -> int:
    """Bytes that the smallest plan takes at a share of a size."""
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return predicted_bytes(width, height, _plans(width, height, 1)[-1], backbone, extra)


def _plans(width: int, height: int, pairs: int) -> list[MemoryPlan]:
    """The fastest first: a shorter history costs evaluations, recomputing a third of each, tiles most of one more."""
    short, shortest = HISTORY // 2, FEWEST_PAIRS_OF_HISTORY
    choices = ((False, HISTORY), (False, short), (True, short), (True, shortest))
    whole = [MemoryPlan(pairs, recompute, history, keep_freed=False) for recompute, history in choices]
    tiled = [
        MemoryPlan(pairs, recompute=False, history=history, tile_px=tile_px, keep_freed=False, half_history=True)
        for tile_px in TILES_PX
        if tile_px < max(width, height)
        for history in (short, shortest)
    ]
    return whole + tiled


def largest_batch(width: int, height: int, backbone: Computing, extra: Extra = NOTHING) -> int:
    """How many pairs of a size are stylized at once: one on a CPU, where more at once are no faster.

    On a GPU as many as fit without recomputing, up to `MOST_PIXELS_AT_ONCE`.

    Args:
        width: in pixels.
        height: in pixels.
        backbone: that they are stylized with.
        extra: see `extra_of`.
    """
    if not backbone.device.startswith("cuda"):
        return 1
    budget = SHARE * (available_bytes(backbone.device) + base_bytes(backbone))
    pairs = max(1, MOST_PIXELS_AT_ONCE // (width * height))
    while pairs > 1 and _fastest_bytes(width, height, pairs, backbone, extra) > budget:
        pairs -= max(1, pairs // 8)
    return pairs


def _fastest_bytes(width: int, height: int, pairs: int, backbone: Computing, extra: Extra) -> int:
    plan = MemoryPlan(pairs, recompute=False, history=HISTORY, keep_freed=False)
    return predicted_bytes(width, height, plan, backbone, extra)


def available_bytes(device: str) -> int:
    """Memory that is free on a device now; on the CPU no more than the container may have."""
    if device.startswith("cuda"):
        import torch

        free, _total = torch.cuda.mem_get_info(device)
        # What torch holds but does not use is free too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes()

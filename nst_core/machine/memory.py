"""The choice of a batch's memory plan: the fastest one that fits the free memory. Needs torch only for a GPU."""

import dataclasses
from bisect import bisect_right

from nst_core.errors import OutOfMemory
from nst_core.machine.allowance import free_bytes
from nst_core.machine.footprint import (
    NOTHING,
    DeviceAndPrecision,
    Extra,
    MemoryPlan,
    base_bytes,
    in_gb,
    predicted,
    predicted_bytes,
)

HISTORY = 20
"""Pairs (s, y) that L-BFGS keeps if there is memory for them."""

SHARE = 0.85
"""Share of the free memory that a plan may use."""

FEWEST_PAIRS_OF_HISTORY = 5
"""Pairs (s, y) that L-BFGS keeps under the smallest plan."""

TILES_PX = (2048, 1024, 512, 256)
"""Sides of tiles, the largest first: the halo around each tile is computed in addition, and is a smaller share of a
large tile."""

WIDEST_MAP = 64
"""Numbers per pixel of the network's largest feature maps, those of its first block. Some CUDA kernels index a map with
32 bits, so a pastiche whose maps have more numbers than that is evaluated in tiles."""

MOST_PIXELS_AT_ONCE = 32 * 512 * 512
"""Pixels of a batch on a GPU beyond which a larger batch is no faster per pair."""


def plan_memory(
    width: int, height: int, pairs: int, backbone: DeviceAndPrecision, free: int | None = None, extra: Extra = NOTHING
) -> MemoryPlan:
    """Return the fastest plan for a batch that fits the free memory, or the smallest plan if none fits.

    Args:
        width: of the pastiches, in pixels.
        height: of the pastiches, in pixels.
        pairs: the number of pairs in the batch.
        backbone: the backbone that stylizes them.
        free: bytes of memory to plan with; None queries the device.
        extra: see `extra_of`.
    """
    budget = SHARE * ((available_bytes(backbone.device) if free is None else free) + base_bytes(backbone))
    plans = _plans(width, height, pairs)
    fits = (plan for plan in plans if predicted_bytes(width, height, plan, backbone, extra) <= budget)
    plan = next(fits, plans[-1])
    keeping = dataclasses.replace(plan, keep_freed=True)
    return keeping if predicted_bytes(width, height, keeping, backbone, extra) <= budget else plan


def check_fits(
    width: int, height: int, backbone: DeviceAndPrecision, free: int | None = None, extra: Extra = NOTHING
) -> None:
    """Refuse a pastiche that does not fit even under the smallest plan, before any of it is computed.

    Args:
        width: of the pastiche, in pixels.
        height: of the pastiche, in pixels.
        backbone: the backbone that would stylize it.
        free: bytes of free memory; None queries the device.
        extra: see `extra_of`.

    Raises:
        OutOfMemory: with the memory it would take, the free memory, and the largest size that fits.
    """
    available = (available_bytes(backbone.device) if free is None else free) + base_bytes(backbone)
    needed = predicted(width, height, _plans(width, height, 1)[-1], backbone, extra)
    if needed.total <= available:
        return
    long_edge = max(width, height)
    sizes = range(1, long_edge)
    fitting = bisect_right(sizes, available, key=lambda px: _smallest(width, height, px / long_edge, backbone, extra))
    advice = f"lower size_px to {fitting}" if fitting else "free some memory"
    raise OutOfMemory(
        f"a pastiche of {width} x {height} px takes at least {needed}, and {backbone.device} has "
        f"{in_gb(available - base_bytes(backbone))} free: {advice}"
    )


def _smallest(width: int, height: int, scale: float, backbone: DeviceAndPrecision, extra: Extra) -> int:
    """Return the bytes that the smallest plan takes at `scale` times a size."""
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return predicted_bytes(width, height, _plans(width, height, 1)[-1], backbone, extra)


def _plans(width: int, height: int, pairs: int) -> list[MemoryPlan]:
    """Return all plans, the fastest first.

    A shorter history costs more evaluations, recomputing a third of each evaluation, and tiles most of another
    evaluation.
    """
    short, shortest = HISTORY // 2, FEWEST_PAIRS_OF_HISTORY
    choices = ((False, HISTORY), (False, short), (True, short), (True, shortest))
    fits_int32 = width * height * WIDEST_MAP < 2**31
    whole = [MemoryPlan(pairs, recompute, history, keep_freed=False) for recompute, history in choices if fits_int32]
    tiled = [
        MemoryPlan(pairs, recompute=False, history=history, tile_px=tile_px, keep_freed=False, half_history=True)
        for tile_px in TILES_PX
        if tile_px < max(width, height)
        for history in (short, shortest)
    ]
    return whole + tiled


def largest_batch(width: int, height: int, backbone: DeviceAndPrecision, extra: Extra = NOTHING) -> int:
    """Return how many pairs of a size are stylized at once: one on a CPU, where larger batches are no faster.

    On a GPU it is as many as fit without recomputing, up to `MOST_PIXELS_AT_ONCE`.

    Args:
        width: of the pastiches, in pixels.
        height: of the pastiches, in pixels.
        backbone: the backbone that stylizes them.
        extra: see `extra_of`.
    """
    if not backbone.device.startswith("cuda"):
        return 1
    budget = SHARE * (available_bytes(backbone.device) + base_bytes(backbone))
    pairs = max(1, MOST_PIXELS_AT_ONCE // (width * height))
    while pairs > 1 and _fastest_bytes(width, height, pairs, backbone, extra) > budget:
        pairs -= max(1, pairs // 8)
    return pairs


def _fastest_bytes(width: int, height: int, pairs: int, backbone: DeviceAndPrecision, extra: Extra) -> int:
    """Return the peak memory of a batch under the fastest plan."""
    plan = MemoryPlan(pairs, recompute=False, history=HISTORY, keep_freed=False)
    return predicted_bytes(width, height, plan, backbone, extra)


def available_bytes(device: str) -> int:
    """Return the memory that is free on a device now; on the CPU, at most what the container may still use."""
    if device.startswith("cuda"):
        import torch

        free, _total = torch.cuda.mem_get_info(device)
        # Memory that torch has reserved but not allocated is free too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes()

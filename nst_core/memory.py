"""How much memory a batch takes, and what is planned with what is free. Torch only to ask a GPU.

Counted from the schedule of `nst_core.backbones.scheduled`, per pixel of a pastiche, in floats of the network's
precision; VGG's first block, with 64 channels at full size, is most of it. What is predicted is held to what was
measured by the benchmark `scaling`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Protocol

from nst_core.allowance import free_bytes
from nst_core.hardware import PrecisionName
from nst_core.options import StylizeOptions
from nst_core.tiles import EXACT_PIXELS

HISTORY = 20
"""Pairs (s, y) that L-BFGS keeps where there is memory for them."""

KEPT = 320
"""Floats per pixel that the gradient needs: rectified maps and pooled ones of blocks 1 to 5."""

FIRST_BLOCK = 256
"""Floats per pixel at the widest point of the first block's gradient: two maps and two gradients of 64 channels."""

ENTERING = 32
"""Floats per pixel of what enters the blocks: all that is kept with recomputing."""

LIBRARY = 40
"""Floats per pixel that convolutions take for a while, and what is not given back at once."""

POINT_COPIES = 14
"""fp32 copies of a pastiche: coordinates, gradients, spectra, the inverse Hessian's diagonal, the best one seen."""

KEEP_ALL = False
"""For `MemoryPlan.recompute`."""

SHARE = 0.85
"""Of the free memory that may be planned with."""

PIECES = 4 / 3
"""What a large picture takes, over what is predicted, where freed memory is kept: a quarter of it is then of no use."""

FEWEST_PAIRS_OF_HISTORY = 5

TILES_PX = (2048, 1024, 512, 256)
"""Of tiles, the largest first: around each a halo is worked out in vain, of a large one the smaller share."""

HALO_PX = 128
"""The widest, that of relu5_4."""
MOST_PIXELS_AT_ONCE = 32 * 512 * 512
"""On a GPU; beyond this a larger batch is no faster per pair."""

BASE_BYTES = {"cpu": 1_500_000_000, "cuda": 2_500_000_000}
"""Weights in all their forms, and the libraries."""


class Computing(Protocol):
    """What of a backbone decides how much memory is taken: where it runs, and in which precision."""

    @property
    def device(self) -> str:
        """As torch names it."""

    @property
    def precision(self) -> PrecisionName:
        """Of the optimisation."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a batch is worked through.

    Attributes:
        pairs: how many at once.
        recompute: whether each block's maps are made anew for the gradient: a third more work, less memory.
        history: pairs (s, y) that L-BFGS keeps.
        tile_px: of the tiles that an evaluation is made in, two passes forward and one back; None is in one piece.
        keep_freed: whether the process may hold on to freed memory, which is in pieces; see `runtime`.
    """

    pairs: int
    recompute: bool
    history: int
    tile_px: int | None = None
    keep_freed: bool = True


def predicted_bytes(width: int, height: int, plan: MemoryPlan, backbone: Computing) -> int:
    """Peak memory of stylizing a batch of pastiches of a size, in bytes, weights and libraries included."""
    size = 4 if backbone.precision == "fp32" else 2
    work = (ENTERING + FIRST_BLOCK if plan.recompute else max(KEPT, FIRST_BLOCK + ENTERING)) + LIBRARY
    point = 4 * 3 * (2 * plan.history + POINT_COPIES)
    pixels = width * height
    at_once = pixels if plan.tile_px is None else _tile_pixels(width, height, plan.tile_px)
    optimizing = plan.pairs * (size * work * at_once + point * pixels)
    # The targets and the losses of the results table: one picture at a time, fp32, forward only.
    measuring = 4 * (FIRST_BLOCK + LIBRARY) * min(pixels, EXACT_PIXELS)
    return base_bytes(backbone) + max(optimizing, measuring)


def plan_memory(width: int, height: int, pairs: int, backbone: Computing, free: int | None = None) -> MemoryPlan:
    """The fastest plan for a batch that fits what is free, or the smallest there is where none does.

    Args:
        width: of the pastiches, in pixels.
        height: of the pastiches, in pixels.
        pairs: in the batch.
        backbone: that they are stylized with.
        free: bytes of memory to plan with; None asks the device.
    """
    budget = SHARE * ((available_bytes(backbone.device) if free is None else free) + base_bytes(backbone))
    plans = _plans(width, height, pairs)
    taken = {plan: predicted_bytes(width, height, plan, backbone) for plan in plans}
    plan = next((plan for plan in plans if taken[plan] <= budget), plans[-1])
    return dataclasses.replace(plan, keep_freed=PIECES * taken[plan] <= budget)


def _plans(width: int, height: int, pairs: int) -> list[MemoryPlan]:
    """The fastest first: a shorter history costs evaluations, recomputing a third of each, tiles most of one more."""
    short, shortest = HISTORY // 2, FEWEST_PAIRS_OF_HISTORY
    choices = ((False, HISTORY), (False, short), (True, short), (True, shortest))
    whole = [MemoryPlan(pairs, recompute, history) for recompute, history in choices]
    tiled = [
        MemoryPlan(pairs, recompute=False, history=history, tile_px=tile_px)
        for tile_px in TILES_PX
        if tile_px < max(width, height)
        for history in (short, shortest)
    ]
    return whole + tiled


def _tile_pixels(width: int, height: int, tile_px: int) -> int:
    """That a tile sees at most."""
    return min(width, tile_px + 2 * HALO_PX) * min(height, tile_px + 2 * HALO_PX)


def largest_batch(width: int, height: int, options: StylizeOptions, backbone: Computing) -> int:  # noqa: ARG001  # options may come to matter
    """How many pairs of a size are stylized at once: one on a CPU, where more at once are no faster.

    On a GPU as many as fit without recomputing, up to `MOST_PIXELS_AT_ONCE`.
    """
    if not backbone.device.startswith("cuda"):
        return 1
    budget = SHARE * (available_bytes(backbone.device) + base_bytes(backbone))
    pairs = max(1, MOST_PIXELS_AT_ONCE // (width * height))
    while pairs > 1 and predicted_bytes(width, height, MemoryPlan(pairs, KEEP_ALL, HISTORY), backbone) > budget:
        pairs -= max(1, pairs // 8)
    return pairs


def base_bytes(backbone: Computing) -> int:
    """What is taken whatever the size of the pictures."""
    return BASE_BYTES["cuda" if backbone.device.startswith("cuda") else "cpu"]


def available_bytes(device: str) -> int:
    """Memory that is free on a device now; on the CPU no more than the container may have."""
    if device.startswith("cuda"):
        import torch

        free, _total = torch.cuda.mem_get_info(device)
        # What torch holds but does not use is free too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_bytes()

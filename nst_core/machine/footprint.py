"""How much memory a batch takes by a plan: counted, never asked.

Counted from the schedule of `nst_core.backbones.scheduled`, per pixel of a pastiche: feature maps in floats of the
network's precision, of which VGG's first block, with 64 channels at full size, is most; and pictures in fp32, of which
L-BFGS keeps many. What is predicted is held to what was measured by the benchmark `memory`.
"""

from dataclasses import dataclass
from typing import Protocol

from nst_core.geometry.tiles import EXACT_PIXELS, EXACT_TILE_PX, halvings
from nst_core.machine.hardware import PrecisionName
from nst_core.options import StylizeOptions
from nst_core.options.layers import CHANNELS_PER_BLOCK

KEPT = 320
"""Floats per pixel that the gradient needs: rectified maps and pooled ones of blocks 1 to 5."""

FIRST_BLOCK = 256
"""Floats per pixel at the widest point of the first block's gradient: two maps and two gradients of 64 channels."""

ENTERING = 32
"""Floats per pixel of what enters the blocks: all that is kept with recomputing."""

INDICES, INDICES_OF_BLOCK = 8 * (16 + 8 + 4 + 2), 8 * 16
"""Bytes per pixel that torch's pooling keeps on a GPU: for each pooled number, which of four was the largest. Of all
poolings, and of the first one alone."""

LIBRARY = 40
"""Floats per pixel that convolutions take for a while, and what is not given back at once."""

PICTURE_BYTES = 12
"""For each pixel of a picture: three numbers in fp32."""

POINT_COPIES = 5
"""Pictures that L-BFGS keeps beside its history, the best one seen among them."""

ON_THE_WAY = 5
"""Pictures of one evaluation: what is shown, its gradient, spectra; and weights by frequency."""

GIVEN_COPIES = 3
"""Pictures that there are all the time: content, style, what it starts from."""

CONTENT_TARGET = 8
"""fp32 features per pixel that the pastiche is held to, of relu4_2; what other content layers have more is a plane."""

REGION_PLANES = 3
"""Numbers per pixel of a region's map: as it is given, and as it is scaled for every layer."""

LUMINANCE_PLANES = 8
"""Numbers per pixel where luminance alone changes: the contents' chroma, their grey, and how far it may go."""

MADE_AT_ONCE = 1 << 24
"""Coordinates that L-BFGS works on in one piece; see `nst_core.optimizers.bands`."""

PIECES_OF_POINT = 6
"""Pictures that are made on the way while L-BFGS works on coordinates in one piece."""

FRAGMENTATION = 1.75
"""What a large picture takes, over what its tensors do, where freed memory is kept: two fifths are then in fragments
too small for any of its maps."""

LARGE_PIXELS = 2_000_000
"""Of a batch; from here on what a step has left behind is given back to the system before the next one. Below, giving
memory back between two batches costs more than it tells, and any plan fits."""

HALO_PX = 128
"""The widest, that of relu5_4."""

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
        keep_freed: whether the process may hold on to freed memory, which is faster, but fragmented; see `runtime`.
        half_history: whether L-BFGS keeps its history in bf16: half the memory.
    """

    pairs: int
    recompute: bool
    history: int
    tile_px: int | None = None
    keep_freed: bool = True
    half_history: bool = False


@dataclass(frozen=True)
class Prediction:
    """Peak memory of stylizing a batch, in bytes.

    Attributes:
        base: weights and libraries, whatever the size.
        maps: feature maps, of the whole or of one tile.
        pictures: contents, style and content target, and what one evaluation makes of pictures.
        optimizer: what L-BFGS keeps.
    """

    base: int
    maps: int
    pictures: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of it at once."""
        return self.base + self.maps + self.pictures + self.optimizer

    def __str__(self) -> str:
        """The sum in words."""
        return (
            f"{in_gb(self.total)} = {in_gb(self.optimizer)} for the optimizer + {in_gb(self.pictures)} for pictures "
            f"and targets + {in_gb(self.maps)} for feature maps + {in_gb(self.base)} for weights and libraries"
        )


@dataclass(frozen=True, order=True)
class Extra:
    """What a pair takes beside its pictures, the content target of the default layer and the usual maps, per pixel.

    Attributes:
        planes: numbers in fp32, of the whole picture.
        maps: floats of the network's precision, of what is worked on at once.
        first_maps: those of them that are of the first block, all that there is at once where maps are made anew.

    Of pairs with the same layers, the one with more planes is the larger.
    """

    planes: int = 0
    maps: int = 0
    first_maps: int = 0


NOTHING = Extra()


def extra_of(options: StylizeOptions, regions: int, *, protects: bool) -> Extra:
    """What a pair takes beside the usual.

    Args:
        options: resolved.
        regions: maps of them, that of transparency included.
        protects: whether a part of it stays as it is, and what is painted is a region therefore.

    >>> extra_of(StylizeOptions(content_layers=("relu2_2",)), 2, protects=True)
    Extra(planes=31, maps=0, first_maps=0)
    >>> extra_of(StylizeOptions(content_layers=("conv4_2",)).resolved(), 0, protects=False)
    Extra(planes=0, maps=8, first_maps=0)
    """
    target = sum(map(_floats_per_pixel, options.content_layers))
    guides = REGION_PLANES * max(regions, int(protects)) + LUMINANCE_PLANES * (options.colors == "luminance") + protects
    # What a loss reads before it is rectified is kept as it was, beside what the rectifier makes of it.
    read = {*options.content_layers, *options.style_layers}
    unrectified = {layer: _floats_per_pixel(layer) for layer in read if layer.startswith("conv")}
    of_first = sum(floats for layer, floats in unrectified.items() if halvings(layer) == 0)
    return Extra(guides + max(0, target - CONTENT_TARGET), sum(unrectified.values()), of_first)


def _floats_per_pixel(layer: str) -> int:
    """Of a picture."""
    return CHANNELS_PER_BLOCK[halvings(layer)] >> 2 * halvings(layer)


def predicted(width: int, height: int, plan: MemoryPlan, backbone: Computing, extra: Extra = NOTHING) -> Prediction:
    """What a batch of pastiches of a size takes by a plan; freed memory that is kept counted as taken.

    Args:
        width: in pixels.
        height: in pixels.
        plan: by which they are made.
        backbone: that they are stylized with.
        extra: see `extra_of`.
    """
    pixels = plan.pairs * width * height
    is_small = pixels < LARGE_PIXELS
    optimizer = pixels * PICTURE_BYTES * _optimizer_pictures(width, height, plan)
    pictures = pixels * (PICTURE_BYTES * (GIVEN_COPIES + ON_THE_WAY) + 4 * (CONTENT_TARGET + extra.planes))
    maps, measuring = _map_bytes(width, height, plan, backbone, extra), _measuring_bytes(width, height)
    if plan.keep_freed and is_small:
        maps += measuring  # what optimizing left behind is of little use to measuring
    else:
        maps = max(maps, measuring - optimizer)  # there is no optimizer yet, or no longer, when measuring
    factor = FRAGMENTATION if plan.keep_freed and not is_small else 1.0
    return Prediction(base_bytes(backbone), *(round(factor * part) for part in (maps, pictures, optimizer)))


def _optimizer_pictures(width: int, height: int, plan: MemoryPlan) -> int:
    """That L-BFGS keeps of each pastiche: its history, its points, and what it works on in one piece."""
    history = plan.history * (1 if plan.half_history else 2)
    in_one_piece = PIECES_OF_POINT if 3 * width * height <= MADE_AT_ONCE else 0
    return history + POINT_COPIES + in_one_piece


def _map_bytes(width: int, height: int, plan: MemoryPlan, backbone: Computing, extra: Extra) -> int:
    """Of feature maps during one evaluation of a batch, in one piece or in tiles."""
    at_once = width * height if plan.tile_px is None else _tile_pixels(width, height, plan.tile_px)
    if plan.recompute:
        features = ENTERING + FIRST_BLOCK + extra.first_maps
    else:
        features = max(KEPT, FIRST_BLOCK + ENTERING) + extra.maps
    per_pixel = (4 if backbone.precision == "fp32" else 2) * (features + LIBRARY)
    if backbone.device.startswith("cuda"):
        per_pixel += INDICES_OF_BLOCK if plan.recompute else INDICES
    return plan.pairs * at_once * per_pixel


def _measuring_bytes(width: int, height: int) -> int:
    """Of feature maps for targets and the losses of the results table: one picture at a time, fp32, forward only."""
    is_whole = width * height <= EXACT_PIXELS
    at_once = width * height if is_whole else _tile_pixels(width, height, EXACT_TILE_PX)
    return 4 * (FIRST_BLOCK + LIBRARY) * at_once


def predicted_bytes(width: int, height: int, plan: MemoryPlan, backbone: Computing, extra: Extra = NOTHING) -> int:
    """Peak memory of stylizing a batch of pastiches of a size, in bytes, weights and libraries included."""
    return predicted(width, height, plan, backbone, extra).total


def _tile_pixels(width: int, height: int, tile_px: int) -> int:
    """That a tile sees at most."""
    return min(width, tile_px + 2 * HALO_PX) * min(height, tile_px + 2 * HALO_PX)


def base_bytes(backbone: Computing) -> int:
    """What is taken whatever the size of the pictures."""
    return BASE_BYTES["cuda" if backbone.device.startswith("cuda") else "cpu"]


def in_gb(number: int) -> str:
    """Bytes as people say them.

    >>> in_gb(12_345_000_000)
    '12.3 GB'
    """
    return f"{number / 1e9:.1f} GB"

"""The predicted peak memory of a batch under a memory plan: computed from sizes, never measured.

The prediction counts, per pixel of a pastiche, what the schedule of `nst_core.backbones.scheduled` keeps: feature maps
as floats of the network's precision, dominated by VGG's first block with its 64 channels at full size, and fp32 images,
of which L-BFGS keeps many. The benchmark `memory` compares the prediction with measurements.
"""

from dataclasses import dataclass
from typing import Protocol

from nst_core.geometry.tiles import EXACT_PIXELS, EXACT_TILE_PX, halvings
from nst_core.machine.hardware import PrecisionName
from nst_core.options import StylizeOptions
from nst_core.options.layers import CHANNELS_PER_BLOCK

KEPT = 320
"""Floats per pixel that the backward pass needs: rectified and pooled maps of blocks 1 to 5."""

FIRST_BLOCK = 256
"""Floats per pixel at the peak of the first block's backward pass: two maps and two gradients of 64 channels."""

ENTERING = 32
"""Floats per pixel of the inputs of all blocks, which are all that is kept when maps are recomputed."""

INDICES = 8 * (16 + 8 + 4 + 2)
"""Bytes per pixel that torch's pooling keeps on a GPU, for all poolings: for each output, which of its four inputs was
the largest."""
INDICES_OF_BLOCK = 8 * 16
"""The same for the first pooling alone."""

WORKSPACE = 40
"""Floats per pixel of the convolutions' temporary memory, and of memory that is not returned at once."""

PICTURE_BYTES = 12
"""Bytes per pixel of an image: three fp32 numbers."""

POINT_COPIES = 5
"""Images that L-BFGS keeps in addition to its history, including the best one seen."""

EVALUATION_COPIES = 5
"""Images held during one evaluation: the displayed image, its gradient, the spectra, and the weights by frequency."""

INPUT_COPIES = 3
"""Images that are held all the time: content, style and the initial image."""

CONTENT_TARGET = 8
"""fp32 features per pixel of the content target relu4_2; other content layers count what exceeds this as planes."""

REGION_PLANES = 3
"""Numbers per pixel of a region's map: the original, and its copies scaled for every layer."""

LUMINANCE_PLANES = 8
"""Numbers per pixel when only the luminance is stylized: the contents' chroma, their grey, and the range it may
take."""

ONE_PIECE_COORDINATES = 1 << 24
"""The most coordinates that L-BFGS works on in one piece; see `nst_core.optimizers.bands`."""

ONE_PIECE_COPIES = 6
"""Temporary images while L-BFGS works on coordinates in one piece."""

FRAGMENTATION = 1.75
"""Memory of a large image over the size of its tensors if freed memory is kept: two fifths of it are then fragments
that are too small for any of its maps."""

LARGE_PIXELS = 2_000_000
"""Pixels of a batch from which on memory freed by one step is returned to the system before the next one. Below,
returning memory between two batches costs more than it gains, and any plan fits."""

WIDEST_HALO_PX = 128
"""The widest halo of a tile, that of relu5_4."""

BASE_BYTES = {"cpu": 1_500_000_000, "cuda": 2_500_000_000}
"""Bytes, by device type, of the weights in all their forms and of the libraries."""


class DeviceAndPrecision(Protocol):
    """The properties of a backbone that decide how much memory it takes: its device and its precision."""

    @property
    def device(self) -> str:
        """The device's name in torch."""

    @property
    def precision(self) -> PrecisionName:
        """The precision of the optimisation."""


@dataclass(frozen=True)
class MemoryPlan:
    """The memory settings with which a batch is computed.

    Attributes:
        pairs: the number of pairs computed at once.
        recompute: whether each block's maps are recomputed for the backward pass: a third more work, less memory.
        history: the number of pairs (s, y) that L-BFGS keeps.
        tile_px: the side of the tiles in which an evaluation is made, with two forward passes and one backward pass;
            None evaluates the image in one piece.
        keep_freed: whether the process may hold on to freed memory, which is faster, but fragmented; see `runtime`.
        half_history: whether L-BFGS keeps its history in bf16, at half the memory.
    """

    pairs: int
    recompute: bool
    history: int
    tile_px: int | None = None
    keep_freed: bool = True
    half_history: bool = False


@dataclass(frozen=True)
class Prediction:
    """The predicted peak memory of stylizing a batch, in bytes.

    Attributes:
        base: weights and libraries, independent of the size.
        maps: feature maps, of the whole image or of one tile.
        pictures: content images, style image, content target, and the temporary images of one evaluation.
        optimizer: the state of L-BFGS.
    """

    base: int
    maps: int
    pictures: int
    optimizer: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.base + self.maps + self.pictures + self.optimizer

    def __str__(self) -> str:
        """Return the sum and its parts as text."""
        return (
            f"{in_gb(self.total)} = {in_gb(self.optimizer)} for the optimizer + {in_gb(self.pictures)} for images "
            f"and targets + {in_gb(self.maps)} for feature maps + {in_gb(self.base)} for weights and libraries"
        )


@dataclass(frozen=True, order=True)
class Extra:
    """The memory per pixel that a pair needs beyond its images, the default content target and the usual maps.

    Of pairs with the same layers, the one with more planes is the larger.

    Attributes:
        planes: fp32 numbers per pixel of the whole image.
        maps: floats of the network's precision, per pixel of the part that is evaluated at once.
        first_maps: the part of `maps` that belongs to the first block, which is all that is held when maps are
            recomputed.
    """

    planes: int = 0
    maps: int = 0
    first_maps: int = 0


NOTHING = Extra()
"""The default: a pair without extra memory."""


def extra_of(options: StylizeOptions, regions: int, *, protects: bool) -> Extra:
    """Return the extra memory of a pair.

    Args:
        options: resolved options.
        regions: the number of region maps, including one for transparency.
        protects: whether a part of the content stays unchanged, which makes the stylized part a region.

    >>> extra_of(StylizeOptions(content_layers=("relu2_2",)), 2, protects=True)
    Extra(planes=31, maps=0, first_maps=0)
    >>> extra_of(StylizeOptions(content_layers=("conv4_2",)).resolved(), 0, protects=False)
    Extra(planes=0, maps=8, first_maps=0)
    """
    target = sum(map(_floats_per_pixel, options.content_layers))
    guides = REGION_PLANES * max(regions, int(protects)) + LUMINANCE_PLANES * (options.colors == "luminance") + protects
    # A convolution's output that a loss reads is kept in addition to its rectified copy.
    read = {*options.content_layers, *options.style_layers}
    unrectified = {layer: _floats_per_pixel(layer) for layer in read if layer.startswith("conv")}
    of_first_block = sum(floats for layer, floats in unrectified.items() if halvings(layer) == 0)
    return Extra(guides + max(0, target - CONTENT_TARGET), sum(unrectified.values()), of_first_block)


def _floats_per_pixel(layer: str) -> int:
    """Return the size of a layer's feature map, in floats per pixel of the image."""
    return CHANNELS_PER_BLOCK[halvings(layer)] >> 2 * halvings(layer)


def predicted(
    width: int, height: int, plan: MemoryPlan, backbone: DeviceAndPrecision, extra: Extra = NOTHING
) -> Prediction:
    """Return the predicted memory of a batch under a plan; freed memory that is kept counts as taken.

    Args:
        width: of the pastiches, in pixels.
        height: of the pastiches, in pixels.
        plan: the memory plan.
        backbone: the backbone that stylizes them.
        extra: see `extra_of`.
    """
    pixels = plan.pairs * width * height
    is_small = pixels < LARGE_PIXELS
    optimizer = pixels * PICTURE_BYTES * _optimizer_copies(width, height, plan)
    pictures = pixels * (PICTURE_BYTES * (INPUT_COPIES + EVALUATION_COPIES) + 4 * (CONTENT_TARGET + extra.planes))
    maps, measuring = _map_bytes(width, height, plan, backbone, extra), _measuring_bytes(width, height)
    if plan.keep_freed and is_small:
        maps += measuring  # measuring can hardly reuse the blocks that the optimisation freed
    else:
        maps = max(maps, measuring - optimizer)  # while measuring, the optimizer does not exist yet, or no longer
    factor = FRAGMENTATION if plan.keep_freed and not is_small else 1.0
    return Prediction(base_bytes(backbone), *(round(factor * part) for part in (maps, pictures, optimizer)))


def _optimizer_copies(width: int, height: int, plan: MemoryPlan) -> int:
    """Return how many images L-BFGS holds per pastiche: its history, its points, and temporaries."""
    history = plan.history * (1 if plan.half_history else 2)
    in_one_piece = ONE_PIECE_COPIES if 3 * width * height <= ONE_PIECE_COORDINATES else 0
    return history + POINT_COPIES + in_one_piece


def _map_bytes(width: int, height: int, plan: MemoryPlan, backbone: DeviceAndPrecision, extra: Extra) -> int:
    """Return the bytes of feature maps during one evaluation of a batch, in one piece or in tiles."""
    pixels = width * height if plan.tile_px is None else _tile_pixels(width, height, plan.tile_px)
    if plan.recompute:
        features = ENTERING + FIRST_BLOCK + extra.first_maps
    else:
        features = max(KEPT, FIRST_BLOCK + ENTERING) + extra.maps
    per_pixel = (4 if backbone.precision == "fp32" else 2) * (features + WORKSPACE)
    if backbone.device.startswith("cuda"):
        per_pixel += INDICES_OF_BLOCK if plan.recompute else INDICES
    return plan.pairs * pixels * per_pixel


def _measuring_bytes(width: int, height: int) -> int:
    """Return the bytes of feature maps for targets and final losses: one image at a time, fp32, forward only."""
    is_whole = width * height <= EXACT_PIXELS
    pixels = width * height if is_whole else _tile_pixels(width, height, EXACT_TILE_PX)
    return 4 * (FIRST_BLOCK + WORKSPACE) * pixels


def predicted_bytes(
    width: int, height: int, plan: MemoryPlan, backbone: DeviceAndPrecision, extra: Extra = NOTHING
) -> int:
    """Return the peak memory of stylizing a batch, in bytes, including weights and libraries."""
    return predicted(width, height, plan, backbone, extra).total


def _tile_pixels(width: int, height: int, tile_px: int) -> int:
    """Return the most pixels that a tile with its halo has."""
    return min(width, tile_px + 2 * WIDEST_HALO_PX) * min(height, tile_px + 2 * WIDEST_HALO_PX)


def base_bytes(backbone: DeviceAndPrecision) -> int:
    """Return the bytes that are taken whatever the size of the images."""
    return BASE_BYTES["cuda" if backbone.device.startswith("cuda") else "cpu"]


def in_gb(number: int) -> str:
    """Format a number of bytes for people.

    >>> in_gb(12_345_000_000)
    '12.3 GB'
    """
    return f"{number / 1e9:.1f} GB"

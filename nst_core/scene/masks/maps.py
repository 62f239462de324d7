"""Masks as maps: how much each pixel belongs to a region, or is white."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from nst_core.scene.masks.colours import Colour
from nst_core.scene.masks.levels import PURE

ROUNDING = 16.0
"""A squared distance: if two mixtures come this equally near to a pixel, the one of nearer colours wins."""


def maps_of(mask: Image.Image, colours: Sequence[Colour], size: tuple[int, int]) -> torch.Tensor:
    """Return the map of each colour in a mask at a size (width, height), shape (1, R, H, W); the maps add up to 1."""
    width, height = size
    # Pixels are assigned to regions before resizing: interpolated colours could equal those of other regions.
    pixels = np.asarray(_at_most(mask, size), dtype=np.float32)
    shares = _shares(pixels.reshape(-1, 3), np.array(colours, dtype=np.float32))
    maps = torch.from_numpy(shares.T.reshape(1, len(colours), *pixels.shape[:2]).copy())
    if maps.shape[2] >= height and maps.shape[3] >= width:
        return functional.adaptive_avg_pool2d(maps, size[::-1])
    return functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def _at_most(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a mask reduced to at most twice the requested size, to save memory."""
    width, height = min(mask.width, 2 * size[0]), min(mask.height, 2 * size[1])
    return mask.resize((width, height), Image.Resampling.BOX) if (width, height) != mask.size else mask


def _shares(pixels: npt.NDArray[np.float32], colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return each pixel's share of each colour, shape (pixels, R): of the two whose mixture is nearest to it."""
    if len(colours) == 1:
        return np.ones((len(pixels), 1), dtype=np.float32)
    best = np.full(len(pixels), np.inf, dtype=np.float32)
    shares = np.zeros((len(pixels), len(colours)), dtype=np.float32)
    pairs = itertools.combinations(range(len(colours)), 2)
    # Nearest pairs first: a pixel of a colour between two others must not be taken for a mixture of those.
    for one, other in sorted(pairs, key=lambda pair: float(np.linalg.norm(colours[pair[0]] - colours[pair[1]]))):
        line = colours[other] - colours[one]
        along = np.clip((pixels - colours[one]) @ line / (line @ line), 0.0, 1.0)
        apart = np.square(pixels - colours[one] - along[:, None] * line).sum(axis=1)
        better = apart < best - ROUNDING
        best[better] = apart[better]
        shares[better] = 0.0
        shares[better, one], shares[better, other] = 1.0 - along[better], along[better]
    return shares


def coverage(mask: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Return how white a mask is at a size (width, height), shape (1, 1, H, W); 1 is white.

    Accepts any Pillow mode; transparent pixels count as black.
    """
    if mask.mode.startswith("I;16"):  # which Pillow would clip at 255 instead of scaling
        mask = Image.fromarray((np.asarray(mask) >> 8).astype(np.uint8))
    if mask.has_transparency_data:
        mask = Image.alpha_composite(Image.new("RGBA", mask.size, "black"), mask.convert("RGBA"))
    # Lanczos resampling would ring: it leaves grey waves in the white next to an edge.
    light = np.array(mask.convert("L").resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    black, white = PURE
    return torch.from_numpy(np.clip((light - black) / (white - black), 0.0, 1.0))[None, None]

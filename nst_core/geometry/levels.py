"""Pyramid levels: at how many sizes a pastiche is optimised, and with how many steps at each. No torch."""

from nst_core.geometry.sizes import smallest_side
from nst_core.options.stylize_options import BY_SIZE_ABOVE_PX, StylizeOptions

COARSE_STEPS = 40
"""Most steps at each coarse level; what matters there is established early."""

COARSEST_PX = 256
"""Shortest long edge of a level."""

SHORTEST_PX = 2
"""Shortest short edge: a smaller image has no neighbours to compare, as the total variation requires."""

MOST_LEVELS = 7
"""Most levels: from 16384 px down to 256."""

FULL_STEPS_PIXELS = BY_SIZE_ABOVE_PX**2
"""Number of pixels beyond which a recipe's steps are reduced, so that they take as long as at this size."""

FEWEST_STEPS = 20
"""Fewest steps of a recipe at any size: the large strokes come from the coarse levels, and full size only refines
edges."""


def level_count(width: int, height: int, wanted: int | None, *, from_picture: bool = False) -> int:
    """Return the number of levels of a pastiche: as many as requested, or one for each doubling from 256 px.

    Args:
        width: width in pixels.
        height: height in pixels.
        wanted: the option `levels`.
        from_picture: whether the optimisation starts from an image of the user's, which already has its large strokes:
            unless `wanted` is given, full size is then the only level.

    >>> [level_count(size, size, None) for size in (256, 511, 512, 1024, 3000, 8192)]
    [1, 1, 2, 3, 4, 6]
    """
    if wanted is not None:
        return wanted
    if from_picture:
        return 1
    longest, levels = max(width, height), 1
    while levels < MOST_LEVELS and longest >= 2 * COARSEST_PX:
        longest, levels = longest // 2, levels + 1
    return levels


def usable_levels(wanted: int, shortest_px: int, options: StylizeOptions) -> int:
    """Reduce the number of levels until the shortest side is long enough for every layer and the total variation."""
    layers = (*options.content_layers, *options.style_layers)
    needed = max(SHORTEST_PX, *(smallest_side(layer) for layer in layers))
    while wanted > 1 and shortest_px >> (wanted - 1) < needed:
        wanted -= 1
    return wanted


def steps_at(width: int, height: int, options: StylizeOptions, level: int = 0) -> int:
    """Return the most steps to take at a level: as many as requested, or the recipe's, reduced for large images.

    >>> [steps_at(size, size, StylizeOptions()) for size in (512, 2048, 4096, 16384)]
    [300, 300, 75, 20]
    """
    steps = options.steps
    if steps is None:
        usual = options.usual_steps
        affordable = usual * FULL_STEPS_PIXELS // max(width * height, FULL_STEPS_PIXELS)
        steps = max(min(usual, FEWEST_STEPS), affordable)
    return steps if level == 0 else min(steps, COARSE_STEPS)

"""At how many sizes a pastiche is optimised, and with how many steps at each. No torch."""

from nst_core.geometry.sizes import smallest_side
from nst_core.options.stylize_options import BY_SIZE_ABOVE_PX, StylizeOptions

COARSE_STEPS = 40
"""Steps at most at each coarse level: what matters there is laid down early."""

COARSEST_PX = 256
"""Long edge below which no level is made."""

SHORTEST_PX = 2
"""Short edge below which a picture has no neighbours to differ from, as the total variation wants."""

MOST_LEVELS = 7
"""From 16384 px down to 256."""

FULL_STEPS_PIXELS = BY_SIZE_ABOVE_PX**2
"""Beyond it a recipe's steps are fewer, so that they take as long as those at this size."""

FEWEST_STEPS = 20
"""Of a recipe, whatever the size: large strokes come from the coarse levels, so that full size is left their edges."""


def level_count(width: int, height: int, wanted: int | None, *, from_picture: bool = False) -> int:
    """How many levels a pastiche of a size is optimised at: as many as wanted, or one for each doubling from 256 px.

    Args:
        width: in pixels.
        height: in pixels.
        wanted: the option `levels`.
        from_picture: whether it starts from a picture of its own, which has its large strokes already: unless levels
            are asked for, full size is then the only one.

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
    """As many of the wanted levels as leave the shortest side long enough for every layer and the total variation."""
    layers = (*options.content_layers, *options.style_layers)
    needed = max(SHORTEST_PX, *(smallest_side(layer) for layer in layers))
    while wanted > 1 and shortest_px >> (wanted - 1) < needed:
        wanted -= 1
    return wanted


def steps_at(width: int, height: int, options: StylizeOptions, level: int = 0) -> int:
    """The most steps to take at a level of a size: as many as wanted, or the recipe's, which large pictures cut short.

    >>> [steps_at(size, size, StylizeOptions()) for size in (512, 2048, 4096, 16384)]
    [300, 300, 75, 20]
    """
    steps = options.steps
    if steps is None:
        usual = options.usual_steps
        affordable = usual * FULL_STEPS_PIXELS // max(width * height, FULL_STEPS_PIXELS)
        steps = max(min(usual, FEWEST_STEPS), affordable)
    return steps if level == 0 else min(steps, COARSE_STEPS)

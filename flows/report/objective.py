"""Decide which numbers of two pairs can be compared, by the options that define what the numbers measure."""

from collections.abc import Callable, Mapping

from nst_core.options import StylizeOptions


def objective(options: StylizeOptions) -> tuple[object, ...]:
    """Return what defines the total loss; totals can be compared only if it is the same."""
    weights = options.content_weight, options.style_weight, options.tv_weight
    return (*_content_loss(options), *_style_loss(options), *weights)


def _content_loss(options: StylizeOptions) -> tuple[object, ...]:
    return options.recipe, options.content_layers, options.pooling, options.colors


def _style_loss(options: StylizeOptions) -> tuple[object, ...]:
    layers = options.style_layers, options.style_layer_weights
    return (options.recipe, *layers, options.pooling, options.colors, options.style_scale)


def _content_distance(options: StylizeOptions) -> tuple[object, ...]:
    # Distances have a recipe and layers of their own, but are measured in the pair's colours and at its style's size.
    return (options.colors,)


def _style_distance(options: StylizeOptions) -> tuple[object, ...]:
    return options.colors, options.style_scale


DEFINITIONS: Mapping[str, Callable[[StylizeOptions], tuple[object, ...]]] = {
    "total_loss": objective,
    "content_loss": _content_loss,
    "style_loss": _style_loss,
    "content_distance": _content_distance,
    "style_distance": _style_distance,
}
"""Maps a measure to the function that returns what defines it; any other measure can always be compared."""

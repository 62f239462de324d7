"""Decide which pairs have comparable losses: those whose options define the same objective."""

from nst_core.options import StylizeOptions


def loss_terms(options: StylizeOptions) -> tuple[object, ...]:
    """Return what defines the unweighted content and style loss; they can be compared only if it is the same."""
    return (
        options.recipe,
        options.content_layers,
        options.style_layers,
        options.style_layer_weights,
        options.pooling,
        options.colors,
        options.style_scale,
    )


def objective(options: StylizeOptions) -> tuple[object, ...]:
    """Return what defines the total loss: the loss terms and their weights."""
    return (*loss_terms(options), options.content_weight, options.style_weight, options.tv_weight)

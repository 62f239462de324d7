"""Which options define what the losses of a pair measure. No torch.

Numbers of two pairs can be compared only if these options are equal. The report says so, naming them in its own words:
`RULE` in `flows/report/outliers.py`, and `comparison.html.jinja`.
"""

CONTENT_LOSS = ("recipe", "content_layers", "pooling", "colors")
"""The options that define the content loss."""

STYLE_LOSS = ("recipe", "style_layers", "style_layer_weights", "pooling", "colors", "style_scale")
"""The options that define the style loss."""

SEEN_AS = ("colors", "style_scale")
"""Those among them that change the images before the network sees them, and so the distances too, which have a recipe
and layers of their own."""

WEIGHTS = ("content_weight", "style_weight", "tv_weight")
"""The weights of the losses in the total loss, in the order in which the losses are named everywhere."""

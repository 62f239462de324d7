"""What each option of a pair has an effect on, where the code cannot know it by itself: a new option is decided here.

The first test below fails for an option that `EFFECTS` lacks. Where the entry and the code differ, the second names the
place to change:

- `content loss`, `style loss`, `weights`: `nst_core.options.objective`. Without it, the report compares numbers that
  measure different things, and `nst_core.measure` takes other losses for the common distances.
- `style's encoding`: the key in `flows.worker.engine`. Without it, pairs share the encoding of another style.
- `when it settles`: the key in `flows.costs.rates`. Without it, predicted times are learned from unlike pairs.
"""

from typing import Any

import pytest

from flows.costs.rates import settling
from flows.worker.engine import _Encoding
from nst_core.options import StylizeOptions
from nst_core.options.objective import CONTENT_LOSS, STYLE_LOSS, WEIGHTS

CONTENT, STYLE, WEIGHT = "content loss", "style loss", "weights"
ENCODING, SETTLING = "style's encoding", "when it settles"
NOTHING: frozenset[str] = frozenset()

# For each option a value other than the default, and what it has an effect on.
EFFECTS: dict[str, tuple[Any, frozenset[str]]] = {
    "recipe": ("moments", frozenset({CONTENT, STYLE, ENCODING, SETTLING})),
    "size_px": (256, NOTHING),
    "enlarge": (True, NOTHING),
    "style_scale": (0.5, frozenset({STYLE, ENCODING})),
    "style_blend": ((0.75, 0.25), frozenset({ENCODING})),
    "colors": ("match", frozenset({CONTENT, STYLE})),  # such a style depends on the content, and no pairs share it
    "strength": (0.7, NOTHING),  # another name of style_weight
    "content_weight": (2.0, frozenset({WEIGHT})),
    "style_weight": (31.0, frozenset({WEIGHT})),
    "tv_weight": (1.0, frozenset({WEIGHT})),
    "content_layers": (("conv4_2",), frozenset({CONTENT})),
    "style_layers": (("relu1_1", "relu2_1"), frozenset({STYLE, ENCODING})),
    "style_layer_weights": ((0.2, 0.2, 0.2, 0.2, 0.1), frozenset({STYLE})),
    "pooling": ("average", frozenset({CONTENT, STYLE, ENCODING})),
    "quality": ("best", frozenset({SETTLING})),
    "init": ("noise", NOTHING),
    "seed": (1, NOTHING),
    "levels": (2, NOTHING),
    "optimizer": ("adam", NOTHING),
    "learning_rate": (0.1, NOTHING),
    "steps": (301, NOTHING),
    "loss_threshold": (0.5, NOTHING),
    "plateau_tolerance": (0.1, frozenset({SETTLING})),
    "plateau_window": (26, frozenset({SETTLING})),
    "max_seconds": (60.0, NOTHING),
    "output_format": ("tiff", NOTHING),
    "jpeg_quality": (93, NOTHING),
    "bit_depth": (16, NOTHING),
    "output_profile": ("content", NOTHING),
    "dpi": (300, NOTHING),
    "alpha": ("keep", NOTHING),
}


def test_every_option_is_decided() -> None:
    """`EFFECTS` has every option, in their order."""
    assert list(EFFECTS) == list(StylizeOptions.model_fields)


@pytest.mark.parametrize("name", EFFECTS)
def test_an_option_has_the_effects_that_are_decided(name: str) -> None:
    """An option is named, or changes the key, in each place on which it has an effect, and in no other."""
    value, expected = EFFECTS[name]
    usual, changed = StylizeOptions().resolved(), StylizeOptions().overridden({name: value}).resolved()
    found = {
        CONTENT: name in CONTENT_LOSS,
        STYLE: name in STYLE_LOSS,
        WEIGHT: name in WEIGHTS,
        ENCODING: _Encoding.by(changed) != _Encoding.by(usual),
        SETTLING: settling(changed) != settling(usual),
    }

    assert {effect for effect, is_there in found.items() if is_there} == expected

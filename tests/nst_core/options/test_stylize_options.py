"""options: everything that decides how one pair is stylized."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nst_core.options.recipes import RECIPES
from nst_core.options.stylize_options import SHORTHANDS, StylizeOptions

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# What a recipe fills in, as published: content weight, style weight, layer weights, optimizer, learning rate, steps.
FILLED_IN = {
    "relative": (1.0, 30.0, (0.2,) * 5, "lbfgs", None, 300),
    "moments": (1.0, 100.0, tuple(4.0**n / 341 for n in (4, 3, 2, 1, 0)), "lbfgs", None, 300),
    "gatys": (1.0, 1000.0, (0.2,) * 5, "lbfgs", None, 500),
    "notebook": (1.0, 1e6, (1.0, 0.75, 0.2, 0.2, 0.2), "adam", 0.003, 2000),
    "neural-style": (1.0, 1000.0, (1.0,) * 5, "lbfgs", None, 500),
}

# Another value for every option.
OTHER: dict[str, Any] = {
    "recipe": "gatys",
    "size_px": 256,
    "enlarge": True,
    "style_scale": 0.5,
    "style_blend": (0.75, 0.25),
    "colors": "match",
    "strength": None,  # style_weight says it already
    "content_weight": 2.0,
    "style_weight": 31.0,
    "tv_weight": 1.0,
    "content_layers": ("conv4_2",),
    "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1"),
    "style_layer_weights": (0.2, 0.2, 0.2, 0.2, 0.1),
    "pooling": "average",
    "quality": "best",
    "init": "noise",
    "seed": 1,
    "levels": 2,
    "optimizer": "adam",
    "learning_rate": 0.1,
    "steps": 301,
    "loss_threshold": 0.5,
    "plateau_tolerance": 0.0,
    "plateau_window": 26,
    "max_seconds": 60.0,
    "output_format": "tiff",
    "jpeg_quality": 93,
    "bit_depth": 16,
    "output_profile": "content",
    "dpi": 300,
    "alpha": "keep",
}

FLOATS = (
    "style_scale",
    "content_weight",
    "style_weight",
    "tv_weight",
    "learning_rate",
    "loss_threshold",
    "plateau_tolerance",
    "max_seconds",
)

# (option, smallest allowed, refused below it, largest allowed, refused above it); None where there is no bound.
BOUNDS: list[tuple[str, float | None, float | None, float | None, float | None]] = [
    ("size_px", 16, 15, 16384, 16385),
    ("style_scale", 0.1, 0.0999, 4.0, 4.001),
    ("content_weight", 0.0, -1e-9, 1e12, 1.001e12),
    ("style_weight", 0.0, -1e-9, 1e12, 1.001e12),
    ("tv_weight", 0.0, -1e-9, 1e12, 1.001e12),
    ("seed", 0, -1, 2**63 - 1, 2**63),
    ("levels", 1, 0, 7, 8),
    ("strength", 0.0, -0.01, 1.0, 1.01),
    ("dpi", 10, 9, 4800, 4801),
    ("learning_rate", 1e-9, 0.0, 1e3, 1001.0),
    ("steps", 1, 0, 100_000, 100_001),
    ("loss_threshold", 1e-9, 0.0, None, None),
    ("plateau_tolerance", 0.0, -1e-9, 0.999, 1.0),
    ("plateau_window", 2, 1, 100_000, 100_001),
    ("max_seconds", 1e-9, 0.0, None, None),
    ("jpeg_quality", 1, 0, 100, 101),
]


def make(**values: Any) -> StylizeOptions:
    return StylizeOptions.model_validate(values)


def refusal(**values: Any) -> str:
    """The text of the error that these values must give."""
    with pytest.raises(ValidationError) as caught:
        make(**values)
    return str(caught.value)


# ---- Defaults and what the recipe fills in


def test_defaults() -> None:
    """Without a word: the relative recipe at 512 px from the content image, and all else as the recipe has it."""
    assert StylizeOptions().model_dump() == {
        "recipe": "relative",
        "size_px": 512,
        "enlarge": False,
        "style_scale": 1.0,
        "style_blend": None,
        "colors": "style",
        "strength": None,
        "content_weight": None,
        "style_weight": None,
        "tv_weight": 0.0,
        "content_layers": ("relu4_2",),
        "style_layers": STYLE_LAYERS,
        "style_layer_weights": None,
        "pooling": "max",
        "quality": "standard",
        "init": "content",
        "seed": 0,
        "levels": None,
        "optimizer": None,
        "learning_rate": None,
        "steps": None,
        "loss_threshold": None,
        "plateau_tolerance": None,
        "plateau_window": 25,
        "max_seconds": None,
        "output_format": "png",
        "jpeg_quality": 92,
        "bit_depth": 8,
        "output_profile": "srgb",
        "dpi": None,
        "alpha": "white",
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipe_fills_in_what_was_left_to_it(recipe: str) -> None:
    """Resolved options have the published weights, optimizer, learning rate and steps of their recipe."""
    found = make(recipe=recipe).resolved()

    filled = (found.content_weight, found.style_weight, found.style_layer_weights)
    assert (*filled, found.optimizer, found.learning_rate, found.steps) == FILLED_IN[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_resolving_changes_nothing_that_was_said(recipe: str) -> None:
    """Resolved options keep every value that was given."""
    given_values = OTHER | {"recipe": recipe}
    if recipe == "notebook":
        given_values["style_scale"] = 1.0  # it takes no other

    assert make(**given_values).resolved().model_dump() == given_values


@pytest.mark.parametrize("recipe", RECIPES)
def test_resolving_twice_is_resolving_once(recipe: str) -> None:
    """Resolved options are their own resolution."""
    once = make(recipe=recipe).resolved()

    assert once.resolved() == once


def test_zero_is_a_weight_of_its_own() -> None:
    """A weight of 0 is not taken for a weight that was left to the recipe."""
    assert make(content_weight=0).resolved().content_weight == 0.0
    assert make(style_weight=0).resolved().style_weight == 0.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"recipe": "relative", "optimizer": "adam"}, 0.05),
        ({"recipe": "gatys", "optimizer": "adam", "learning_rate": 0.2}, 0.2),
        ({"recipe": "notebook"}, 0.003),
        ({"recipe": "notebook", "learning_rate": 1.0}, 1.0),
        ({"recipe": "notebook", "optimizer": "lbfgs"}, None),
        ({"recipe": "relative", "learning_rate": 1.0}, None),
    ],
)
def test_learning_rate_belongs_to_adam(values: dict[str, Any], expected: float | None) -> None:
    """Adam's learning rate is the one given, else the recipe's, else 0.05; L-BFGS has none."""
    assert make(**values).resolved().learning_rate == expected


def test_layer_weights_follow_the_layers_that_are_named() -> None:
    """The recipe's weights go by layer: a mean over all in `relative`, the notebook's table and 0.2 for the rest."""
    layers = ("conv4_2", "relu2_1", "conv1_1")

    assert make(style_layers=layers).resolved().style_layer_weights == (1 / 3, 1 / 3, 1 / 3)
    assert make(recipe="notebook", style_layers=layers).resolved().style_layer_weights == (0.2, 0.75, 1.0)
    assert make(recipe="neural-style", style_layers=layers).resolved().style_layer_weights == (1.0, 1.0, 1.0)


# ---- Overrides


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_new_recipe_brings_its_own_values(recipe: str) -> None:
    """What was left to the recipe is left to the new recipe when a row changes it."""
    for first in RECIPES:
        assert make(recipe=first).overridden({"recipe": recipe}).resolved() == make(recipe=recipe).resolved()


def test_what_was_said_stays_when_the_recipe_changes() -> None:
    """A value that was given outlives a change of the recipe."""
    found = make(style_weight=7, steps=9).overridden({"recipe": "gatys"}).resolved()

    assert (found.recipe, found.style_weight, found.steps) == ("gatys", 7.0, 9)
    assert found.style_layer_weights == (0.2,) * 5


def test_overrides_win() -> None:
    """A row's value replaces the one of the run, as text too, and leaves the run's options as they are."""
    run = make(steps=9, size_px=64)

    row = run.overridden({"steps": "12", "style_layers": "relu1_1 relu2_1"})

    assert (row.steps, row.size_px, row.style_layers) == (12, 64, ("relu1_1", "relu2_1"))
    assert (run.steps, run.style_layers) == (9, STYLE_LAYERS)


def test_no_override_is_no_change() -> None:
    """Without changes the same options come back."""
    assert make(**OTHER).overridden({}) == make(**OTHER)


@pytest.mark.parametrize("changes", [{"stpes": 3}, {"steps": 0}, {"style_layer_weights": (1.0,)}])
def test_overrides_are_checked(changes: dict[str, Any]) -> None:
    """A change is checked as the options themselves are: its name, its bounds, and how it fits the rest."""
    with pytest.raises(ValidationError, match=next(iter(changes))):
        StylizeOptions().overridden(changes)


# ---- Digest


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_digest_is_of_the_resolved_options(recipe: str) -> None:
    """It makes no difference to the digest whether a value was given or came from the recipe."""
    options = make(recipe=recipe)

    assert len(options.digest()) == 16
    assert int(options.digest(), 16) >= 0
    assert options.digest() == options.resolved().digest()


@pytest.mark.parametrize("name", [name for name in OTHER if name not in SHORTHANDS])
def test_every_option_counts_in_the_digest(name: str) -> None:
    """Another value of any one option is another digest."""
    options = make(optimizer="adam")  # L-BFGS has no learning rate to count
    value = "lbfgs" if name == "optimizer" else OTHER[name]

    assert options.overridden({name: value}).digest() != options.digest()


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"style_weight": 30}, {}),
        ({"style_weight": "30.0"}, {"style_weight": 30}),
        ({"style_layer_weights": "0.2, 0.2; 0.2 0.2 0.2"}, {}),
        ({"learning_rate": 0.5}, {}),  # L-BFGS takes none
        ({"tv_weight": -0.0}, {"tv_weight": 0.0}),
        ({"style_layer_weights": "-0 1 1 1 1"}, {"style_layer_weights": "0 1 1 1 1"}),
        ({"style_layers": list(STYLE_LAYERS)}, {}),
    ],
)
def test_equal_resolved_options_have_equal_digests(values: dict[str, Any], same: dict[str, Any]) -> None:
    """Two ways to say the same have one digest."""
    assert make(**values).resolved() == make(**same).resolved()

    assert make(**values).digest() == make(**same).digest()


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "recipe": st.sampled_from(sorted(RECIPES)),
                "style_weight": st.sampled_from([30.0, 1000.0, 1e6]),
                "optimizer": st.sampled_from(["lbfgs", "adam"]),
                "learning_rate": st.sampled_from([0.003, 0.05]),
                "steps": st.sampled_from([300, 500]),
            },
        ),
        min_size=2,
        max_size=2,
    )
)
def test_digests_are_equal_just_when_resolved_options_are(pair: list[dict[str, Any]]) -> None:
    """Digests of two options agree exactly if the options mean the same."""
    one, other = make(**pair[0]), make(**pair[1])

    assert (one.digest() == other.digest()) == (one.resolved() == other.resolved())


# ---- What is refused


@pytest.mark.parametrize(("name", "smallest", "below", "largest", "above"), BOUNDS)
def test_bounds(
    name: str, smallest: float | None, below: float | None, largest: float | None, above: float | None
) -> None:
    """Every number is taken at its bound and refused beyond it, by its name."""
    for allowed in (smallest, largest):
        if allowed is not None:
            assert getattr(make(**{name: allowed}), name) == allowed
    for refused in (below, above):
        if refused is not None:
            assert name in refusal(**{name: refused})


def test_every_number_is_bounded_or_positive() -> None:
    """No number among the options lacks a test of its bounds."""
    numbers = {name for name, value in OTHER.items() if isinstance(value, int | float) and not isinstance(value, bool)}

    # One of two, and one that goes without the style weight that is there.
    assert numbers - {"bit_depth"} | {"strength"} == {bound[0] for bound in BOUNDS}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf", "1e999"])
@pytest.mark.parametrize("name", FLOATS)
def test_numbers_are_finite(name: str, value: float | str) -> None:
    """NaN and infinity are refused, as numbers and as text."""
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan"])
def test_layer_weights_are_finite(value: float | str) -> None:
    """NaN and infinity are refused among the layer weights."""
    assert "style_layer_weights" in refusal(style_layer_weights=(1.0, 1.0, value, 1.0, 1.0))


@pytest.mark.parametrize("name", ["stlye_weight", "device", "Steps", ""])
def test_unknown_names_are_refused(name: str) -> None:
    """A name that is no option is refused."""
    assert "Extra inputs are not permitted" in refusal(**{name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipe", "gaty"),
        ("optimizer", "sgd"),
        ("pooling", "none"),
        ("init", "random"),
        ("output_format", "gif"),
        ("steps", "1e5x"),
        ("steps", 1.5),
        ("size_px", ""),
        ("enlarge", "perhaps"),
    ],
)
def test_values_of_another_kind_are_refused(name: str, value: Any) -> None:
    """A word that is no choice, and text that is no number, are refused."""
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("name", ["content_layers", "style_layers"])
@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (("relu1_1", "relu6_1"), "no layer 'relu6_1'"),
        (("pool1",), "no layer 'pool1'"),
        (("RELU1_1",), "no layer 'RELU1_1'"),
        (("relu1_3",), "no layer 'relu1_3'"),
        (("relu1_1", "relu2_1", "relu1_1"), "a layer is named twice"),
        ((), "at least one layer is needed"),
        ("", "at least one layer is needed"),
        (" , ", "at least one layer is needed"),
    ],
)
def test_layers_are_known_and_different(name: str, layers: Any, reason: str) -> None:
    """Layers are layers of VGG-19 that a loss may use, at least one, and none twice."""
    assert reason in refusal(**{name: layers})


@pytest.mark.parametrize(
    "text", ["relu1_1 conv2_1", "relu1_1,conv2_1", "relu1_1;conv2_1", " relu1_1 ,\tconv2_1 ", "relu1_1, conv2_1;"]
)
def test_lists_as_text(text: str) -> None:
    """Layers and weights may be one text, parted by blanks, commas or semicolons."""
    options = make(content_layers=text, style_layers=text, style_layer_weights="0.5; 2")

    assert options.content_layers == options.style_layers == ("relu1_1", "conv2_1")
    assert options.style_layer_weights == (0.5, 2.0)


@pytest.mark.parametrize(("weights", "count"), [((1.0,) * 4, 4), ((1.0,) * 6, 6), ("1 2 3", 3)])
def test_there_is_a_weight_for_every_style_layer(weights: Any, count: int) -> None:
    """Fewer or more weights than style layers are refused with both numbers."""
    assert f"expected 5 numbers, one per style layer, got {count}" in refusal(style_layer_weights=weights)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0, -0.1), (0.0,) * 5, ()])
def test_layer_weights_are_not_negative_nor_all_zero(weights: tuple[float, ...]) -> None:
    """A negative weight is refused, and so are weights that leave nothing of the style."""
    assert "weights are 0 or more, and not all 0" in refusal(style_layer_weights=weights)


def test_a_layer_may_weigh_nothing() -> None:
    """Some of the layer weights may be 0."""
    weights = (0.0, 0.0, 0.0, 0.0, 1.0)

    assert make(style_layer_weights=weights).resolved().style_layer_weights == weights


@pytest.mark.parametrize(
    ("strength", "weight"), [(0.0, 1.0), (0.25, 30.0**0.5), (0.5, 30.0), (0.75, 30.0 * 6.0**0.5), (1.0, 180.0)]
)
def test_strength_is_a_style_weight(strength: float, weight: float) -> None:
    """A half is the recipe's own weight, 0 a thirtieth of it and 1 six times it; in between it grows evenly."""
    found = make(strength=strength).resolved()

    assert found.style_weight == pytest.approx(weight)
    assert found.resolved() == found


def test_strength_and_style_weight_must_agree() -> None:
    """Of two that say different things neither wins."""
    assert "give one of the two" in refusal(strength=0.7, style_weight=30.0)
    assert make(strength=0.5, style_weight=30.0).style_weight == 30.0


def test_a_row_s_word_for_the_style_replaces_the_run_s() -> None:
    """Whichever of the two either used; what else the run said stays."""
    dialled, weighed = make(strength=0.7, steps=9), make(style_weight=10.0, steps=9)

    assert dialled.overridden({"style_weight": 10.0}).digest() == weighed.digest()
    assert weighed.overridden({"strength": 0.7}).digest() == dialled.digest()
    with pytest.raises(ValidationError, match="give one of the two"):
        dialled.overridden({"style_weight": 10.0, "strength": 0.2})


@pytest.mark.parametrize(
    ("quality", "steps", "tolerance"), [("draft", 40, 0.05), ("standard", 300, 0.015), ("best", 600, 0.002)]
)
def test_quality_says_how_long(quality: str, steps: int, tolerance: float) -> None:
    """In steps and tolerance, where they are not said; of the same steps and tolerance it makes no other result."""
    found = make(quality=quality).resolved()

    assert (found.steps, found.plateau_tolerance) == (steps, tolerance)
    assert found.digest() == make(steps=steps, plateau_tolerance=tolerance).digest()
    given = make(quality=quality, steps=7, plateau_tolerance=0.0).resolved()
    assert (given.steps, given.plateau_tolerance) == (7, 0.0)


def test_quality_is_of_the_recipe_s_own_steps() -> None:
    """The notebook's Adam takes 2000 where L-BFGS takes 300."""
    found = [make(recipe="notebook", quality=quality).resolved().steps for quality in ("draft", "standard", "best")]

    assert found == [267, 2000, 4000]


@pytest.mark.parametrize("recipe", RECIPES)
def test_something_must_be_optimised(recipe: str) -> None:
    """Content and style weight may each be 0, but not both."""
    assert make(recipe=recipe, content_weight=0).content_weight == 0.0
    assert make(recipe=recipe, style_weight=0).style_weight == 0.0
    assert "there is nothing to optimise" in refusal(recipe=recipe, content_weight=0, style_weight=0, tv_weight=1)


# ---- As a value


def test_options_are_frozen() -> None:
    """An option cannot be changed in place."""
    options = StylizeOptions()

    with pytest.raises(ValidationError, match="frozen"):
        options.steps = 3  # type: ignore[misc]


def test_options_are_hashable() -> None:
    """Equal options are one key, different ones two."""
    assert len({make(), make(), make(steps=3), make(steps=3), make(**OTHER)}) == 3


def test_options_survive_json() -> None:
    """Options written as JSON and read again are the same, resolved or not."""
    for options in (make(), make().resolved(), make(**OTHER)):
        assert StylizeOptions.model_validate_json(options.model_dump_json()) == options


def test_every_option_is_explained() -> None:
    """Every option has a text for the README and for --help."""
    assert all(field.description for field in StylizeOptions.model_fields.values())


def test_all_reasons_are_named_at_once() -> None:
    """Options that do not go together in several ways are refused with every reason, not only the first."""
    with pytest.raises(ValidationError) as caught:
        StylizeOptions(
            output_format="jpeg", bit_depth=16, alpha="keep", content_weight=0, style_weight=0, style_layer_weights=(1,)
        )

    (error,) = caught.value.errors()
    for reason in ("bit_depth 16:", "alpha keep:", "are both 0", "style_layer_weights: expected 5 numbers"):
        assert reason in error["msg"]


@pytest.mark.parametrize("style_scale", [0.5, 2.0])
def test_the_notebook_recipe_takes_no_style_scale(style_scale: float) -> None:
    """It squeezes the style to the content's shape, so that another scale would be ignored."""
    with pytest.raises(ValidationError, match=r"style_scale .*: recipe notebook takes none"):
        StylizeOptions(recipe="notebook", style_scale=style_scale)

    assert StylizeOptions(recipe="notebook", style_scale=1.0).resolved().style_scale == 1.0


@pytest.mark.parametrize("option", ["style_blend", "style_layer_weights"])
def test_lists_of_weights_are_bounded(option: str) -> None:
    """Each weight is at most 1e12, like the weights of the losses, so that their sum cannot overflow."""
    with pytest.raises(ValidationError, match=r"weights are at most 1e\+12, got 1e\+308"):
        StylizeOptions(**{option: "1e308 1e308"}, style_layers=("relu1_1", "relu2_1"))

    assert getattr(StylizeOptions(**{option: (1e12, 1.0)}, style_layers=("relu1_1", "relu2_1")), option) == (1e12, 1.0)


@pytest.mark.parametrize("layers", [("relu4_1", "relu5_1"), ("relu1_1",), ("conv3_1", "relu2_1", "relu5_1")])
def test_the_weights_of_moments_add_up_to_one(layers: tuple[str, ...]) -> None:
    """Whatever the style layers, the style weight keeps its size, and each deeper block has a quarter of the weight."""
    weights = StylizeOptions(recipe="moments", style_layers=layers).resolved().style_layer_weights

    assert weights is not None
    assert sum(weights) == pytest.approx(1.0)
    blocks = [int(layer[4]) for layer in layers]
    assert [weight / weights[0] for weight in weights] == pytest.approx([4.0 ** (blocks[0] - one) for one in blocks])

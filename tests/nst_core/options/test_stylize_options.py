"""StylizeOptions: defaults, the recipe's values, overrides, the digest, and which values are refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nst_core.options.recipes import RECIPES
from nst_core.options.stylize_options import SHORTHANDS, StylizeOptions

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# The published values of each recipe: content weight, style weight, layer weights, optimizer, learning rate, steps.
PUBLISHED = {
    "relative": (1.0, 30.0, (0.2,) * 5, "lbfgs", None, 300),
    "moments": (1.0, 100.0, tuple(4.0**n / 341 for n in (4, 3, 2, 1, 0)), "lbfgs", None, 300),
    "gatys": (1.0, 1000.0, (0.2,) * 5, "lbfgs", None, 500),
    "notebook": (1.0, 1e6, (1.0, 0.75, 0.2, 0.2, 0.2), "adam", 0.003, 2000),
    "neural-style": (1.0, 1000.0, (1.0,) * 5, "lbfgs", None, 500),
}

# A value other than the default for every option, all accepted together.
OTHER: dict[str, Any] = {
    "recipe": "gatys",
    "size_px": 256,
    "enlarge": True,
    "style_scale": 0.5,
    "style_blend": (0.75, 0.25),
    "colors": "match",
    "strength": None,  # style_weight is given instead
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
    """Return the text of the error with which these values are refused; fail if they are accepted."""
    with pytest.raises(ValidationError) as caught:
        make(**values)
    return str(caught.value)


# ---- Defaults and the recipe's values


def test_defaults() -> None:
    """By default a pair uses the relative recipe at 512 px, starts from the content image, and leaves weights,
    optimizer and steps to the recipe.
    """
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
def test_resolved_options_have_the_recipes_published_values(recipe: str) -> None:
    """Options that were left to the recipe resolve to its published weights, optimizer, learning rate and steps."""
    found = make(recipe=recipe).resolved()

    filled = (found.content_weight, found.style_weight, found.style_layer_weights)
    assert (*filled, found.optimizer, found.learning_rate, found.steps) == PUBLISHED[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_resolved_keeps_every_given_value(recipe: str) -> None:
    """`resolved` replaces no value that was given."""
    given_values = OTHER | {"recipe": recipe}
    if recipe == "notebook":
        given_values["style_scale"] = 1.0  # the notebook recipe accepts no other

    assert make(**given_values).resolved().model_dump() == given_values


@pytest.mark.parametrize("recipe", RECIPES)
def test_resolved_is_idempotent(recipe: str) -> None:
    """Resolving options that are resolved already returns equal options."""
    once = make(recipe=recipe).resolved()

    assert once.resolved() == once


def test_a_weight_of_zero_is_not_replaced_by_the_recipes() -> None:
    """A content or style weight of 0 is not mistaken for one that was left to the recipe."""
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
def test_only_adam_has_a_learning_rate(values: dict[str, Any], expected: float | None) -> None:
    """Adam's learning rate is the given one, else the recipe's, else 0.05; with L-BFGS it resolves to None."""
    assert make(**values).resolved().learning_rate == expected


def test_default_layer_weights_depend_on_the_style_layers() -> None:
    """Default layer weights are 1/3 each for three layers in `relative`, 1 each in `neural-style`, and those of a table
    in `notebook`, where other layers have 0.2.
    """
    layers = ("conv4_2", "relu2_1", "conv1_1")

    assert make(style_layers=layers).resolved().style_layer_weights == (1 / 3, 1 / 3, 1 / 3)
    assert make(recipe="notebook", style_layers=layers).resolved().style_layer_weights == (0.2, 0.75, 1.0)
    assert make(recipe="neural-style", style_layers=layers).resolved().style_layer_weights == (1.0, 1.0, 1.0)


def as_cell(value: Any) -> str:
    """Return a value as the cell of a manifest has it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("name", [name for name, value in OTHER.items() if value is not None])
def test_every_option_can_be_given_as_text(name: str) -> None:
    """The text of a cell or of a command line means the same as the value itself."""
    assert make(**OTHER | {name: as_cell(OTHER[name])}) == make(**OTHER)


# ---- Overrides


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_row_with_another_recipe_has_that_recipes_values(recipe: str) -> None:
    """When a row changes the recipe, options that were left to the recipe take the values of the new one."""
    for first in RECIPES:
        assert make(recipe=first).overridden({"recipe": recipe}).resolved() == make(recipe=recipe).resolved()


def test_given_values_survive_a_change_of_recipe() -> None:
    """When a row changes the recipe, the options that the run gave explicitly keep their values."""
    found = make(style_weight=7, steps=9).overridden({"recipe": "gatys"}).resolved()

    assert (found.recipe, found.style_weight, found.steps) == ("gatys", 7.0, 9)
    assert found.style_layer_weights == (0.2,) * 5


def test_a_rows_values_replace_the_runs() -> None:
    """A row's values, also given as text, replace the run's; the run's own options are not changed."""
    run = make(steps=9, size_px=64)

    row = run.overridden({"steps": "12", "style_layers": "relu1_1 relu2_1"})

    assert (row.steps, row.size_px, row.style_layers) == (12, 64, ("relu1_1", "relu2_1"))
    assert (run.steps, run.style_layers) == (9, STYLE_LAYERS)


def test_overridden_without_changes_returns_equal_options() -> None:
    """Overriding nothing returns options equal to the original ones."""
    assert make(**OTHER).overridden({}) == make(**OTHER)


@pytest.mark.parametrize("changes", [{"stpes": 3}, {"steps": 0}, {"style_layer_weights": (1.0,)}])
def test_overrides_are_validated(changes: dict[str, Any]) -> None:
    """An override with an unknown name, a value out of bounds, or a value that contradicts other options is refused."""
    with pytest.raises(ValidationError, match=next(iter(changes))):
        StylizeOptions().overridden(changes)


# ---- Digest


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_digest_is_of_the_resolved_options(recipe: str) -> None:
    """The digest, 16 hex digits, is the same whether a value was given or came from the recipe."""
    options = make(recipe=recipe)

    assert len(options.digest()) == 16
    assert int(options.digest(), 16) >= 0
    assert options.digest() == options.resolved().digest()


@pytest.mark.parametrize("name", [name for name in OTHER if name not in SHORTHANDS])
def test_every_option_changes_the_digest(name: str) -> None:
    """Changing any one option, except shorthands for others, changes the digest."""
    options = make(optimizer="adam")  # with L-BFGS, the learning rate would not matter
    value = "lbfgs" if name == "optimizer" else OTHER[name]

    assert options.overridden({name: value}).digest() != options.digest()


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"style_weight": 30}, {}),
        ({"style_weight": "30.0"}, {"style_weight": 30}),
        ({"style_layer_weights": "0.2, 0.2; 0.2 0.2 0.2"}, {}),
        ({"learning_rate": 0.5}, {}),  # L-BFGS ignores it
        ({"tv_weight": -0.0}, {"tv_weight": 0.0}),
        ({"style_layer_weights": "-0 1 1 1 1"}, {"style_layer_weights": "0 1 1 1 1"}),
        ({"style_layers": list(STYLE_LAYERS)}, {}),
    ],
)
def test_equal_resolved_options_have_equal_digests(values: dict[str, Any], same: dict[str, Any]) -> None:
    """Options that are written differently but resolve to the same values have the same digest."""
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
def test_digests_are_equal_exactly_when_resolved_options_are(pair: list[dict[str, Any]]) -> None:
    """The digests of two sets of options are equal if and only if their resolved options are."""
    one, other = make(**pair[0]), make(**pair[1])

    assert (one.digest() == other.digest()) == (one.resolved() == other.resolved())


# ---- Refused values


@pytest.mark.parametrize(("name", "smallest", "below", "largest", "above"), BOUNDS)
def test_numbers_are_accepted_at_their_bounds_and_refused_beyond(
    name: str, smallest: float | None, below: float | None, largest: float | None, above: float | None
) -> None:
    """Every number is accepted at its bound and refused beyond it, with a message that names the option."""
    for allowed in (smallest, largest):
        if allowed is not None:
            assert getattr(make(**{name: allowed}), name) == allowed
    for refused in (below, above):
        if refused is not None:
            assert name in refusal(**{name: refused})


def test_the_bounds_of_every_number_are_tested() -> None:
    """`BOUNDS` above contains every option that is a number."""
    numbers = {name for name, value in OTHER.items() if isinstance(value, int | float) and not isinstance(value, bool)}

    # bit_depth is a choice of two numbers; strength is None in OTHER, because style_weight is given there.
    assert numbers - {"bit_depth"} | {"strength"} == {bound[0] for bound in BOUNDS}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf", "1e999"])
@pytest.mark.parametrize("name", FLOATS)
def test_numbers_are_finite(name: str, value: float | str) -> None:
    """NaN and infinity are refused for every float, given as numbers or as text."""
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan"])
def test_layer_weights_are_finite(value: float | str) -> None:
    """NaN and infinity are refused as one of the layer weights."""
    assert "style_layer_weights" in refusal(style_layer_weights=(1.0, 1.0, value, 1.0, 1.0))


@pytest.mark.parametrize("name", ["stlye_weight", "device", "Steps", ""])
def test_unknown_names_are_refused(name: str) -> None:
    """A name that is not an option is refused."""
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
def test_unknown_choices_and_non_numbers_are_refused(name: str, value: Any) -> None:
    """A word that is not among an option's choices, and text that is not a number, are refused."""
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
def test_layers_must_be_known_distinct_and_at_least_one(name: str, layers: Any, reason: str) -> None:
    """Pooling layers, layers that VGG-19 does not have, layers named twice and empty lists of layers are refused."""
    assert reason in refusal(**{name: layers})


@pytest.mark.parametrize(
    "text", ["relu1_1 conv2_1", "relu1_1,conv2_1", "relu1_1;conv2_1", " relu1_1 ,\tconv2_1 ", "relu1_1, conv2_1;"]
)
def test_lists_may_be_given_as_text(text: str) -> None:
    """Layers and layer weights may be given as one text, separated by blanks, commas or semicolons."""
    options = make(content_layers=text, style_layers=text, style_layer_weights="0.5; 2")

    assert options.content_layers == options.style_layers == ("relu1_1", "conv2_1")
    assert options.style_layer_weights == (0.5, 2.0)


@pytest.mark.parametrize(("weights", "count"), [((1.0,) * 4, 4), ((1.0,) * 6, 6), ("1 2 3", 3)])
def test_there_must_be_one_weight_per_style_layer(weights: Any, count: int) -> None:
    """Fewer or more weights than style layers are refused; the message names both numbers."""
    assert f"expected 5 numbers, one per style layer, got {count}" in refusal(style_layer_weights=weights)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0, -0.1), (0.0,) * 5, ()])
def test_layer_weights_are_not_negative_nor_all_zero(weights: tuple[float, ...]) -> None:
    """A negative layer weight is refused, and so are weights that are all 0, which would ignore the style."""
    assert "weights are 0 or more, and not all 0" in refusal(style_layer_weights=weights)


def test_some_layer_weights_may_be_zero() -> None:
    """Layer weights of 0 are accepted as long as one weight is not 0."""
    weights = (0.0, 0.0, 0.0, 0.0, 1.0)

    assert make(style_layer_weights=weights).resolved().style_layer_weights == weights


@pytest.mark.parametrize(
    ("strength", "weight"), [(0.0, 1.0), (0.25, 30.0**0.5), (0.5, 30.0), (0.75, 30.0 * 6.0**0.5), (1.0, 180.0)]
)
def test_strength_sets_the_style_weight(strength: float, weight: float) -> None:
    """Strength 0.5 is the recipe's own style weight, 0 a thirtieth of it and 1 six times it, geometric in between."""
    found = make(strength=strength).resolved()

    assert found.style_weight == pytest.approx(weight)
    assert found.resolved() == found


def test_strength_and_style_weight_must_agree() -> None:
    """A strength and a style weight that contradict each other are refused together; equivalent ones are accepted."""
    assert "give one of the two" in refusal(strength=0.7, style_weight=30.0)
    assert make(strength=0.5, style_weight=30.0).style_weight == 30.0


def test_a_rows_strength_or_style_weight_replaces_the_runs() -> None:
    """A row's style weight replaces the run's strength and the other way round; a row that gives both is refused."""
    with_strength, with_weight = make(strength=0.7, steps=9), make(style_weight=10.0, steps=9)

    assert with_strength.overridden({"style_weight": 10.0}).digest() == with_weight.digest()
    assert with_weight.overridden({"strength": 0.7}).digest() == with_strength.digest()
    with pytest.raises(ValidationError, match="give one of the two"):
        with_strength.overridden({"style_weight": 10.0, "strength": 0.2})


@pytest.mark.parametrize(
    ("quality", "steps", "tolerance"), [("draft", 40, 0.05), ("standard", 300, 0.015), ("best", 600, 0.002)]
)
def test_quality_sets_steps_and_plateau_tolerance(quality: str, steps: int, tolerance: float) -> None:
    """Quality sets steps and plateau tolerance unless these are given, and has no other effect on the digest."""
    found = make(quality=quality).resolved()

    assert (found.steps, found.plateau_tolerance) == (steps, tolerance)
    assert found.digest() == make(steps=steps, plateau_tolerance=tolerance).digest()
    given = make(quality=quality, steps=7, plateau_tolerance=0.0).resolved()
    assert (given.steps, given.plateau_tolerance) == (7, 0.0)


def test_quality_is_part_of_the_digest_of_large_images() -> None:
    """Beyond 2048 px the steps depend on quality and on the image itself: they resolve to none, and pairs of another
    quality are other pairs, unless their steps are given.
    """

    def digests(**values: Any) -> set[str]:
        return {make(plateau_tolerance=0.01, quality=quality, **values).digest() for quality in ("draft", "best")}

    assert [make(size_px=size_px).resolved().steps for size_px in (2048, 2049)] == [300, None]
    assert len(digests(size_px=2049)) == 2
    assert len(digests(size_px=2049, steps=9)) == 1


def test_quality_scales_the_recipes_steps() -> None:
    """The steps of each quality are a multiple of the recipe's own, which are 2000 for the notebook's Adam."""
    found = [make(recipe="notebook", quality=quality).resolved().steps for quality in ("draft", "standard", "best")]

    assert found == [267, 2000, 4000]


@pytest.mark.parametrize("recipe", RECIPES)
def test_content_and_style_weight_cannot_both_be_zero(recipe: str) -> None:
    """Either the content or the style weight may be 0; with both 0 nothing would be optimised, which is refused."""
    assert make(recipe=recipe, content_weight=0).content_weight == 0.0
    assert make(recipe=recipe, style_weight=0).style_weight == 0.0
    assert "there is nothing to optimise" in refusal(recipe=recipe, content_weight=0, style_weight=0, tv_weight=1)


# ---- Options as values


def test_options_are_frozen() -> None:
    """Assigning to an option is an error."""
    options = StylizeOptions()

    with pytest.raises(ValidationError, match="frozen"):
        options.steps = 3  # type: ignore[misc]


def test_options_are_hashable() -> None:
    """Equal options are the same key of a set, different options are different keys."""
    assert len({make(), make(), make(steps=3), make(steps=3), make(**OTHER)}) == 3


def test_options_survive_json() -> None:
    """Options that are written as JSON and read again are equal to the original, resolved or not."""
    for options in (make(), make().resolved(), make(**OTHER)):
        assert StylizeOptions.model_validate_json(options.model_dump_json()) == options


def test_every_option_has_a_description() -> None:
    """Every option has a description, which the README and --help show."""
    assert all(field.description for field in StylizeOptions.model_fields.values())


def test_options_that_conflict_are_refused_with_every_reason() -> None:
    """Options with several conflicts among them are refused in one error that names every conflict."""
    with pytest.raises(ValidationError) as caught:
        StylizeOptions(
            output_format="jpeg", bit_depth=16, alpha="keep", content_weight=0, style_weight=0, style_layer_weights=(1,)
        )

    (error,) = caught.value.errors()
    for reason in ("bit_depth 16:", "alpha keep:", "are both 0", "style_layer_weights: expected 5 numbers"):
        assert reason in error["msg"]


@pytest.mark.parametrize("style_scale", [0.5, 2.0])
def test_the_notebook_recipe_takes_no_style_scale(style_scale: float) -> None:
    """The notebook recipe refuses a style scale other than 1, which it would ignore, because it squeezes the style
    image to the content's shape.
    """
    with pytest.raises(ValidationError, match=r"style_scale .*: recipe notebook takes none"):
        StylizeOptions(recipe="notebook", style_scale=style_scale)

    assert StylizeOptions(recipe="notebook", style_scale=1.0).resolved().style_scale == 1.0


@pytest.mark.parametrize("option", ["style_blend", "style_layer_weights"])
def test_lists_of_weights_are_bounded(option: str) -> None:
    """Each layer or blend weight is at most 1e12, like the weights of the losses, so that their sum cannot overflow."""
    with pytest.raises(ValidationError, match=r"weights are at most 1e\+12, got 1e\+308"):
        StylizeOptions(**{option: "1e308 1e308"}, style_layers=("relu1_1", "relu2_1"))

    assert getattr(StylizeOptions(**{option: (1e12, 1.0)}, style_layers=("relu1_1", "relu2_1")), option) == (1e12, 1.0)


@pytest.mark.parametrize("layers", [("relu4_1", "relu5_1"), ("relu1_1",), ("conv3_1", "relu2_1", "relu5_1")])
def test_layer_weights_of_moments_add_up_to_one(layers: tuple[str, ...]) -> None:
    """For any style layers the weights of `moments` add up to 1, and each block has a quarter of the weight of the
    previous one.
    """
    weights = StylizeOptions(recipe="moments", style_layers=layers).resolved().style_layer_weights

    assert weights is not None
    assert sum(weights) == pytest.approx(1.0)
    blocks = [int(layer[4]) for layer in layers]
    assert [weight / weights[0] for weight in weights] == pytest.approx([4.0 ** (blocks[0] - one) for one in blocks])

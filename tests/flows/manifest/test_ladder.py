"""flows.manifest.ladder: a grid of settings is written as a manifest."""

import pytest

from flows.manifest import parse_manifest
from flows.manifest.ladder import MOST_RUNGS, VariedOption, ladder_manifest, parse_varied, rungs_of
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

PICTURES = {"content": "/in/cat.jpg", "style": "s3://bucket/waves.jpg"}


def test_varied_options_are_parsed() -> None:
    """Names may have dashes or be aliases; values are separated by commas, may have blanks, and count once each."""
    assert parse_varied(["style-weight=5, 15,5", "style_layers=relu1_1 relu2_1,relu3_1", "size=64"]) == (
        VariedOption("style_weight", ("5", "15")),
        VariedOption("style_layers", ("relu1_1 relu2_1", "relu3_1")),
        VariedOption("size_px", ("64",)),
    )


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["style_weight"], "expected NAME=VALUE,VALUE"),
        (["style_weight=,"], "expected NAME=VALUE,VALUE"),
        (["stlye_weight=5"], "there is no option 'stlye_weight'"),
        (["seed=1", "seed=2"], "seed is there twice"),
        ([], "expected 1 to 3 options to vary, got 0"),
        ([f"{name}=1" for name in ("seed", "steps", "levels", "tv_weight")], "expected 1 to 3 options to vary, got 4"),
        ([f"seed={','.join(map(str, range(MOST_RUNGS + 1)))}"], f"at most {MOST_RUNGS} combinations, got 101"),
    ],
)
def test_invalid_varied_options_are_refused(texts: list[str], reason: str) -> None:
    """An unknown or repeated option, and too many options or combinations, raise an error with the reason."""
    with pytest.raises(OptionsError, match=reason):
        parse_varied(texts)


def test_every_combination_is_a_rung() -> None:
    """Every combination of values is a rung with an id made from them; the last option changes fastest."""
    rungs = rungs_of(parse_varied(["strength=0.2,0.8", "colors=style,match"]), {})

    assert [rung.settings for rung in rungs] == [
        {"strength": "0.2", "colors": "style"},
        {"strength": "0.2", "colors": "match"},
        {"strength": "0.8", "colors": "style"},
        {"strength": "0.8", "colors": "match"},
    ]
    assert [rung.pair_id for rung in rungs][:2] == ["strength-0.2_colors-style", "strength-0.2_colors-match"]


@pytest.mark.parametrize("varied", ["content_weight=1e-2,1e+2", f"loss_threshold={10**99}1,{10**99}2"])
def test_ids_of_rungs_are_unique(varied: str) -> None:
    """Ids are unique even if values differ only in characters that no id has, or are longer than an id."""
    rungs = rungs_of(parse_varied([varied]), {})

    manifest = parse_manifest(ladder_manifest(rungs, PICTURES, {}), "/out/ladder.csv", StylizeOptions())
    assert [pair.pair_id for pair in manifest.pairs] == [rung.pair_id for rung in rungs]
    assert len(manifest.pairs) == 2


@pytest.mark.parametrize(
    ("varied", "base", "reason"),
    [
        ("strength=0.5,2", {}, "--vary strength=2: strength: expected a number less than or equal to 1, got '2'"),
        ("style_blend=1,0.7 0.3", {}, "--vary style_blend=0.7 0.3: style_blend: 2 weights for one style"),
        ("strength=0.5,0.7", {"style_weight": "30"}, "--vary strength=0.7: .*give one of the two"),
    ],
)
def test_an_invalid_value_is_named(varied: str, base: dict[str, str], reason: str) -> None:
    """An invalid value, or combination of options, is named in the message as the command line has it."""
    with pytest.raises(OptionsError, match=reason):
        rungs_of(parse_varied([varied]), base)


def test_each_row_of_a_ladder_has_all_of_its_options() -> None:
    """Each row has its images, the common options and its own, so that it can be copied into any manifest."""
    rungs = rungs_of(parse_varied(["style_scale=0.5,1", "style_layers=relu1_1 relu2_1"]), {"steps": "7"})

    manifest = parse_manifest(ladder_manifest(rungs, PICTURES, {"steps": "7"}), "/any/where.csv", StylizeOptions())

    assert manifest.rejected == ()
    assert [pair.pair_id for pair in manifest.pairs] == [rung.pair_id for rung in rungs]
    first = manifest.pairs[0]
    assert (first.content, first.style) == tuple(PICTURES.values())
    layers = ("relu1_1", "relu2_1")
    assert first.options == StylizeOptions(steps=7, style_scale=0.5, style_layers=layers).resolved()

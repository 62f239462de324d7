"""flows.manifest.ladder: a grid of settings as a manifest."""

import pytest

from flows.manifest import parse_manifest
from flows.manifest.ladder import MOST_RUNGS, VariedOption, ladder_manifest, parse_varied, rungs_of
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

PICTURES = {"content": "/in/cat.jpg", "style": "s3://bucket/waves.jpg"}


def test_what_is_varied() -> None:
    """Names with dashes or not, `size` too; values between commas, which may hold blanks, each once."""
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
def test_what_cannot_be_varied(texts: list[str], reason: str) -> None:
    """Is refused before anything is begun."""
    with pytest.raises(OptionsError, match=reason):
        parse_varied(texts)


def test_every_combination_is_a_rung() -> None:
    """The last option changes fastest; ids tell them apart."""
    rungs = rungs_of(parse_varied(["strength=0.2,0.8", "colors=style,match"]), {})

    assert [rung.settings for rung in rungs] == [
        {"strength": "0.2", "colors": "style"},
        {"strength": "0.2", "colors": "match"},
        {"strength": "0.8", "colors": "style"},
        {"strength": "0.8", "colors": "match"},
    ]
    assert [rung.pair_id for rung in rungs][:2] == ["strength-0.2_colors-style", "strength-0.2_colors-match"]


@pytest.mark.parametrize("varied", ["content_weight=1e-2,1e+2", f"loss_threshold={10**99}1,{10**99}2"])
def test_ids_tell_rungs_apart(varied: str) -> None:
    """Also where the values differ in what an id cannot have, or beyond its length; a manifest takes them."""
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
def test_a_value_that_cannot_be_used_is_named(varied: str, base: dict[str, str], reason: str) -> None:
    """With the combination that it stands in, as the command line has it."""
    with pytest.raises(OptionsError, match=reason):
        rungs_of(parse_varied([varied]), base)


def test_the_manifest_s_rows_stand_alone() -> None:
    """Each row, copied into another manifest, is the rung: its pictures, the common options and its own."""
    rungs = rungs_of(parse_varied(["style_scale=0.5,1", "style_layers=relu1_1 relu2_1"]), {"steps": "7"})

    manifest = parse_manifest(ladder_manifest(rungs, PICTURES, {"steps": "7"}), "/any/where.csv", StylizeOptions())

    assert manifest.rejected == ()
    assert [pair.pair_id for pair in manifest.pairs] == [rung.pair_id for rung in rungs]
    first = manifest.pairs[0]
    assert (first.content, first.style) == tuple(PICTURES.values())
    layers = ("relu1_1", "relu2_1")
    assert first.options == StylizeOptions(steps=7, style_scale=0.5, style_layers=layers).resolved()

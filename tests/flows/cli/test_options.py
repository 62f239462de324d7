"""flows.cli.options: a command's options from the fields of a model."""

import inspect
import os
from typing import Any, Literal

import pytest
import typer
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner

from flows.cli.options import THEMES, options_from, settings_of, validated
from flows.settings import RunSettings
from nst_core.options import StylizeOptions

MODELS = (StylizeOptions, RunSettings)
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]


class Look(BaseModel):
    """A model with a field of every kind."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    size_px: int = Field(default=512, ge=16)
    """Long edge."""
    weight: float | None = None
    """Weight of the style."""
    layers: tuple[str, ...] = ("a", "b")
    """Layers of the loss."""
    pooling: Literal["max", "average"] = "max"
    """How it pools."""
    enlarge: bool = False
    """Enlarge small pictures."""
    name: str = "x"


class Machine(BaseModel):
    device: str = "auto"


def run(*arguments: str) -> tuple[int, str, dict[str, Any]]:
    """(exit code, output, what the command was called with)."""
    called: dict[str, Any] = {}
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @options_from(look=Look, machine=Machine)
    def command(
        manifest: str, *, look: dict[str, Any], machine: dict[str, Any], limit: int = typer.Option(7, min=1)
    ) -> None:
        """Do it."""
        called.update(manifest=manifest, look=look, machine=machine, limit=limit)

    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, result.output, called


def made_of(model: type[BaseModel]) -> list[inspect.Parameter]:
    """The parameters that a model gives a command."""

    @options_from(options=model)
    def command(*, options: dict[str, Any]) -> None:
        """Do it."""

    return list(inspect.signature(command).parameters.values())


def test_only_what_is_given_is_passed_on() -> None:
    """Options that are not given are left out, so that a recipe or an earlier run decides on them."""
    assert run("m.csv") == (0, "", {"manifest": "m.csv", "look": {}, "machine": {}, "limit": 7})


def test_every_kind_of_field_is_an_option() -> None:
    """Numbers, lists, choices and text reach the model as text, a switch as true or false, each under its model."""
    numbers, texts = (
        ["--size-px", "64", "--weight", "1e3"],
        ["--layers", "c d", "--pooling", "average", "--name", "a b"],
    )
    _, _, called = run("m.csv", *numbers, *texts, "--enlarge", "--device", "cpu")

    assert called["look"] == {
        "size_px": "64",
        "weight": "1e3",
        "layers": "c d",
        "pooling": "average",
        "enlarge": True,
        "name": "a b",
    }
    assert called["machine"] == {"device": "cpu"}


def test_a_switch_can_be_turned_off() -> None:
    """`--no-enlarge` is "given, false", which is not the same as not given."""
    assert run("m.csv", "--no-enlarge")[2]["look"] == {"enlarge": False}


def test_the_command_keeps_its_own_parameters() -> None:
    """Arguments and options of the command itself work beside those made."""
    assert run("m.csv", "--limit", "3")[2]["limit"] == 3
    assert run("m.csv", "--limit", "0")[0] == 2
    assert run()[0] == 2


def test_the_help_says_what_the_model_says() -> None:
    """The help of an option is the field's own description, with its default and what can be given."""
    _, output, _ = run("--help")
    lines = [" ".join(line.split()) for line in output.splitlines()]

    assert "Do it." in lines
    assert "--size-px INTEGER Long edge. [default: 512]" in lines
    assert "--weight NUMBER Weight of the style." in lines
    assert "--layers 'A B ...' Layers of the loss. [default: a b]" in lines
    assert "--pooling max|average How it pools. [default: max]" in lines
    assert "--enlarge / --no-enlarge Enlarge small pictures." in lines
    assert "--name TEXT [default: x]" in lines


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=[name for _, name in FIELDS])
def test_every_field_has_a_description(model: type[BaseModel], name: str) -> None:
    """Every option of a run explains itself in the help."""
    description = model.model_fields[name].description

    assert description
    assert description.endswith((".", ")"))


def test_every_field_has_a_theme() -> None:
    """Every option of a run stands in one section of its help, and no section names one that is gone."""
    assert sorted(name for names in THEMES.values() for name in names.split()) == sorted(name for _, name in FIELDS)


def test_every_choice_is_shown() -> None:
    """An option that takes one of several words says which, those of a second list too."""
    choices = {one.name: one.annotation.__metadata__[0].metavar for one in made_of(RunSettings)}

    assert choices["precision"] == "auto|bf16|fp32"
    assert choices["backbone"].split("|") == ["vgg19", "vgg19-torchvision", "vgg16-torchvision", "stub"]
    assert (choices["device"], choices["cpu_workers"], choices["stall_seconds"]) == ("TEXT", "INTEGER", "NUMBER")


def test_weights_are_found_from_any_folder() -> None:
    """A weights file is named by its whole path, so that a retry or a service elsewhere finds it."""
    assert settings_of({"weights": "a.pth", "device": "cpu"}) == RunSettings(
        weights=os.path.abspath("a.pth"), device="cpu"
    )
    assert settings_of({}) == RunSettings()


def test_no_field_of_two_models_has_one_name() -> None:
    """An option belongs to the look or to the run, never to both."""
    assert len({name for _, name in FIELDS}) == len(FIELDS)


def test_what_is_given_becomes_the_model() -> None:
    """Text is read as a manifest's cell is read."""
    options = validated(StylizeOptions, {"size_px": "64", "style_layers": "relu1_1, relu2_1", "enlarge": True})

    assert options == StylizeOptions(size_px=64, style_layers=("relu1_1", "relu2_1"), enlarge=True)


@pytest.mark.parametrize(
    ("model", "given", "flag", "reason"),
    [
        (StylizeOptions, {"size_px": "8"}, "--size-px", "expected a number greater than or equal to 16, got '8'"),
        (StylizeOptions, {"size_px": "64.5"}, "--size-px", "expected a whole number, got '64.5'"),
        (StylizeOptions, {"style_weight": "heavy"}, "--style-weight", "expected a number, got 'heavy'"),
        (StylizeOptions, {"style_weight": "nan"}, "--style-weight", "expected a finite number, got 'nan'"),
        (StylizeOptions, {"pooling": "avg"}, "--pooling", "expected one of max, average, got 'avg'"),
        (StylizeOptions, {"style_layers": "relu9_9"}, "--style-layers", "no layer 'relu9_9'"),
        (RunSettings, {"backbone": "vgg20"}, "--backbone", "expected one of vgg19, "),
        (RunSettings, {"pairs_per_task": "0"}, "--pairs-per-task", "expected a number greater than or equal to 1"),
        (RunSettings, {"device": "tpu"}, "--device", "got 'tpu'"),
        (RunSettings, {"weights_sha256": "12"}, "--weights-sha256", "got '12'"),
        (StylizeOptions, {"content_weight": "0", "style_weight": "0"}, None, "both 0"),
    ],
)
def test_a_wrong_value_names_its_option(
    model: type[BaseModel], given: dict[str, str], flag: str | None, reason: str
) -> None:
    """The message says which option, what was expected and what was found; click turns it into exit code 2."""
    with pytest.raises(typer.BadParameter) as caught:
        validated(model, given)

    assert caught.value.param_hint == flag
    assert reason in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", [{"device": "tpu"}, {"weights_sha256": "12"}])
def test_no_pattern_is_shown_to_the_user(given: dict[str, str]) -> None:
    """What was expected is said in words, not as a regular expression."""
    with pytest.raises(typer.BadParameter) as caught:
        validated(RunSettings, given)

    assert "^" not in caught.value.message

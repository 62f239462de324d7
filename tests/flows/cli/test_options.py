"""flows.cli.options: a command's options are made from the fields of a model."""

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
    """A model with a field of every type that options support."""

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
    """Enlarge small images."""
    name: str = "x"


class Machine(BaseModel):
    device: str = "auto"


def run(*arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Return the exit code, the output, and the arguments that the command was called with."""
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
    """Return the parameters that a command gets from a model."""

    @options_from(options=model)
    def command(*, options: dict[str, Any]) -> None:
        """Do it."""

    return list(inspect.signature(command).parameters.values())


def test_only_given_options_are_passed_on() -> None:
    """Options that are not given are left out, so that a recipe or an earlier run decides on them."""
    assert run("m.csv") == (0, "", {"manifest": "m.csv", "look": {}, "machine": {}, "limit": 7})


def test_every_kind_of_field_is_an_option() -> None:
    """Numbers, lists, choices and text reach the model as text, a switch as a bool, each in the dict of its model."""
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
    """`--no-enlarge` passes on false, which differs from an option that is not given."""
    assert run("m.csv", "--no-enlarge")[2]["look"] == {"enlarge": False}


def test_the_command_keeps_its_own_parameters() -> None:
    """The arguments and options of the command itself work beside those made from the models."""
    assert run("m.csv", "--limit", "3")[2]["limit"] == 3
    assert run("m.csv", "--limit", "0")[0] == 2
    assert run()[0] == 2


def test_the_help_shows_descriptions_and_defaults() -> None:
    """The help of an option shows the field's description, its default and its possible values."""
    _, output, _ = run("--help")
    lines = [" ".join(line.split()) for line in output.splitlines()]

    assert "Do it." in lines
    assert "--size-px INTEGER Long edge. [default: 512]" in lines
    assert "--weight NUMBER Weight of the style." in lines
    assert "--layers 'A B ...' Layers of the loss. [default: a b]" in lines
    assert "--pooling max|average How it pools. [default: max]" in lines
    assert "--enlarge / --no-enlarge Enlarge small images." in lines
    assert "--name TEXT [default: x]" in lines


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=[name for _, name in FIELDS])
def test_every_field_has_a_description(model: type[BaseModel], name: str) -> None:
    """Every option of a run has a description in the help, which ends as a sentence does."""
    description = model.model_fields[name].description

    assert description
    assert description.endswith((".", ")"))


def test_every_field_has_a_theme() -> None:
    """Every option of a run is in one section of the help, and no section names an option that does not exist."""
    assert sorted(name for names in THEMES.values() for name in names.split()) == sorted(name for _, name in FIELDS)


def test_every_choice_is_shown() -> None:
    """The help of an option that takes one of several words lists all of them."""
    choices = {one.name: one.annotation.__metadata__[0].metavar for one in made_of(RunSettings)}

    assert choices["precision"] == "auto|bf16|fp32"
    assert choices["backbone"].split("|") == ["vgg19", "vgg19-torchvision", "vgg16-torchvision", "stub"]
    assert (choices["device"], choices["cpu_workers"], choices["stall_seconds"]) == ("TEXT", "INTEGER", "NUMBER")


def test_the_path_of_weights_is_made_absolute() -> None:
    """The weights file is stored by its absolute path, so that a retry or a service in another folder finds it."""
    assert settings_of({"weights": "a.pth", "device": "cpu"}) == RunSettings(
        weights=os.path.abspath("a.pth"), device="cpu"
    )
    assert settings_of({}) == RunSettings()


def test_no_two_models_share_a_field_name() -> None:
    """No option belongs to both StylizeOptions and RunSettings."""
    assert len({name for _, name in FIELDS}) == len(FIELDS)


def test_given_text_becomes_the_model() -> None:
    """The text of an option is read as the same text in a cell of a manifest."""
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
    """The message says which option, what was expected and what was found; the exit code is 2."""
    with pytest.raises(typer.BadParameter) as caught:
        validated(model, given)

    assert caught.value.param_hint == flag
    assert reason in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", [{"device": "tpu"}, {"weights_sha256": "12"}])
def test_messages_show_no_regular_expression(given: dict[str, str]) -> None:
    """A message says in words what was expected, not by a regular expression."""
    with pytest.raises(typer.BadParameter) as caught:
        validated(RunSettings, given)

    assert "^" not in caught.value.message

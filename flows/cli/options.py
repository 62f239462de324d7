"""Command-line options made from the fields of a pydantic model, so that both always say the same."""

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from flows import storage
from flows.settings import RunSettings
from flows.wording import option_errors

Model = TypeVar("Model", bound=BaseModel)

THEMES = {
    "Pictures": "size_px enlarge style_scale style_blend colors",
    "Objective": "recipe strength content_weight style_weight tv_weight content_layers style_layers "
    "style_layer_weights pooling backbone stub",
    "Optimisation": "init seed levels optimizer learning_rate",
    "Stopping": "quality steps loss_threshold plateau_tolerance plateau_window max_seconds pair_timeout_seconds "
    "stall_seconds",
    "Selection": "",
    "Machine": "device precision cpu_workers pairs_per_task runner ray_address ray_workers ray_cpus ray_wait_seconds",
    "Storage": "weights weights_sha256 wait_for_output_seconds take_over",
    "Output": "output_format jpeg_quality bit_depth output_profile dpi alpha timeline",
}
"""The sections of a long help, in this order, each with the fields whose options stand there."""

_THEME_OF = {name: theme for theme, names in THEMES.items() for name in names.split()}


def options_from(**models: type[BaseModel]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the command gets one option per field of each model, and a dict of those given, by parameter name.

    `@options_from(options=StylizeOptions)` gives the command `--size-px`, `--steps`, ... and calls it with
    `options={"size_px": "256"}`; `validated` makes the model of it.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> Any:
            for parameter, model in models.items():
                given = {name: arguments.pop(name) for name in model.model_fields}
                arguments[parameter] = {name: value for name, value in given.items() if value is not None}
            return command(**arguments)

        signature = inspect.signature(command)
        own = [one for one in signature.parameters.values() if one.name not in models]
        made = [_parameter(name, field) for model in models.values() for name, field in model.model_fields.items()]
        wrapper.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]  # typer reads it
        wrapper.__annotations__ = {one.name: one.annotation for one in (*own, *made)}
        return wrapper

    return decorate


def validated(model: type[Model], given: dict[str, Any]) -> Model:
    """The model of some given options.

    Raises:
        typer.BadParameter: naming the first option that is wrong, what was expected and what was found.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        raise typer.BadParameter(reason, param_hint=_flag(name) if name else None) from error


def settings_of(given: dict[str, Any]) -> RunSettings:
    """Settings with the weights file made absolute, so that a service or a retry from another folder finds it.

    Raises:
        typer.BadParameter: as `validated`.
    """
    if given.get("weights"):
        given = {**given, "weights": storage.absolute(given["weights"])}
    return validated(RunSettings, given)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, metavar = _kind_and_metavar(field.annotation)
    default = "" if field.default is None or kind is bool else f" [default: {_shown(field.default)}]"
    option = typer.Option(
        *([] if kind is bool else [_flag(name)]),
        help=f"{field.description or ''}{default}",
        metavar=metavar,
        show_default=False,
        rich_help_panel=_THEME_OF.get(name),
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]  # made at run time, for typer
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind_and_metavar(annotation: Any) -> tuple[type, str | None]:
    """Everything but a switch reaches pydantic as text, so that a manifest cell and an option mean the same."""
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    meant = [one for one in (typing.get_args(annotation) if is_union else (annotation,)) if one is not type(None)]
    if meant == [bool]:
        return bool, None
    if all(typing.get_origin(one) is Literal for one in meant):
        return str, "|".join(str(choice) for one in meant for choice in typing.get_args(one))
    if typing.get_origin(meant[0]) is tuple:
        return str, "'A B ...'"
    return str, {int: "INTEGER", float: "NUMBER"}.get(meant[0], "TEXT")


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)

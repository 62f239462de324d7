"""Command-line options generated from the fields of a pydantic model, so that the two cannot disagree."""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from flows import storage
from flows.settings import RunSettings
from flows.wording import option_as_text, option_errors
from nst_core.options.numbers_as_text import types_of

Model = TypeVar("Model", bound=BaseModel)

THEMES = {
    "Images": "size_px enlarge style_scale style_blend colors",
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
"""The sections of a long help, in this order, each with the fields whose options it lists."""

_THEME_OF = {name: theme for theme, names in THEMES.items() for name in names.split()}


def options_from(**models: type[BaseModel]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that replaces parameters of a command by one command-line option per field of a model.

    `@options_from(options=StylizeOptions)` adds `--size-px`, `--steps`, ... to the command and calls it with a
    dictionary of the options that the user has set, such as `options={"size_px": "256"}`, which `validated` turns into
    the model.

    Args:
        models: the model of each parameter, by the parameter's name.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> Any:
            for parameter, model in models.items():
                values = {name: arguments.pop(name) for name in model.model_fields}
                arguments[parameter] = {name: value for name, value in values.items() if value is not None}
            return command(**arguments)

        signature = inspect.signature(command)
        own = [parameter for parameter in signature.parameters.values() if parameter.name not in models]
        added = [_parameter(name, field) for model in models.values() for name, field in model.model_fields.items()]
        wrapper.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]  # for typer
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
        return wrapper

    return decorate


def validated(model: type[Model], given: dict[str, Any]) -> Model:
    """Build the model from the options that the user has set.

    Raises:
        typer.BadParameter: an option is invalid; the message names the first one, what was expected and what was found.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        raise typer.BadParameter(reason, param_hint=_flag(name) if name else None) from error


def settings_of(given: dict[str, Any]) -> RunSettings:
    """Build the run settings, with an absolute address of the weights file.

    A service, or a retry from another folder, then finds the same file.

    Raises:
        typer.BadParameter: a setting is invalid, as in `validated`.
    """
    if given.get("weights"):
        given = {**given, "weights": storage.absolute(given["weights"])}
    return validated(RunSettings, given)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, metavar = _kind_and_metavar(field.annotation)
    default = "" if field.default is None or kind is bool else f" [default: {option_as_text(field.default)}]"
    option = typer.Option(
        *([] if kind is bool else [_flag(name)]),
        help=f"{field.description or ''}{default}",
        metavar=metavar,
        show_default=False,
        rich_help_panel=_THEME_OF.get(name),
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]  # built at run time for typer
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind_and_metavar(annotation: Any) -> tuple[type, str | None]:
    """Return an option's type for Typer and its metavar in the help.

    Every option except a switch reaches pydantic as text, so that it is parsed just like a manifest's cell.
    """
    kinds = types_of(annotation)
    if kinds == (bool,):
        return bool, None
    if all(typing.get_origin(kind) is Literal for kind in kinds):
        return str, "|".join(str(choice) for kind in kinds for choice in typing.get_args(kind))
    if typing.get_origin(kinds[0]) is tuple:
        return str, "'A B ...'"
    return str, {int: "INTEGER", float: "NUMBER"}.get(kinds[0], "TEXT")

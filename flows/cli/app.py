"""What all commands of `nst` share: the Typer app, exit codes, help grouped by theme, common options.

We use Typer rather than cyclopts. cyclopts accepts pydantic models directly, but our error messages, lists in a single
word, themes without annotations on the models, and help that fits 80 columns would take more code there than generating
the options does here.
"""

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from flows import storage
from flows.cli.options import THEMES
from flows.errors import (
    ClusterError,
    DeviceUnusable,
    HardwareUnknown,
    LimitsError,
    ManifestError,
    NotAllowed,
    OutputBusy,
    OutputError,
    RequestRefused,
    ServiceError,
    StorageError,
)
from flows.manifest.formats import stem_of
from flows.manifest.stdin import STANDARD_INPUT
from flows.wording import no_thread, printable
from nst_core import __version__
from nst_core.errors import NstError, OptionsError, WeightsError

WIDEST = 120
"""The greatest width of the help, in columns."""
MANY = 12
"""The most options that a command's help shows in one list; if there are more, they are grouped by theme."""

ManifestArgument = Annotated[str, typer.Argument(help="CSV, JSON lines or Parquet of pairs, local or s3://.")]
OutputArgument = Annotated[str, typer.Argument(help="Output folder or s3:// prefix of a run.")]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Folder or s3:// prefix. [default: runs/<manifest name>]",
        rich_help_panel="Output",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Only the pair of this id; may be repeated.", rich_help_panel="Selection"),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="INTEGER", help="Stylize at most this many pairs.", rich_help_panel="Selection"),
]
MaxAttempts = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="INTEGER", help="Skip pairs that have failed this many times.", rich_help_panel="Selection"
    ),
]
QuietSwitch = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.", rich_help_panel="Output")
]
LinesSwitch = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Print every pair's outcome, and then the summary, as a line of JSON.",
        rich_help_panel="Output",
    ),
]
JsonSwitch = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.", rich_help_panel="Output")]


_DebugSwitch = Annotated[
    bool, typer.Option("--debug", help="Show where in the code an error came from.", rich_help_panel="Output")
]


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    OK = 0
    """No row failed or was rejected; rows that were not selected may be pending."""
    UNUSABLE = 2
    """The command or the manifest cannot be used."""
    SOME_FAILED = 3
    """The run finished, and some rows failed or were rejected."""
    NOTHING_DONE = 4
    """Nothing could be done because of credentials, storage, weights, devices, a cluster or a service."""
    INTERRUPTED = 75
    """The run was interrupted, or its output is in use; the same command continues it."""


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors that end a command into one line on stderr and an exit code."""
    try:
        yield
    except OutputBusy as error:
        _fail(error, ExitCode.INTERRUPTED)
    except (ManifestError, OutputError, OptionsError, LimitsError, NotAllowed, RequestRefused) as error:
        _fail(error, ExitCode.UNUSABLE)
    except (StorageError, WeightsError, ServiceError, ClusterError, HardwareUnknown, DeviceUnusable) as error:
        _fail(error, ExitCode.NOTHING_DONE)
    except NstError as error:
        _fail(error, ExitCode.INTERRUPTED)
    except RuntimeError as error:
        if (message := no_thread(error)) is None:
            raise
        _fail(HardwareUnknown(message), ExitCode.NOTHING_DONE)
    except KeyboardInterrupt:
        typer.echo("interrupted: what is finished is kept; run the same command again to go on", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _fail(error: NstError, code: ExitCode) -> None:
    if os.environ.get("NST_DEBUG"):
        traceback.print_exception(error)
    typer.echo(f"nst: {printable(str(error))}", err=True)  # it may quote the name of anybody's file
    raise typer.Exit(code) from error


def with_debug(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the switch `--debug`, which prints the traceback of an error."""

    @functools.wraps(command)
    def wrapper(*, debug: bool, **arguments: Any) -> None:
        if debug:
            os.environ["NST_DEBUG"] = "1"
        command(**arguments)

    signature = inspect.signature(command)
    switch = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_DebugSwitch)
    own = list(signature.parameters.values())
    wrapper.__signature__ = signature.replace(parameters=[*own, switch])  # type: ignore[attr-defined]  # typer reads it
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, switch)}
    return wrapper


class Command(TyperCommand):
    """A command whose errors become exit codes, and whose options are grouped by theme if there are many."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command as Typer does, and turn its errors into exit codes."""
        with exit_codes():
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the options, grouped by theme if there are many.

        Typer groups them only in its rich output, which cuts long option names short.
        """
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *THEMES, "Options")}
        parameters = self.get_params(ctx)
        for parameter in parameters:
            left, right = parameter.get_help_record(ctx) or ("", "")
            if parameter.param_type_name == "argument":
                sections["Arguments"].append((left.partition(" ")[0], right))  # no type: all are text
                continue
            theme = getattr(parameter, "rich_help_panel", None) if len(parameters) > MANY else None
            sections[theme or "Options"].append((left, right))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


app = typer.Typer(
    help="Bulk neural style transfer: a CSV manifest of content/style pairs in, stylized images and a table out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": WIDEST, "help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def version(
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Bulk neural style transfer."""
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


def output_of(output: str | None, manifest: str) -> str:
    """Return the absolute address of a run's output, which by default is named after its manifest.

    Raises:
        OutputError: no output is named and the manifest is on standard input, so that it has no name.
    """
    if output is None and manifest == STANDARD_INPUT:
        raise OutputError("a manifest on standard input needs --output: it has no name to call the output by")
    return storage.absolute(output or os.path.join("runs", stem_of(storage.name_of(manifest))))

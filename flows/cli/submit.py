"""The command `nst submit`, which has a running service stylize a manifest; and finding the service's server.

Prefect is imported inside functions, once the server to use is known, because it reads its settings when imported.
"""

import json
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, Limit, ManifestArgument, Only, OutputOption, output_of
from flows.cli.options import options_from, settings_of, validated
from flows.errors import ManifestError, OutputError, RequestRefused, ServerUnavailable
from flows.limits import limits_in_force
from flows.manifest.load import load_manifest
from flows.manifest.stdin import STANDARD_INPUT
from flows.prefect_layer.client_environment import check_client_environment
from flows.prefect_layer.configured import check_prefect_home
from flows.prefect_layer.deployments import STYLIZE
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.readable_settings import read_settings
from flows.prefect_layer.servers.access import FOLDER, find_access, use_server
from flows.prefect_layer.servers.named_server import check_named_address
from flows.prefect_layer.servers.startup_lock import wait_while_starting
from flows.records import layout
from flows.records.runs import RunState
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

POLL_SECONDS = 2.0
"""The interval at which a run that is followed is polled."""
PATIENCE_SECONDS = 300.0
"""How long a server that does not answer is asked again while a run is followed: it may be restarting."""
Answer = TypeVar("Answer")


@options_from(options=StylizeOptions, settings=RunSettings)
def submit(
    manifest: ManifestArgument,
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    output: OutputOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    check: Annotated[
        bool, typer.Option(help="Read the manifest here first; --no-check if only the service can.")
    ] = True,
    only: Only = None,
    limit: Limit = None,
    deployment: Annotated[
        str, typer.Option(metavar="NAME", help="The deployment that runs it: <flow>/<deployment>.")
    ] = STYLIZE,
    as_json: JsonSwitch = False,
) -> None:
    """Have the service stylize a manifest.

    With --wait the exit codes are those of `nst run`; without it, 0 once the run is queued.
    """
    chosen = validated(StylizeOptions, options)
    _check_deployment(deployment)
    if manifest == STANDARD_INPUT:
        raise ManifestError("expected the address of a manifest, found '-': the service reads files alone")
    address = storage.absolute(manifest)
    if check:
        load_manifest(address, chosen, limits_in_force())
    if output is None and not storage.is_local(address):
        raise OutputError("a manifest on S3 needs --output: the service may run on another machine than this one")
    selection = Selection(only=tuple(only or ()), limit=limit)
    parameters = {
        "manifest": address,
        "output": output_of(output, address),
        "options": chosen.model_dump(mode="json", exclude_unset=True),
        "settings": settings_of(settings).model_dump(mode="json", exclude_unset=True),
        "selection": selection.model_dump(mode="json", exclude_defaults=True),
    }
    _submit(deployment, parameters, wait=wait, as_json=as_json)


def _check_deployment(deployment: str) -> None:
    flow, _, name = deployment.partition("/")
    if not flow or not name:
        meant = f"bulk-stylize/{name or flow}" if name or flow else STYLIZE
        raise RequestRefused(f"--deployment {deployment}: expected FLOW/DEPLOYMENT, such as {meant}")


def _submit(deployment: str, parameters: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    check_parameters(parameters)
    find_server()
    from flows.prefect_layer.deployment_runs import (  # imports prefect
        page_of,
        start_run,
    )

    run_id = start_run(deployment, parameters)
    watched = Watched(run_id, parameters["output"], page_of(run_id))
    if not wait:
        _print_run(watched, None, as_json=as_json)
        return
    typer.echo(f"run {run_id} of {deployment}", err=True)
    typer.echo("\n".join(_where_to_watch(watched)), err=True)
    try:
        state = _followed(run_id)
    except (KeyboardInterrupt, ServerUnavailable) as error:
        if isinstance(error, ServerUnavailable):
            typer.echo(printable(f"{error}. It did not answer for {PATIENCE_SECONDS:.0f} s"), err=True)
        typer.echo(f"run {run_id} goes on without this command; `prefect flow-run cancel {run_id}` stops it", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _print_run(watched, state, as_json=as_json)
    if state.error is not None:
        raise state.error
    raise typer.Exit(ExitCode.OK if state.is_complete_success else ExitCode.SOME_FAILED)


@dataclass(frozen=True)
class Watched:
    """A run of the service and where to watch it.

    Attributes:
        run_id: Prefect's id of the flow run.
        output: the address of the run's output.
        page: the address of the run in Prefect's UI; None if the server has no UI.
    """

    run_id: str
    output: str
    page: str | None

    @property
    def report(self) -> str:
        """The address at which the run's report will be."""
        return storage.join(self.output, layout.REPORT)

    @property
    def status_command(self) -> str:
        """The shell command that prints the status of the run's output."""
        return shlex.join(["nst", "status", self.output])


def _followed(run_id: str) -> RunState:
    """Wait until a run has ended and return its final state; meanwhile print its log and its states on stderr.

    Raises:
        ServerUnavailable: if the server does not answer for `PATIENCE_SECONDS`, which says nothing about the run.
    """
    from flows.prefect_layer.deployment_runs import state_of

    shown, last = 0, ""
    while True:
        state = _answered(partial(state_of, run_id))
        if state.name != last and not state.is_final:
            typer.echo(f"run {run_id}: {state.name}", err=True)
        last = state.name
        if state.is_final:  # the last lines of the log arrive after the final state
            time.sleep(POLL_SECONDS)
        shown = _show_log(run_id, shown)
        if state.is_final:
            return state
        time.sleep(POLL_SECONDS)


def _show_log(run_id: str, shown: int) -> int:
    """Print the lines of a run's log after the first `shown`, and return how many have now been printed."""
    from flows.prefect_layer.deployment_runs import log_lines

    while lines := _answered(partial(log_lines, run_id, shown)):
        shown += len(lines)
        typer.echo("\n".join(printable(line) for text in lines for line in text.split("\n")), err=True)
    return shown


def _answered(ask: Callable[[], Answer]) -> Answer:
    """Return the server's answer; if it does not answer, say so once, and ask again for `PATIENCE_SECONDS`."""
    ends, is_announced = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            return ask()
        except ServerUnavailable as error:
            if time.monotonic() >= ends:
                raise
            if not is_announced:
                typer.echo(printable(f"{error}. It is asked again for {PATIENCE_SECONDS:.0f} s"), err=True)
            is_announced = True
        time.sleep(POLL_SECONDS)


def _print_run(watched: Watched, state: RunState | None, *, as_json: bool) -> None:
    """Print on stdout where to watch a run that was queued, or how a run ended.

    Args:
        watched: the run.
        state: its final state; None if it was only queued.
        as_json: whether JSON is printed instead of text.
    """
    if as_json:
        facts = {
            "run_id": watched.run_id,
            "output": watched.output,
            "state": state.name if state else "Scheduled",
            "page": watched.page,
            "report": watched.report,
            "status": watched.status_command,
        }
        typer.echo(json.dumps(facts | ({"message": state.message} if state else {}), indent=1))
    elif state is None:
        typer.echo(f"run {watched.run_id} is queued")
        typer.echo("\n".join(_where_to_watch(watched)))
    elif state.stage == "ended":
        typer.echo(f"{state.name}: {printable(state.message)}")
        output = watched.output
        typer.echo(printable(f"images in {storage.join(output, 'images')}, table in {output}, report {watched.report}"))


def _where_to_watch(watched: Watched) -> list[str]:
    page = watched.page or f"the server has no pages; prefect flow-run inspect {watched.run_id}"
    return [
        f"watch:  {page}",
        printable(f"report: {watched.report}, once it has ended"),
        printable(f"status: {watched.status_command}"),
    ]


def find_server() -> None:
    """Use the Prefect server that PREFECT_API_URL names, else the one that `nst serve` runs on this machine."""
    check_prefect_home()
    check_client_environment()
    check_named_address()
    if "PREFECT_API_URL" not in os.environ:
        wait_while_starting(FOLDER, partial(typer.echo, err=True))
        use_server(find_access())
    read_settings()

"""The commands around a running service: `nst submit` starts a deployment's run and follows it, `nst serve` serves all.

Prefect is imported only where a command needs it, after the server to use is known.
"""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, Limit, ManifestArgument, Only, OutputOption, output_of
from flows.cli.options import options_from, settings_of, validated
from flows.errors import LimitsError, ManifestError, OutputError
from flows.inbox.runs import RunState, error_of
from flows.limits import VARIABLE, limits_in_force
from flows.manifest.given import STANDARD_INPUT
from flows.manifest.load import load_manifest
from flows.prefect_layer import server as service
from flows.prefect_layer.deployments import deployments_file
from flows.prefect_layer.parameters import check_parameters
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

POLL_SECONDS = 2.0
STYLIZE = "bulk-stylize/bulk-stylize"
DEPLOYMENTS = deployments_file()
DATA_VARIABLE = "NST_DATA"
"""Environment variable that `deploy/prefect.yaml` names: the folder or prefix of the service's data."""


@options_from(options=StylizeOptions, settings=RunSettings)
def submit(
    manifest: ManifestArgument,
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    output: OutputOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    check: Annotated[bool, typer.Option(help="Read the manifest here first; not where only the service can.")] = True,
    only: Only = None,
    limit: Limit = None,
    deployment: Annotated[str, typer.Option(metavar="NAME", help="Which one runs it: <flow>/<deployment>.")] = STYLIZE,
    as_json: JsonSwitch = False,
) -> None:
    """Have the service stylize a manifest.

    With --wait the exit codes of `nst run`, without 0 once it is queued.
    """
    chosen = validated(StylizeOptions, options)
    if manifest == STANDARD_INPUT:
        raise ManifestError("expected the address of a manifest, found '-': the service reads files alone")
    address = storage.absolute(manifest)
    if check:
        load_manifest(address, chosen, limits_in_force())
    if output is None and storage.is_s3(address):
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


def serve(
    *,
    deployments: Annotated[
        Path, typer.Option(metavar="FILE", help="What to serve.", show_default="deploy/prefect.yaml")
    ] = DEPLOYMENTS,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder or s3:// prefix of inbox, outputs and nightly. [default: NST_DATA, else runs/service]",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="TEXT", help="Address that a server started here listens on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="INTEGER", help="Port that a server started here listens on.")] = 4200,
) -> None:
    """Serve all deployments from one process.

    With a Prefect server of its own unless PREFECT_API_URL names one.
    """
    if not deployments.is_file():
        raise OutputError(f"{deployments}: no such file; give a prefect.yaml with --deployments")
    limits = limits_in_force(strict=True)
    if not limits.readable or not limits.writable:
        raise LimitsError(
            "a service reads and writes only what is listed: name a limits file with `read` and `write` in "
            f"{VARIABLE}, see deploy/README.md"
        )
    place = data or os.environ.get(DATA_VARIABLE) or os.path.join("runs", "service")
    os.environ[DATA_VARIABLE] = storage.absolute(place)
    if "PREFECT_API_URL" in os.environ:
        _serve(deployments)
        return
    with service.server(host, port) as access:
        service.use(access)
        os.environ["PREFECT_HOME"] = str(Path(service.FOLDER).resolve())
        home = access.url.removesuffix("/api")
        typer.echo(f"Prefect server at {home}, its password in {service.FOLDER}/access.json", err=True)
        _serve(deployments)


def _submit(deployment: str, parameters: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    check_parameters(parameters)
    _find_server()
    from flows.prefect_layer.deployment_runs import start_run  # prefect, which reads its settings when it is imported

    run_id = start_run(deployment, parameters)
    if not wait:
        _tell(run_id, parameters["output"], None, as_json=as_json)
        return
    typer.echo(f"run {run_id} of {deployment}", err=True)
    try:
        state = _followed(run_id)
    except KeyboardInterrupt:
        typer.echo(f"run {run_id} goes on without this command; `prefect flow-run cancel {run_id}` stops it", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _tell(run_id, parameters["output"], state, as_json=as_json)
    if state.stage != "ended":
        raise error_of(state)
    raise typer.Exit(ExitCode.OK if state.is_complete_success else ExitCode.SOME_FAILED)


def _followed(run_id: str) -> RunState:
    """The state in which a run ended; until then its log and its states are shown on stderr."""
    from flows.prefect_layer.deployment_runs import state_of

    shown, last = 0, ""
    while True:
        state = state_of(run_id)
        if state.name != last and not state.is_final:
            typer.echo(f"run {run_id}: {state.name}", err=True)
        last = state.name
        if state.is_final:  # the last lines of the log come after it
            time.sleep(POLL_SECONDS)
        shown = _show_log(run_id, shown)
        if state.is_final:
            return state
        time.sleep(POLL_SECONDS)


def _show_log(run_id: str, shown: int) -> int:
    from flows.prefect_layer.deployment_runs import log_lines

    while lines := log_lines(run_id, shown):
        shown += len(lines)
        typer.echo("\n".join(printable(line) for text in lines for line in text.split("\n")), err=True)
    return shown


def _tell(run_id: str, output: str, state: RunState | None, *, as_json: bool) -> None:
    if as_json:
        told = {"run_id": run_id, "output": output, "state": state.name if state else "Scheduled"}
        typer.echo(json.dumps(told | ({"message": state.message} if state else {}), indent=1))
    elif state is None:
        typer.echo(f"run {run_id} is queued; `prefect flow-run inspect {run_id}` tells how it stands")
    elif state.stage == "ended":
        typer.echo(f"{state.name}: {printable(state.message)}")
        typer.echo(printable(f"images in {storage.join(output, 'images')}, table in {output}"))


def _find_server() -> None:
    if "PREFECT_API_URL" not in os.environ:
        service.use(service.find_access())


def _serve(deployments: Path) -> None:
    from flows.prefect_layer.serve import serve  # prefect, which reads its settings when it is imported

    typer.echo(f"serving {deployments} with data in {os.environ[DATA_VARIABLE]}; Ctrl-C ends it", err=True)
    serve(deployments)
    typer.echo("stopped; runs that were under way go on where they were when the service is started again", err=True)

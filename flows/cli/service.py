"""The commands around a running service: `nst submit` starts a deployment's run and follows it, `nst serve` serves all.

Prefect is imported only where a command needs it, after the server to use is known.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.options import options_from, validated
from flows.errors import LimitsError, OutputError
from flows.inbox.runs import RunState, error_of
from flows.limits import VARIABLE, limits_in_force
from flows.manifest.load import load_manifest
from flows.prefect_layer import server as service
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

SOME_FAILED, INTERRUPTED = 3, 75
"""See `flows.cli.run.ExitCode`."""
POLL_SECONDS = 2.0
STYLIZE = "bulk-stylize/bulk-stylize"
DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deploy" / "prefect.yaml"
DATA_VARIABLE = "NST_DATA"
"""Environment variable that `deploy/prefect.yaml` names: the folder or prefix of the service's data."""

ExitCodes = Callable[[], AbstractContextManager[None]]
JsonSwitch = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def add_commands(app: typer.Typer, exit_codes: ExitCodes) -> None:
    """Add the commands to `nst`; `exit_codes` turns errors into its exit codes."""

    @app.command()
    @options_from(options=StylizeOptions, settings=RunSettings)
    def submit(
        manifest: Annotated[str, typer.Argument(help="CSV of content/style pairs, local or s3://.")],
        *,
        options: dict[str, Any],
        settings: dict[str, Any],
        output: Annotated[
            str | None, typer.Option("--output", "-o", help="Folder or s3:// prefix. [default: runs/<manifest name>]")
        ] = None,
        wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
        check: Annotated[
            bool, typer.Option(help="Read the manifest here first; not where only the service can.")
        ] = True,
        only: Annotated[list[str] | None, typer.Option(help="Only the pair of this id; may be repeated.")] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="At most so many pairs.")] = None,
        deployment: Annotated[str, typer.Option(help="Which one runs it: <flow>/<deployment>.")] = STYLIZE,
        as_json: JsonSwitch = False,
    ) -> None:
        """Have the service stylize a manifest: with --wait the exit codes of `nst run`, without 0 once it is queued."""
        with exit_codes():
            chosen = validated(StylizeOptions, options)
            address = storage.absolute(manifest)
            if check:
                load_manifest(address, chosen, limits_in_force())
            selection = Selection(only=tuple(only or ()), limit=limit)
            parameters = {
                "manifest": address,
                "output": _output(output, address),
                "options": chosen.model_dump(mode="json", exclude_unset=True),
                "settings": _given_settings(settings),
                "selection": selection.model_dump(mode="json", exclude_defaults=True),
            }
            _submit(deployment, parameters, wait=wait, as_json=as_json)

    @app.command()
    def serve(
        *,
        deployments: Annotated[
            Path, typer.Option(help="What to serve.", show_default="deploy/prefect.yaml")
        ] = DEPLOYMENTS,
        data: Annotated[
            str | None,
            typer.Option(
                help="Folder or s3:// prefix of inbox, outputs and nightly. [default: NST_DATA, else runs/service]"
            ),
        ] = None,
        host: Annotated[str, typer.Option(help="Address that a server started here listens on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(help="Port that a server started here listens on.")] = 4200,
    ) -> None:
        """Serve all deployments from one process, with a Prefect server of its own unless PREFECT_API_URL names one."""
        with exit_codes():
            _serve(deployments, data, host, port)


def _submit(deployment: str, parameters: dict[str, Any], *, wait: bool, as_json: bool) -> None:
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
        raise typer.Exit(INTERRUPTED) from None
    _tell(run_id, parameters["output"], state, as_json=as_json)
    if state.stage != "ended":
        raise error_of(state)
    raise typer.Exit(0 if state.is_complete_success else SOME_FAILED)


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
        typer.echo("\n".join(map(printable, lines)), err=True)
    return shown


def _tell(run_id: str, output: str, state: RunState | None, *, as_json: bool) -> None:
    if as_json:
        told = {"run_id": run_id, "output": output, "state": state.name if state else "Scheduled"}
        typer.echo(json.dumps(told | ({"message": state.message} if state else {}), indent=1))
    elif state is None:
        typer.echo(f"run {run_id} is queued; `prefect flow-run inspect {run_id}` tells how it stands")
    elif state.stage == "ended":
        typer.echo(f"{state.name}: {state.message}\nimages in {storage.join(output, 'images')}, table in {output}")


def _output(output: str | None, manifest: str) -> str:
    if output is not None:
        return storage.absolute(output)
    if storage.is_s3(manifest):
        raise OutputError("a manifest on S3 needs --output: the service may run on another machine than this one")
    return storage.absolute(
        os.path.join("runs", storage.name_of(manifest).rpartition(".")[0] or storage.name_of(manifest))
    )


def _given_settings(given: dict[str, Any]) -> dict[str, Any]:
    if given.get("weights"):
        given["weights"] = storage.absolute(given["weights"])
    return validated(RunSettings, given).model_dump(mode="json", exclude_unset=True)


def _find_server() -> None:
    if "PREFECT_API_URL" not in os.environ:
        service.use(service.find_access())


def _serve(deployments: Path, data: str | None, host: str, port: int) -> None:
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
        _serve_deployments(deployments)
        return
    with service.server(host, port) as access:
        service.use(access)
        os.environ["PREFECT_HOME"] = str(Path(service.FOLDER).resolve())
        home = access.url.removesuffix("/api")
        typer.echo(f"Prefect server at {home}, its password in {service.FOLDER}/access.json", err=True)
        _serve_deployments(deployments)


def _serve_deployments(deployments: Path) -> None:
    from flows.prefect_layer.serve import serve  # prefect, which reads its settings when it is imported

    typer.echo(f"serving {deployments} with data in {os.environ[DATA_VARIABLE]}; Ctrl-C ends it", err=True)
    serve(deployments)
    typer.echo("stopped; runs that were under way go on where they were when the service is started again", err=True)

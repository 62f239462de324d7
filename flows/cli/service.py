"""The commands around a running service: `nst submit` has it run a manifest, `nst notify` tell of what goes wrong.

`nst serve` is a service of one process.

Prefect is imported only where a command needs it, after the server to use is known.
"""

import getpass
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, Limit, ManifestArgument, Only, OutputOption, output_of
from flows.cli.options import options_from, settings_of, validated
from flows.errors import LimitsError, ManifestError, OutputError, RequestRefused
from flows.inbox.runs import RunState, error_of
from flows.limits import VARIABLE, limits_in_force
from flows.manifest.given import STANDARD_INPUT
from flows.manifest.load import load_manifest
from flows.prefect_layer import server as service
from flows.prefect_layer.deployments import deployments_file
from flows.prefect_layer.embedded_server import check_prefect_home
from flows.prefect_layer.parameters import check_parameters
from flows.prefect_layer.startup_lock import starting, wait_while_starting
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

POLL_SECONDS = 2.0
STYLIZE = "bulk-stylize/bulk-stylize"
DEPLOYMENTS = deployments_file()
NOTIFICATIONS = DEPLOYMENTS.with_name("notifications.yaml")
NOTIFY_VARIABLE = "NST_NOTIFY_ADDRESS"
DATA_VARIABLE = "NST_DATA"
"""Environment variable that `deploy/prefect.yaml` names: the folder or prefix of the service's data."""


class NotifyKind(StrEnum):
    """What tells of a run; a chat, a mailbox, or a program that takes JSON."""

    SLACK = "slack"
    TEAMS = "teams"
    MATTERMOST = "mattermost"
    MAIL = "mail"
    WEBHOOK = "webhook"


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
    _check_deployment(deployment)
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


def _check_deployment(deployment: str) -> None:
    flow, _, name = deployment.partition("/")
    if not flow or not name:
        meant = f"bulk-stylize/{name or flow}" if name or flow else STYLIZE
        raise RequestRefused(f"--deployment {deployment}: expected FLOW/DEPLOYMENT, such as {meant}")


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
        check_prefect_home()
        service.check_named_server()
        _serve(deployments)
        return
    with starting(service.FOLDER) as is_up, service.server(host, port) as access:
        service.use(access)
        os.environ["PREFECT_HOME"] = str(Path(service.FOLDER).resolve())
        home = access.url.removesuffix("/api")
        typer.echo(f"Prefect server at {home}, its password in {service.FOLDER}/access.json", err=True)
        _serve(deployments, is_up)


def notify(
    kind: Annotated[NotifyKind, typer.Argument(help="What tells it: slack, teams, mattermost, mail or webhook.")],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Have the service tell it no more.")] = False,
    described: Annotated[
        Path,
        typer.Option(
            "--described", metavar="FILE", help="When, and in which words.", show_default="deploy/notifications.yaml"
        ),
    ] = NOTIFICATIONS,
) -> None:
    """Have the service tell of runs that end with failures.

    Asks for the address of the chat, webhook or mailbox, or takes it from NST_NOTIFY_ADDRESS or standard input.
    """
    if not described.is_file():
        raise OutputError(f"{described}: no such file; give one like deploy/notifications.yaml with --described")
    _find_server()
    from flows.prefect_layer.notifications import notify_by, notify_no_more  # prefect, as above

    if remove:
        was_there = notify_no_more(kind.value)
        typer.echo(f"{kind.value}: {'told no more' if was_there else 'it was not told before'}")
        return
    name = notify_by(kind.value, _address_to_notify(), described)
    typer.echo(f"runs that end with failures are told by {kind.value}: automation {name}")


def _address_to_notify() -> str:
    """The address, which is a secret: never an argument, which others on the machine see."""
    address = os.environ.get(NOTIFY_VARIABLE)
    if address is None and sys.stdin.isatty():
        address = getpass.getpass("address: ")
    address = (sys.stdin.readline() if address is None else address).strip()
    if not address:
        raise RequestRefused(f"expected an address in {NOTIFY_VARIABLE} or on standard input, found none")
    return address


def _submit(deployment: str, parameters: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    check_parameters(parameters)
    _find_server()
    from flows.prefect_layer.deployment_runs import (  # prefect, which reads its settings when it is imported
        page_of,
        start_run,
    )

    run_id = start_run(deployment, parameters)
    watched = Watched(run_id, parameters["output"], page_of(run_id))
    if not wait:
        _tell(watched, None, as_json=as_json)
        return
    typer.echo(f"run {run_id} of {deployment}", err=True)
    typer.echo("\n".join(_where_to_watch(watched)), err=True)
    try:
        state = _followed(run_id)
    except KeyboardInterrupt:
        typer.echo(f"run {run_id} goes on without this command; `prefect flow-run cancel {run_id}` stops it", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _tell(watched, state, as_json=as_json)
    if state.stage != "ended":
        raise error_of(state)
    raise typer.Exit(ExitCode.OK if state.is_complete_success else ExitCode.SOME_FAILED)


@dataclass(frozen=True)
class Watched:
    """A run of the service, and where to see it.

    Attributes:
        run_id: Prefect's.
        output: its address.
        page: of the run in Prefect's UI; None where the server has none.
    """

    run_id: str
    output: str
    page: str | None

    @property
    def report(self) -> str:
        """Where its report will be."""
        return storage.join(self.output, "report.html")

    @property
    def status_command(self) -> str:
        """The command, for a shell, that says how its output stands."""
        return shlex.join(["nst", "status", self.output])


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


def _tell(watched: Watched, state: RunState | None, *, as_json: bool) -> None:
    if as_json:
        told = {
            "run_id": watched.run_id,
            "output": watched.output,
            "state": state.name if state else "Scheduled",
            "page": watched.page,
            "report": watched.report,
            "status": watched.status_command,
        }
        typer.echo(json.dumps(told | ({"message": state.message} if state else {}), indent=1))
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


def _find_server() -> None:
    check_prefect_home()
    service.check_named_address()
    if "PREFECT_API_URL" not in os.environ:
        wait_while_starting(service.FOLDER, partial(typer.echo, err=True))
        service.use(service.find_access())


def _serve(deployments: Path, is_up: Callable[[], None] = lambda: None) -> None:
    from flows.prefect_layer.deployment_runs import named_errors  # prefect, which reads its settings when imported
    from flows.prefect_layer.serve import serve

    typer.echo(f"serving {deployments} with data in {os.environ[DATA_VARIABLE]}; Ctrl-C ends it", err=True)
    with named_errors():
        serve(deployments, is_up)
    typer.echo("stopped; runs that were under way go on where they were when the service is started again", err=True)

"""The command `nst serve`, which serves all deployments from one process.

Prefect is imported inside functions, once the server to use is known, because it reads its settings when imported.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import storage
from flows.errors import LimitsError, OutputError
from flows.limits import VARIABLE, limits_in_force
from flows.prefect_layer.client_environment import check_client_environment
from flows.prefect_layer.configured import check_prefect_home
from flows.prefect_layer.deployments import deployments_file
from flows.prefect_layer.readable_settings import read_settings
from flows.prefect_layer.servers.access import FOLDER, use_server
from flows.prefect_layer.servers.named_server import check_named_server
from flows.prefect_layer.servers.service_server import server
from flows.prefect_layer.servers.startup_lock import starting

DEPLOYMENTS = deployments_file()
DATA_VARIABLE = "NST_DATA"
"""The environment variable, used in `deploy/prefect.yaml`, for the folder or prefix of the service's data."""


def serve(
    *,
    deployments: Annotated[
        Path, typer.Option(metavar="FILE", help="The deployments to serve.", show_default="deploy/prefect.yaml")
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
    port: Annotated[
        int,
        typer.Option(metavar="INTEGER", min=1, max=65_535, help="Port that a server started here listens on."),
    ] = 4200,
) -> None:
    """Serve all deployments from one process.

    Starts a Prefect server of its own unless PREFECT_API_URL names one.
    """
    if not deployments.is_file():
        raise OutputError(f"{deployments}: no such file; give a prefect.yaml with --deployments")
    limits = limits_in_force(strict=True)
    if not limits.readable or not limits.writable:
        raise LimitsError(
            "a service reads and writes only what is listed: name a limits file in "
            f'{VARIABLE}, such as limits.toml with the lines read = ["/data"] and write = ["/data"]; deploy/README.md '
            "says more"
        )
    place = data or os.environ.get(DATA_VARIABLE) or os.path.join("runs", "service")
    os.environ[DATA_VARIABLE] = storage.absolute(place)
    check_client_environment()
    if "PREFECT_API_URL" in os.environ:
        check_prefect_home()
        check_named_server()
        _serve(deployments)
        return
    began = datetime.now(UTC)
    with starting(FOLDER) as is_up, server(host, port) as access:
        use_server(access)
        os.environ["PREFECT_HOME"] = str(Path(FOLDER).resolve())
        home = access.url.removesuffix("/api")
        typer.echo(f"Prefect server at {home}, its password in {FOLDER}/access.json", err=True)
        _serve(deployments, is_up, sole_since=began)


def _serve(deployments: Path, is_up: Callable[[], None] = lambda: None, *, sole_since: datetime | None = None) -> None:
    read_settings()
    from flows.prefect_layer.deployment_runs import named_errors  # imports prefect
    from flows.prefect_layer.serve import serve

    typer.echo(f"serving {deployments} with data in {os.environ[DATA_VARIABLE]}; Ctrl-C ends it", err=True)
    with named_errors():
        serve(deployments, is_up, sole_since=sole_since)
    typer.echo("stopped; runs that were under way go on where they were when the service is started again", err=True)

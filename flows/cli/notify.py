"""The command `nst notify`: a running service reports runs with failures to a chat, a mailbox or a webhook.

Prefect is imported inside functions, once the server to use is known, because it reads its settings when imported.
"""

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.submit import find_server
from flows.errors import OutputError, RequestRefused
from flows.prefect_layer.deployments import deployments_file
from flows.prefect_layer.notify_kinds import NotifyKind

NOTIFICATIONS = deployments_file().with_name("notifications.yaml")
NOTIFY_VARIABLE = "NST_NOTIFY_ADDRESS"


def notify(
    kind: Annotated[NotifyKind, typer.Argument(help="Where to report.")],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Stop reporting there.")] = False,
    described: Annotated[
        Path,
        typer.Option(
            "--described",
            metavar="FILE",
            help="When to report, and the text.",
            show_default="deploy/notifications.yaml",
        ),
    ] = NOTIFICATIONS,
) -> None:
    """Have the service report runs that end with failures.

    Asks for the address of the chat, webhook or mailbox, or takes it from NST_NOTIFY_ADDRESS or standard input.
    """
    if not described.is_file():
        raise OutputError(f"{described}: no such file; give one like deploy/notifications.yaml with --described")
    find_server()
    from flows.prefect_layer.notifications import notify_by, notify_no_more  # imports prefect

    if remove:
        was_there = notify_no_more(kind)
        typer.echo(f"{kind.value}: {'no longer notified' if was_there else 'it was not notified before'}")
        return
    name = notify_by(kind, _address_to_notify(), described)
    typer.echo(f"{kind.value}: notified of runs that end with failures, by the automation {name}")


def _address_to_notify() -> str:
    """Read the address from the environment, the terminal or standard input.

    It is a secret, so it is never an argument, which other users of the machine could see.

    Raises:
        RequestRefused: there is no address.
    """
    address = os.environ.get(NOTIFY_VARIABLE)
    if address is None and sys.stdin.isatty():
        address = getpass.getpass("address: ")
    address = (sys.stdin.readline() if address is None else address).strip()
    if not address:
        raise RequestRefused(f"expected an address in {NOTIFY_VARIABLE} or on standard input, found none")
    return address

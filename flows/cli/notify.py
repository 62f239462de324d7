"""`nst notify`: a running service reports runs that end with failures to a chat, a mailbox or a webhook.

Prefect is imported only where a command needs it, after the server to use is known.
"""

import getpass
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.submit import find_server
from flows.errors import OutputError, RequestRefused
from flows.prefect_layer.deployments import deployments_file

NOTIFICATIONS = deployments_file().with_name("notifications.yaml")
NOTIFY_VARIABLE = "NST_NOTIFY_ADDRESS"


class NotifyKind(StrEnum):
    """What tells of a run; a chat, a mailbox, or a program that takes JSON."""

    SLACK = "slack"
    TEAMS = "teams"
    MATTERMOST = "mattermost"
    MAIL = "mail"
    WEBHOOK = "webhook"


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
    find_server()
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

"""Notifications about runs that end with failures: a Prefect block with the address, and an automation that uses it.

The blocks are Prefect's own types. Anyone who has the address can send messages to it, so the server stores it
encrypted.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect.blocks.notifications import MattermostWebhook, MicrosoftTeamsWebhook, SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore

from flows.errors import OutputError, RequestRefused
from flows.prefect_layer.deployment_runs import named_errors
from flows.prefect_layer.notify_kinds import NotifyKind
from flows.prefect_layer.yaml_files import read_yaml

DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})
"""The port of an address that has none, by its scheme."""


def notify_by(kind: NotifyKind, address: str, described: Path) -> str:
    """Have the server notify an address of runs that end with failures, and return the automation's name.

    An automation of the same kind is replaced.

    Args:
        kind: the kind of receiver.
        address: the address of the chat, webhook or mailbox.
        described: a file like `deploy/notifications.yaml`, with the trigger and the message's text.

    Raises:
        OutputError: if the file lacks a part that is needed.
        RequestRefused: if the address is not of that kind, or the server refuses the automation.
        ServiceError: if the server does not answer.
    """
    template = _read_template(described, ("payload",) if kind == NotifyKind.WEBHOOK else ("subject", "body"))
    block = _block(kind, address)
    with named_errors(), get_client(sync_client=True) as client:
        block_id = str(block.save(name_of(kind), overwrite=True))
        automation = {
            "name": name_of(kind),
            "description": "Tells of runs that do not end well; made by `nst notify`.",
            "enabled": True,
            "trigger": template["trigger"],
            "actions": [_action(kind, block_id, template)],
        }
        _remove(client, kind)
        client.create_automation(AutomationCore.model_validate(automation))
    return name_of(kind)


def notify_no_more(kind: NotifyKind) -> bool:
    """Delete the automation of a kind, with the block that holds its address; return False if there was none.

    Raises:
        ServiceError: if the server does not answer.
    """
    with named_errors(), get_client(sync_client=True) as client:
        existed = _remove(client, kind)
        if existed:
            _BLOCKS[kind][0].delete(name_of(kind))
    return existed


def name_of(kind: NotifyKind) -> str:
    """Return the name of the automation and of the block of a kind."""
    return f"nst-notify-{kind}"


def _read_template(described: Path, parts: tuple[str, ...]) -> Mapping[str, Any]:
    template = read_yaml(described)
    for name in ("trigger", *parts):
        if not isinstance(template, dict) or name not in template:
            raise OutputError(f"{described}: expected {name!r} in it, found none; deploy/notifications.yaml has one")
    return dict(template)


def _remove(client: Any, kind: NotifyKind) -> bool:
    existing = client.read_automations_by_name(name_of(kind))
    for automation in existing:
        client.delete_automation(automation.id)
    return bool(existing)


def _action(kind: NotifyKind, block_id: str, template: Mapping[str, Any]) -> dict[str, Any]:
    if kind == NotifyKind.WEBHOOK:
        return {"type": "call-webhook", "block_document_id": block_id, "payload": template["payload"]}
    message = {"subject": template["subject"], "body": template["body"]}
    return {"type": "send-notification", "block_document_id": block_id, **message}


def _block(kind: NotifyKind, address: str) -> Block:
    block_type, build, example = _BLOCKS[kind]
    refused = RequestRefused(f"{kind}: expected an address like {example}, found none of that form")
    try:
        block = build(address)
    except (ValueError, KeyError):
        raise refused from None  # the cause may hold the address, which is a secret
    assert isinstance(block, block_type)
    if isinstance(block, SlackWebhook) and not block._apprise_client:  # Apprise only logs that it refuses an address
        raise refused
    return block


def _mattermost(address: str) -> Block:
    parts = urlsplit(address)
    path, _, token = parts.path.strip("/").rpartition("/")
    prefix, _, last = path.rpartition("/")
    if parts.scheme not in DEFAULT_PORTS or parts.hostname is None or last != "hooks" or not token:
        raise ValueError(address)
    return MattermostWebhook(
        hostname=parts.hostname,
        token=token,
        secure=parts.scheme == "https",
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        path=prefix or None,
    )


def _webhook(address: str) -> Block:
    parts = urlsplit(address)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(address)
    return Webhook(method="POST", url=address, headers={"Content-Type": "application/json"})


def _mail(address: str) -> Block:
    """Return a Slack block, which passes any address on to Apprise: the server cannot store Apprise's own block."""
    if urlsplit(address).scheme not in ("mailto", "mailtos"):
        raise ValueError(address)
    return SlackWebhook(url=address)


def _slack(address: str) -> Block:
    if urlsplit(address).scheme != "https":
        raise ValueError(address)
    return SlackWebhook(url=address)


_BLOCKS: dict[NotifyKind, tuple[type[Block], Callable[[str], Block], str]] = {
    NotifyKind.SLACK: (SlackWebhook, _slack, "https://hooks.slack.com/services/A/B/C"),
    NotifyKind.TEAMS: (
        MicrosoftTeamsWebhook,
        lambda address: MicrosoftTeamsWebhook(url=address),
        "https://....logic.azure.com:443/workflows/ID/triggers/manual/paths/invoke?...&sig=SIGNATURE",
    ),
    NotifyKind.MATTERMOST: (MattermostWebhook, _mattermost, "https://chat.example.org/hooks/TOKEN"),
    NotifyKind.MAIL: (SlackWebhook, _mail, "mailtos://USER:PASSWORD@smtp.example.org:587?from=ME&to=TEAM"),
    NotifyKind.WEBHOOK: (Webhook, _webhook, "https://example.org/path"),
}
"""By kind: the type of block, the function that builds one from an address, and an example of an address."""

"""Has the server tell of runs that do not end well: a block that holds the address, and an automation that uses it.

Prefect's own blocks; the address, which lets anybody who has it send messages, is kept encrypted by the server.
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
from flows.prefect_layer.yaml_files import read_yaml

DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


def notify_by(kind: str, address: str, described: Path) -> str:
    """Have the server tell of runs that do not end well; the automation's name. One of the same kind is replaced.

    Args:
        kind: `slack`, `teams`, `mattermost`, `mail` or `webhook`.
        address: of the chat, webhook or mailbox.
        described: a file like `deploy/notifications.yaml`.

    Raises:
        OutputError: if the file does not say what it should.
        RequestRefused: if the address is none of that kind, or the server does not take the automation.
        ServiceError: if the server does not answer.
    """
    told = _told(described, ("payload",) if kind == "webhook" else ("subject", "body"))
    block = _block(kind, address)
    with named_errors(), get_client(sync_client=True) as client:
        block_id = str(block.save(name_of(kind), overwrite=True))
        automation = {
            "name": name_of(kind),
            "description": "Tells of runs that do not end well; made by `nst notify`.",
            "enabled": True,
            "trigger": told["trigger"],
            "actions": [_action(kind, block_id, told)],
        }
        _remove(client, kind)
        client.create_automation(AutomationCore.model_validate(automation))
    return name_of(kind)


def notify_no_more(kind: str) -> bool:
    """Take the automation of a kind away, with the address; False if there was none.

    Raises:
        ServiceError: if the server does not answer.
    """
    with named_errors(), get_client(sync_client=True) as client:
        was_there = _remove(client, kind)
        if was_there:
            _MADE[kind][0].delete(name_of(kind))
    return was_there


def name_of(kind: str) -> str:
    """What automation and block of a kind are called."""
    return f"nst-notify-{kind}"


def _told(described: Path, words: tuple[str, ...]) -> Mapping[str, Any]:
    told = read_yaml(described)
    for name in ("trigger", *words):
        if not isinstance(told, dict) or name not in told:
            raise OutputError(f"{described}: expected {name!r} in it, found none; deploy/notifications.yaml has one")
    return dict(told)


def _remove(client: Any, kind: str) -> bool:
    found = client.read_automations_by_name(name_of(kind))
    for old in found:
        client.delete_automation(old.id)
    return bool(found)


def _action(kind: str, block_id: str, told: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "webhook":
        return {"type": "call-webhook", "block_document_id": block_id, "payload": told["payload"]}
    message = {"subject": told["subject"], "body": told["body"]}
    return {"type": "send-notification", "block_document_id": block_id, **message}


def _block(kind: str, address: str) -> Block:
    made, make, like = _MADE[kind]
    refused = RequestRefused(f"{kind}: expected an address like {like}, found none of that form")
    try:
        block = make(address)
    except (ValueError, KeyError):
        raise refused from None  # whose cause may hold the address
    assert isinstance(block, made)
    if isinstance(block, SlackWebhook) and not block._apprise_client:  # Apprise only logs what it refuses
        raise refused
    return block


def _mattermost(address: str) -> Block:
    parts = urlsplit(address)
    path, _, token = parts.path.strip("/").rpartition("/")
    before, _, word = path.rpartition("/")
    if parts.scheme not in DEFAULT_PORTS or parts.hostname is None or word != "hooks" or not token:
        raise ValueError(address)
    return MattermostWebhook(
        hostname=parts.hostname,
        token=token,
        secure=parts.scheme == "https",
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        path=before or None,
    )


def _webhook(address: str) -> Block:
    parts = urlsplit(address)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(address)
    return Webhook(method="POST", url=address, headers={"Content-Type": "application/json"})


def _mail(address: str) -> Block:
    """The block of Slack, which hands any address on to Apprise: that of Apprise itself cannot be kept by a server."""
    if urlsplit(address).scheme not in ("mailto", "mailtos"):
        raise ValueError(address)
    return SlackWebhook(url=address)


def _slack(address: str) -> Block:
    if urlsplit(address).scheme != "https":
        raise ValueError(address)
    return SlackWebhook(url=address)


_MADE: dict[str, tuple[type[Block], Callable[[str], Block], str]] = {
    "slack": (SlackWebhook, _slack, "https://hooks.slack.com/services/A/B/C"),
    "teams": (
        MicrosoftTeamsWebhook,
        lambda address: MicrosoftTeamsWebhook(url=address),
        "https://....logic.azure.com:443/workflows/ID/triggers/manual/paths/invoke?...&sig=SIGNATURE",
    ),
    "mattermost": (MattermostWebhook, _mattermost, "https://chat.example.org/hooks/TOKEN"),
    "mail": (SlackWebhook, _mail, "mailtos://USER:PASSWORD@smtp.example.org:587?from=ME&to=TEAM"),
    "webhook": (Webhook, _webhook, "https://example.org/path"),
}

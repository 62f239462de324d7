"""The kinds of receivers that `nst notify` can report to.

This module does not import prefect: the command needs the kinds before it knows which server to use.
"""

from enum import StrEnum


class NotifyKind(StrEnum):
    """A chat, a mailbox, or a program that takes JSON. `flows.prefect_layer.notifications` has a block for each."""

    SLACK = "slack"
    TEAMS = "teams"
    MATTERMOST = "mattermost"
    MAIL = "mail"
    WEBHOOK = "webhook"

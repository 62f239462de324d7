"""Other people's messages without credentials: error texts of libraries may quote addresses and headers whole."""

import os
import re

NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|AUTH_STRING|API_KEY|ACCESS_KEY|DB_CONNECTION", re.IGNORECASE)
"""Environment variables whose values are secrets."""
SHORTEST = 8
"""Characters; shorter values, such as `true`, are in too many innocent texts."""
HIDDEN = "***"

_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_SIGNED = re.compile(r"(?i)((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId)=)[^&\s'\"]+")


def redacted(text: str) -> str:
    """The text with every credential of the environment, of an address and of a signed request hidden.

    >>> redacted("no answer from https://me:pass@host/a?X-Amz-Signature=12ab&x=1")
    'no answer from https://***@host/a?X-Amz-Signature=***&x=1'
    """
    text = _SIGNED.sub(rf"\1{HIDDEN}", _USER_INFO.sub(f"{HIDDEN}@", text))
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and NAMES.search(name):
            text = text.replace(value, HIDDEN)
    return text

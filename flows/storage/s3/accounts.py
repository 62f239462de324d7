"""Whose credentials an S3 request carries and where it goes, in words: asked of botocore once something is wrong."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from flows.wording import MOST_NAMED, first_few, redacted

PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""In the order in which botocore looks."""
ENDPOINT_VARIABLES = ("FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def whose() -> str:
    """Where the credentials come from.

    >>> with_keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SESSION_TOKEN": "x"}
    >>> in_environment(with_keys)
    'AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN of the environment'
    """
    return in_environment(os.environ) or f"{profile_named()} of {files()}"


def in_environment(environment: Mapping[str, str]) -> str:
    """The environment's keys, which go before any profile's; empty where it has none."""
    if not environment.get("AWS_ACCESS_KEY_ID"):
        return ""
    token = " and AWS_SESSION_TOKEN" if environment.get("AWS_SESSION_TOKEN") else ""
    return f"AWS_ACCESS_KEY_ID{token} of the environment"


def profile_named() -> str:
    """The profile, with the variable that names it."""
    variable = _variable(PROFILE_VARIABLES)
    return f"profile {os.environ[variable]!r} ({variable})" if variable else "profile 'default'"


def profiles_there() -> str:
    """The names of all profiles in the files."""
    names = sorted(_session().available_profiles)
    return f"there are {first_few(map(repr, names), MOST_NAMED)}" if names else "there are none"


def files() -> str:
    """The files that profiles are read from, and which of them are not there."""
    session = _session()
    paths = [os.path.expanduser(session.get_config_variable(name)) for name in ("config_file", "credentials_file")]
    return " and ".join(path if os.path.isfile(path) else f"{path} (not there)" for path in paths)


def login(tool: str = "sso login") -> str:
    """The command that renews what a profile has signed in with."""
    variable = _variable(PROFILE_VARIABLES)
    return f"aws {tool} --profile {os.environ[variable]}" if variable else f"aws {tool}"


def endpoint() -> str:
    """The server that is asked, with what names it."""
    if variable := _variable(ENDPOINT_VARIABLES):
        return f"{redacted(os.environ[variable])} ({variable})"
    scoped = _profile()
    section = str(scoped.get("services", ""))
    configured = [
        (_services().get(section, {}).get("s3", {}), f"[services {section}] of {files()}"),
        (scoped, f"{profile_named()} of {files()}"),
    ]
    for settings, place in configured:
        if isinstance(settings, Mapping) and settings.get("endpoint_url"):
            return f"{redacted(str(settings['endpoint_url']))} (endpoint_url, {place})"
    return f"AWS in {region()}"


def region() -> str:
    """The region that requests are signed for."""
    return os.environ.get("AWS_DEFAULT_REGION") or str(_profile().get("region") or "us-east-1")


def ca_bundle() -> str:
    """The certificates that a server's is checked against, with what names them; empty for the usual ones."""
    if path := os.environ.get("AWS_CA_BUNDLE"):
        return f"{path} (AWS_CA_BUNDLE)"
    path = str(_profile().get("ca_bundle") or "")
    return f"{path} (ca_bundle, {profile_named()})" if path else ""


def _profile() -> Mapping[str, Any]:
    """What the profile says."""
    return _configured(lambda session: session.get_scoped_config())


def _services() -> Mapping[str, Any]:
    """The sections `services` of the configuration."""
    return _configured(lambda session: session.full_config.get("services", {}))


def _configured(ask: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the files of the configuration say; nothing where they cannot be read."""
    import botocore.exceptions

    try:
        return ask(_session())
    except botocore.exceptions.BotoCoreError:
        return {}


def _session() -> Any:
    import botocore.session  # here, as it is asked for only where there is something to say

    return botocore.session.Session()


def _variable(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if os.environ.get(name)), None)

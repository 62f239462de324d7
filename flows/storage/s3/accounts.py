"""Descriptions of the credentials and the endpoint of a request for error messages.

They are read from botocore's configuration only after an error.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from flows.wording import MOST_NAMED, first_few, redacted

PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""The variables that name the profile, in the order in which botocore reads them."""
ENDPOINT_VARIABLES = ("FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""The variables that name the endpoint, the first one set being used."""


def credentials() -> str:
    """Describe where the credentials come from.

    >>> with_keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SESSION_TOKEN": "x"}
    >>> in_environment(with_keys)
    'AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN of the environment'
    """
    return in_environment(os.environ) or f"{profile()} of {files()}"


def in_environment(environment: Mapping[str, str]) -> str:
    """Name the variables with keys, which take precedence over any profile; empty if the environment has no keys."""
    if not environment.get("AWS_ACCESS_KEY_ID"):
        return ""
    token = " and AWS_SESSION_TOKEN" if environment.get("AWS_SESSION_TOKEN") else ""
    return f"AWS_ACCESS_KEY_ID{token} of the environment"


def profile() -> str:
    """Name the profile, with the variable that selects it."""
    variable = _variable(PROFILE_VARIABLES)
    return f"profile {os.environ[variable]!r} ({variable})" if variable else "profile 'default'"


def available_profiles() -> str:
    """List the names of all configured profiles."""
    names = sorted(_session().available_profiles)
    return f"there are {first_few(map(repr, names), MOST_NAMED)}" if names else "there are none"


def files() -> str:
    """Name the two files that contain profiles, and say which of them do not exist."""
    session = _session()
    paths = [os.path.expanduser(session.get_config_variable(name)) for name in ("config_file", "credentials_file")]
    return " and ".join(path if os.path.isfile(path) else f"{path} (not there)" for path in paths)


def login_command(tool: str = "sso login") -> str:
    """Return the AWS command that renews the sign-in of the profile."""
    variable = _variable(PROFILE_VARIABLES)
    return f"aws {tool} --profile {os.environ[variable]}" if variable else f"aws {tool}"


def endpoint() -> str:
    """Describe the server that requests go to, with the setting that names it."""
    if variable := _variable(ENDPOINT_VARIABLES):
        return f"{redacted(os.environ[variable])} ({variable})"
    scoped = _profile()
    section = str(scoped.get("services", ""))
    configured = [
        (_services().get(section, {}).get("s3", {}), f"[services {section}] of {files()}"),
        (scoped, f"{profile()} of {files()}"),
    ]
    for settings, place in configured:
        if isinstance(settings, Mapping) and settings.get("endpoint_url"):
            return f"{redacted(str(settings['endpoint_url']))} (endpoint_url, {place})"
    return f"AWS in {region()}"


def region() -> str:
    """Return the region that requests are signed for."""
    return os.environ.get("AWS_DEFAULT_REGION") or str(_profile().get("region") or "us-east-1")


def ca_bundle() -> str:
    """Describe the configured bundle of trusted certificates, with the setting that names it; empty for the default."""
    if path := os.environ.get("AWS_CA_BUNDLE"):
        return f"{path} (AWS_CA_BUNDLE)"
    if path := str(_profile().get("ca_bundle") or ""):
        return f"{path} (ca_bundle, {profile()})"
    path = os.environ.get("REQUESTS_CA_BUNDLE", "")  # botocore takes this one last
    return f"{path} (REQUESTS_CA_BUNDLE)" if path else ""


def file_of_this_machine(path: str) -> str:
    """Describe a file that a request needs, such as a token, with the variable that names it if one does.

    >>> file_of_this_machine("/run/token")
    '/run/token of this machine'
    """
    variable = next((name for name, value in os.environ.items() if name.startswith("AWS_") and value == path), "")
    return f"{path} of this machine{f' ({variable})' if variable else ''}"


def _profile() -> Mapping[str, Any]:
    """Return the settings of the profile."""
    return _configured(lambda session: session.get_scoped_config())


def _services() -> Mapping[str, Any]:
    """Return the `services` sections of the configuration."""
    return _configured(lambda session: session.full_config.get("services", {}))


def _configured(read: Callable[[Any], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Read settings from the configuration files; return none if the files cannot be read."""
    import botocore.exceptions

    try:
        return read(_session())
    except botocore.exceptions.BotoCoreError:
        return {}


def _session() -> Any:
    import botocore.session  # imported here, as it is needed only after an error

    return botocore.session.Session()


def _variable(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if os.environ.get(name)), None)

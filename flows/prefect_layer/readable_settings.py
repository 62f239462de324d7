"""Import Prefect, which reads its settings then, with one sentence about settings that it refuses.

They come from the environment, from files of the working folder (`configured.SETTINGS_FILES`), and from the
profiles in its home folder; Prefect's own error is a traceback that does not name the place.
"""

import os

from pydantic import ValidationError

from flows.errors import ServiceError
from flows.wording import redacted, shortened

PREFIX = "PREFECT_"
"""The start of the names of all variables that Prefect reads."""


def read_settings() -> None:
    """Import Prefect's settings; whatever imports prefect afterwards uses the same ones.

    Raises:
        ServiceError: if Prefect refuses them; the message names the variable, or else the places to look at.
    """
    try:
        import prefect.context  # noqa: F401  # reads them
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        name = "_".join(map(str, details["loc"]))
        found = shortened(redacted(str(details["input"])))
        raise ServiceError(f"{_place_of(name, found)}: {details['msg']}, found {found!r}. Correct it") from error
    except (ValueError, OSError) as error:  # a file of settings that cannot be read, or is not TOML
        raise ServiceError(f"{_place_of('its settings', None)} ({redacted(str(error))}). Correct it") from error


def _place_of(name: str, value: str | None) -> str:
    """Name the variables with this value, or else everything that may hold it; Prefect changes the case of some."""
    settings = {variable: text for variable, text in os.environ.items() if variable.startswith(PREFIX)}
    variables = [variable for variable, text in settings.items() if value is not None and text.lower() == value.lower()]
    if variables:
        return ", ".join(variables)
    return (
        f"Prefect cannot use {name}, from a variable {PREFIX}..., .env, prefect.toml or pyproject.toml of this folder, "
        "or profiles.toml of PREFECT_HOME"
    )

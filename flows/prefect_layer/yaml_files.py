"""Files in YAML that say what a service is made of: what is wrong in one, with its line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prefect.exceptions import PrefectException

from flows.errors import OutputError
from flows.wording import shortened
from nst_core.errors import NstError

Made = TypeVar("Made")

FAULTS = (KeyError, TypeError, ValueError, AttributeError, ImportError, PrefectException)
"""What making something of a part that is not as it should be raises."""


def read_yaml(path: Path) -> Any:
    """What a file says.

    Raises:
        OutputError: if it is no YAML, or cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise OutputError(f"{path}{line}: expected YAML, found what is none: {error.problem}; put it right") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: expected YAML, found what cannot be read: {_in_a_line(error)}") from error


def made_of_each(path: Path, described: Any, name: str, make: Callable[[Any], Made]) -> list[Made]:
    """What is made of each part of the list `name` in what a file says.

    Raises:
        OutputError: if there is no such list, or a part is not as it should be; with its line.
    """
    parts = described.get(name) if isinstance(described, dict) else None
    if not isinstance(parts, list):
        raise OutputError(f"{path}: expected a list named {name!r}, found none; the file in deploy/ has one to go by")
    return [_made(path, name, number, make, part) for number, part in enumerate(parts)]


def _made(path: Path, name: str, number: int, make: Callable[[Any], Made], part: Any) -> Made:
    try:
        return make(part)
    except NstError:
        raise
    except FAULTS as error:
        found = f"it has no {error}" if isinstance(error, KeyError) else _in_a_line(error)
        raise OutputError(
            f"{path}, line {_line_of(path, name, number)}: entry {number + 1} of {name!r} cannot be used: {found}"
        ) from error


def _line_of(path: Path, name: str, number: int) -> int:
    root: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    (parts,) = (value for key, value in root.value if key.value == name)
    return int(parts.value[number].start_mark.line) + 1


def _in_a_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), 300)

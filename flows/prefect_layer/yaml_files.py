"""Read the YAML files that configure a service; errors name the file and the line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from prefect.exceptions import PrefectException

from flows.errors import OutputError
from flows.wording import shortened
from nst_core.errors import NstError

Built = TypeVar("Built")

FAULTS = (KeyError, TypeError, ValueError, AttributeError, ImportError, PrefectException)
"""The errors that building an object from a faulty entry may raise."""


def read_yaml(path: Path) -> Any:
    """Return the parsed content of a file.

    Raises:
        OutputError: if the file is not YAML, or cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise OutputError(f"{path}{line}: expected YAML, found what is none: {error.problem}; put it right") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"{path}: expected YAML, found what cannot be read: {_one_line(error)}") from error


def build_each(path: Path, content: Any, name: str, build: Callable[[Any], Built]) -> list[Built]:
    """Return the objects that are built from the entries of one list in a file.

    Args:
        path: the file, for error messages.
        content: its parsed content.
        name: the key of the list in it.
        build: makes an object from an entry.

    Raises:
        OutputError: if there is no such list, or an entry cannot be used; the message gives its line.
    """
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise OutputError(f"{path}: expected a list named {name!r}, found none; the file in deploy/ has one to go by")
    return [_build(path, name, number, build, entry) for number, entry in enumerate(entries)]


def _build(path: Path, name: str, number: int, build: Callable[[Any], Built], entry: Any) -> Built:
    try:
        return build(entry)
    except NstError:
        raise
    except FAULTS as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else _one_line(error)
        raise OutputError(
            f"{path}, line {_line_of(path, name, number)}: entry {number + 1} of {name!r} cannot be used: {reason}"
        ) from error


def _line_of(path: Path, name: str, number: int) -> int:
    root: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    (entries,) = (value for key, value in root.value if key.value == name)
    return int(entries.value[number].start_mark.line) + 1


def _one_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), 300)

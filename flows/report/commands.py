"""Write the exact shell command that runs or retries again what a page shows."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flows import storage
from flows.manifest.stdin import NAME, STANDARD_INPUT
from flows.output import Ledger
from flows.records.runs import RunRecord
from flows.settings import RunSettings
from flows.wording import option_as_text

OF_ONE_START = ("take_over", "wait_for_output_seconds")
"""Settings on another run in the output, which are left out: a copied command would stop a run that is still active."""


def retry_command(output: str, overrides: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return the command that retries the failed pairs of an output, with the option overrides of an earlier retry.

    >>> retry_command("/data/my run", {"size_px": 384})
    "nst retry '/data/my run' --size-px 384"
    """
    words = ["nst", "retry", output]
    for name, value in overrides.items():
        words += _option(name, value)
    return shlex.join(words)


def run_command(run: RunRecord, output: str) -> str:
    """Return the command that runs a manifest again with the options and settings of a run; options can be appended.

    Settings that applied only to that one start (`OF_ONE_START`) are left out. A manifest from standard input is read
    from its copy in the output, after changing to the folder that its relative addresses are relative to.
    """
    defaults = RunSettings().model_dump(mode="json")
    settings = {
        name: value
        for name, value in run.settings.items()
        if value != defaults.get(name) and name not in OF_ONE_START and not _is_for_debugging(name, value)
    }
    is_piped = storage.name_of(run.manifest_uri) == NAME
    words = ["nst", "run", STANDARD_INPUT if is_piped else run.manifest_uri, "--output", output]
    for name, value in (run.options.model_dump(mode="json", exclude_defaults=True) | settings).items():
        words += _option(name, value)
    return _piped(run, output, shlex.join(words)) if is_piped else shlex.join(words)


def _is_for_debugging(name: str, value: Any) -> bool:
    return name == "runner" and value == "inline"


def _piped(run: RunRecord, output: str, command: str) -> str:
    copy = Ledger(output).manifest_address(run.run_id)
    change_folder = f"cd {shlex.quote(storage.parent_of(run.manifest_uri))} && "
    if storage.is_s3(copy):
        return f"{change_folder}aws s3 cp {shlex.quote(copy)} - | {command}"
    return f"{change_folder}< {shlex.quote(copy)} {command}"


def _option(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", option_as_text(value)]

"""Whole commands, timed from outside as a user would with a stopwatch: start-up is part of it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import ROOT


@dataclass(frozen=True)
class Finished:
    """A command that ended well."""

    seconds: float
    stdout: str


class CommandFailed(Exception):
    """A command ended badly, or not in time; the message ends with what it said last."""


def run_timed(
    command: Sequence[str],
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Finished:
    """A command's wall time, process start included.

    Raises:
        CommandFailed: if it is not there, returns other than 0 or takes longer than `limit` seconds.
    """
    began = time.perf_counter()
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{_name(command)}: not done after {error.timeout:.0f} s") from error
    except OSError as error:
        raise CommandFailed(f"{_name(command)}: {error.strerror}") from error
    seconds = time.perf_counter() - began
    if ended.returncode != 0:
        last = "\n".join((ended.stderr.strip() or ended.stdout.strip()).splitlines()[-4:])
        raise CommandFailed(f"{_name(command)}: exit status {ended.returncode}: {_impersonal(last)}")
    return Finished(seconds, ended.stdout)


def _impersonal(text: str) -> str:
    """Text that may be published: without this machine's folders and its servers' addresses."""
    return re.sub(r"\w+://\S+", "(address)", text.replace(f"{sys.prefix}/", "").replace(f"{ROOT}/", ""))


def _name(command: Sequence[str]) -> str:
    module = command[command.index("-m") + 1] if "-m" in command else command[0]
    return os.path.basename(module)

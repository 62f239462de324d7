"""Whole commands, timed from outside, so that the start of the process is included."""

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
    """A command that ended with exit status 0."""

    seconds: float
    stdout: str


class CommandFailed(Exception):
    """A command failed or took too long; the message ends with its last lines of output."""


def run_timed(
    command: Sequence[str],
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Finished:
    """Run a command; return its wall time, including the start of the process, and its output.

    Raises:
        CommandFailed: if it does not exist, has another exit status than 0 or takes longer than `limit` seconds.
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
    """The text without this machine's folders and addresses of servers, so that it may be published."""
    return re.sub(r"\w+://\S+", "(address)", text.replace(f"{sys.prefix}/", "").replace(f"{ROOT}/", ""))


def _name(command: Sequence[str]) -> str:
    module = command[command.index("-m") + 1] if "-m" in command else command[0]
    return os.path.basename(module)

"""The results of a benchmark as JSON, saved after every row, so that an interrupted run keeps its rows."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe_machine, load_average, versions
from tests.benchmarks.tables import table

Row = dict[str, Any]


class Report:
    """A benchmark in progress.

    Args:
        benchmark: its name, which also marks its table in the README.
        arguments: those of the command line.
        peers: peer -> version, for peers that are not among the installed packages.
    """

    def __init__(self, benchmark: str, arguments: argparse.Namespace, peers: Mapping[str, str] | None = None) -> None:
        # Only the names of files: their folders are private.
        shown = {name: _shown(value) for name, value in vars(arguments).items() if name != "json"}
        self._path: Path | None = arguments.json
        self.content: dict[str, Any] = {
            "benchmark": benchmark,
            "began_at": _now(),
            "arguments": shown,
            "machine": dataclasses.asdict(describe_machine(getattr(arguments, "device", None))),
            "versions": versions() | dict(peers or {}),
            "load_average_before": load_average(),
            "notes": [],
            "rows": [],
        }

    def note(self, text: str) -> None:
        """Add something that a reader of the figures has to know; it is printed on stderr too."""
        if text not in self.content["notes"]:
            self.content["notes"].append(text)
        say(f"NOTE: {text}")

    def add(self, row: Row) -> None:
        """Add a row, and save."""
        self.content["rows"].append(row)
        say(json.dumps(row)[:300])
        self.save()

    def save(self) -> None:
        """Write the rows so far to the file, if one was named."""
        self.content["load_average_after"], self.content["ended_at"] = load_average(), _now()
        if self._path is not None:
            self._path.write_text(json.dumps(self.content, indent=1) + "\n")

    def finish(self) -> None:
        """Save for the last time; print the table to stderr and, if no file was named, the JSON to stdout."""
        self.save()
        if self._path is None:
            print(json.dumps(self.content, indent=1))  # noqa: T201  # the script's output
        say(table(self.content))


def say(text: str) -> None:
    """Print a line for people on stderr, because stdout is for JSON."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # the script's output


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON here instead of to stdout")


def _shown(value: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value):
        return os.path.basename(value)
    if isinstance(value, (list, tuple)):
        return [_shown(one) for one in value]
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""Results of the peers from earlier comparisons, which save nearly all of the time of a new one.

The loss after a number of steps is the same on every machine, except for rounding; seconds are taken over only from the
same kind of machine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import Machine, describe_machine
from tests.benchmarks.report import Row

HEAD = ("peer", "pair", "size_px", "peer_steps")
LOSS_PART = ("recipe", "initial_loss", "peer_saved_loss")
SECONDS_PART = ("peer_seconds", "peer_steps_timed")


@dataclass(frozen=True)
class Earlier:
    """Rows of earlier comparisons.

    Attributes:
        timed_here: those that were measured on the same kind of machine as this one.
    """

    rows: tuple[Row, ...] = ()
    timed_here: tuple[Row, ...] = ()

    @staticmethod
    def read(files: Sequence[Path], device: str = "cpu") -> "Earlier":
        """Read the rows of JSON files of the benchmarks, for a comparison on a device."""
        here, rows, timed_here = _kind(describe_machine(device), device), list[Row](), list[Row]()
        for file in files:
            content = json.loads(file.read_text())
            rows += content["rows"]
            if _kind(Machine(**content["machine"]), content.get("arguments", {}).get("device", "cpu")) == here:
                timed_here += content["rows"]
        return Earlier(tuple(rows), tuple(timed_here))

    def loss_part(self, head: Row) -> Row | None:
        """The losses of the peer's image; None if they are not known."""
        return _part(self.rows, head, LOSS_PART)

    def seconds_part(self, head: Row) -> Row | None:
        """The peer's seconds on this kind of machine; None if they are not known."""
        return _part(self.timed_here, head, SECONDS_PART)


def _part(rows: Sequence[Row], head: Row, names: Sequence[str]) -> Row | None:
    for row in rows:
        if all(row.get(name) == head[name] for name in HEAD) and names[0] in row:
            return {name: row[name] for name in names if name in row}
    return None


def _kind(machine: Machine, device: str) -> str:
    """The properties that determine a peer's speed: those of the processor, and of the GPU where it is used."""
    processor = f"{machine.cpu} {machine.instructions}, {machine.cores} cores, {machine.torch_threads} threads"
    return f"{processor}, {machine.gpu}" if device.startswith("cuda") else processor

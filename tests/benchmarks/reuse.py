"""What earlier comparisons found of the peers: nearly all of the time that a comparison takes.

A loss after so many steps is the same everywhere, but for rounding; seconds are taken over on the same kind of machine
alone.
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
        timed_here: those of them that a machine of this kind made.
    """

    rows: tuple[Row, ...] = ()
    timed_here: tuple[Row, ...] = ()

    @staticmethod
    def read(files: Sequence[Path]) -> "Earlier":
        """The rows of some JSON files of the benchmark `peers`."""
        here, rows, timed_here = _kind(describe_machine()), list[Row](), list[Row]()
        for file in files:
            content = json.loads(file.read_text())
            rows += content["rows"]
            if _kind(Machine(**content["machine"])) == here:
                timed_here += content["rows"]
        return Earlier(tuple(rows), tuple(timed_here))

    def loss_part(self, head: Row) -> Row | None:
        """What the peer's picture came to; None where that is not known."""
        return _part(self.rows, head, LOSS_PART)

    def seconds_part(self, head: Row) -> Row | None:
        """How long the peer took on this kind of machine; None where that is not known."""
        return _part(self.timed_here, head, SECONDS_PART)


def _part(rows: Sequence[Row], head: Row, names: Sequence[str]) -> Row | None:
    for row in rows:
        if all(row.get(name) == head[name] for name in HEAD) and names[0] in row:
            return {name: row[name] for name in names if name in row}
    return None


def _kind(machine: Machine) -> str:
    """What decides speed; memory and GPU, which no peer uses, do not."""
    return f"{machine.cpu} {machine.instructions}, {machine.cores} cores, {machine.torch_threads} threads"

"""The peers' part of an earlier comparison: nearly all of its time, and the same on every machine of one kind."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import Machine, describe_machine
from tests.benchmarks.report import Row

HEAD = ("peer", "pair", "size_px", "peer_steps")
PEER_PART = ("recipe", "initial_loss", "peer_saved_loss", "peer_seconds")


class OtherMachine(Exception):
    """An earlier comparison is from another kind of machine: its seconds mean nothing here."""


@dataclass(frozen=True)
class Earlier:
    """Rows of earlier comparisons."""

    rows: tuple[Row, ...]

    @staticmethod
    def read(files: Sequence[Path]) -> "Earlier":
        """The rows of some JSON files of the benchmark `peers`.

        Raises:
            OtherMachine: if one was measured on other hardware.
        """
        here, rows = _kind(describe_machine()), list[Row]()
        for file in files:
            content = json.loads(file.read_text())
            there = _kind(Machine(**content["machine"]))
            if there != here:
                raise OtherMachine(
                    f"{file.name} was measured on {there}, this is {here}: run the peers again, without it"
                )
            rows += content["rows"]
        return Earlier(tuple(rows))

    def peer_part(self, head: Row) -> Row | None:
        """What is known of the peer at a comparison; None where there is nothing."""
        found = (row for row in self.rows if all(row.get(name) == head[name] for name in HEAD) and "failed" not in row)
        row = next(found, None)
        return None if row is None else {name: row[name] for name in PEER_PART}


def _kind(machine: Machine) -> str:
    """What decides speed; memory and GPU, which no peer uses, do not."""
    return f"{machine.cpu}, {machine.cores} cores, {machine.torch_threads} threads"

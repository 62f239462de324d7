"""A peer's part of a comparison: the loss of the picture it saves, and how long it takes.

Both come from a whole run. What an earlier comparison knows is taken over; where that is the loss alone, the time comes
from two short runs: the steps of one pair and size all cost the same.
"""

import dataclasses
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nst_core.backbones.backbone import Backbone
from tests.benchmarks.peer_commands import Peer, Task
from tests.benchmarks.processes import CommandFailed, Finished, run_timed
from tests.benchmarks.report import Row
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, score
from tests.benchmarks.spread import spread

SHORT_RUNS = (10, 40)
"""Steps of the runs whose difference is the time of a step."""


@dataclass(frozen=True)
class Theirs:
    """One peer, where its files go, who judges them, and what is known already.

    Attributes:
        repeats: of whole runs.
        short: seconds of the short runs, by pair and size.
    """

    peer: Peer
    folder: Path
    scorer: Backbone
    earlier: Earlier = Earlier()  # noqa: RUF009  # frozen
    repeats: int = 1
    short: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)

    def task(self, pair: Pair, size_px: int, steps: int) -> Task:
        """Into this peer's own picture."""
        return Task(pair, size_px, steps, self.folder / f"{self.peer.name}.png")

    def head(self, name: str, size_px: int, steps: int) -> Row:
        """What a row is about."""
        return {"peer": self.peer.name, "pair": name, "size_px": size_px, "peer_steps": steps}

    def loss(self, head: Row, task: Task) -> Row:
        """`reuse.LOSS_PART`, whatever else the machine does meanwhile.

        Raises:
            CommandFailed: if the peer did not run.
        """
        known = self.earlier.loss_part(head)
        if known is None:
            self._run(task)
            known = self._scored(task)
        return known

    def losses(self, steps: Sequence[int], task: Task) -> list[Row]:
        """`reuse.LOSS_PART` after some of a task's steps, by one run: its way does not depend on where it ends.

        Raises:
            CommandFailed: if the peer did not run.
        """
        task = replace(task, saved_every=math.gcd(*steps))
        shutil.rmtree(task.on_the_way, ignore_errors=True)  # of another pair
        self._run(task)
        return [self._scored(replace(task, output=task.saved_after(few))) for few in steps]

    def part(self, head: Row, task: Task) -> Row:
        """`reuse.LOSS_PART` and `reuse.SECONDS_PART`.

        Raises:
            CommandFailed: if the peer did not run.
        """
        loss, seconds = self.earlier.loss_part(head), self.earlier.seconds_part(head)
        if loss is None:
            took = spread([self._run(task).seconds for _ in range(self.repeats)])
            loss, seconds = self._scored(task), {"peer_seconds": dataclasses.asdict(took)}
        return loss | (seconds or self._from_short_runs(head, task))

    def _from_short_runs(self, head: Row, task: Task) -> Row:
        key = head["pair"], task.size_px
        if key not in self.short:
            few, more = (self._run(replace(task, steps=steps)).seconds for steps in SHORT_RUNS)
            self.short[key] = few, more
        few, more = self.short[key]
        step = (more - few) / (SHORT_RUNS[1] - SHORT_RUNS[0])
        seconds = spread([more + (task.steps - SHORT_RUNS[1]) * step])
        return {"peer_seconds": dataclasses.asdict(seconds), "peer_steps_timed": SHORT_RUNS[1]}

    def _scored(self, task: Task) -> Row:
        initial, saved = (
            score(picture, task.pair, self.peer.recipe, self.scorer).total
            for picture in (task.pair.content, task.output)
        )
        return {"recipe": self.peer.recipe, "initial_loss": initial, "peer_saved_loss": saved}

    def _run(self, task: Task) -> Finished:
        """One run, in the folder where the peer's model file lies, unless its module lies in the project."""
        command = self.peer.command(task)
        task.output.unlink(missing_ok=True)
        finished = run_timed(command) if "-m" in command else run_timed(command, folder=task.output.parent)
        if not task.output.is_file():
            raise CommandFailed(f"{self.peer.name}: ended well, but wrote no picture")
        return finished

"""A peer's part of a comparison: the loss of its saved image, and its time.

Both come from a full run, or are taken over from an earlier comparison. If only the loss is known, the time is computed
from two short runs, because all steps of one pair and size take the same time.
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
"""Numbers of steps of the two short runs; the difference of their times gives the time of a step."""


@dataclass(frozen=True)
class Theirs:
    """One peer with the folder of its files, the network that scores them, and its earlier results.

    Attributes:
        repeats: the number of full runs.
        device: the device that the peer uses.
        short: (pair, size) -> seconds of the two short runs.
    """

    peer: Peer
    folder: Path
    scorer: Backbone
    earlier: Earlier = Earlier()  # noqa: RUF009  # frozen
    repeats: int = 1
    device: str = "cpu"
    short: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)

    def task(self, pair: Pair, size_px: int, steps: int) -> Task:
        """The task that saves this peer's image."""
        return Task(pair, size_px, steps, self.folder / f"{self.peer.name}.png", device=self.device)

    def head(self, name: str, size_px: int, steps: int) -> Row:
        """The columns that identify a row."""
        return {"peer": self.peer.name, "pair": name, "size_px": size_px, "peer_steps": steps}

    def loss(self, head: Row, task: Task) -> Row:
        """Return the columns `reuse.LOSS_PART`, which do not depend on the load of the machine.

        Raises:
            CommandFailed: if the peer did not run.
        """
        known = self.earlier.loss_part(head)
        if known is None:
            self._run(task)
            known = self._scored(task)
        return known

    def losses(self, steps: Sequence[int], task: Task) -> list[Row]:
        """Return the columns `reuse.LOSS_PART` after given numbers of steps, all from one run.

        A run's first steps do not depend on its number of steps.

        Raises:
            CommandFailed: if the peer did not run.
        """
        task = replace(task, saved_every=math.gcd(*steps))
        shutil.rmtree(task.on_the_way, ignore_errors=True)  # images of another pair
        self._run(task)
        return [self._scored(replace(task, output=task.saved_after(few))) for few in steps]

    def part(self, head: Row, task: Task) -> Row:
        """Return the columns `reuse.LOSS_PART` and `reuse.SECONDS_PART`.

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
        """Run the peer in the folder of its model file, or, if it is a module, in the project's root."""
        command = self.peer.command(task)
        task.output.unlink(missing_ok=True)
        finished = run_timed(command) if "-m" in command else run_timed(command, folder=task.output.parent)
        if not task.output.is_file():
            raise CommandFailed(f"{self.peer.name}: ended well, but wrote no picture")
        return finished

"""The peers' command lines, each as its own documentation has it, and what each is scored by."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.scoring import Pair


@dataclass(frozen=True)
class Task:
    """One run of a peer: a pair, so many steps at one size, and where its PNG goes.

    Attributes:
        saved_every: after so many steps a picture on the way is saved too; 0: after the last step alone.
    """

    pair: Pair
    size_px: int
    steps: int
    output: Path
    saved_every: int = 0

    @property
    def on_the_way(self) -> Path:
        """The folder of the pictures on the way."""
        return self.output.with_suffix(".steps")

    def saved_after(self, steps: int) -> Path:
        """The picture on the way after so many steps, a multiple of `saved_every`."""
        return self.on_the_way / f"{steps:0{len(str(self.steps))}d}.png"


@dataclass(frozen=True)
class Peer:
    """One tool.

    Attributes:
        recipe: the project's recipe that is the tool's own objective, up to a factor.
        command: the command line of a task.
    """

    name: str
    recipe: str
    command: Callable[[Task], list[str]]


def pastiche(task: Task) -> list[str]:
    """`pastiche` with its defaults (L-BFGS, from the content image), no pictures on the way unless asked."""
    on_the_way = ["--workspace", str(task.on_the_way), "--workspace-step", str(task.saved_every)]
    return [
        *_installed("pastiche"),
        *("--num-steps", str(task.steps), "--size", str(task.size_px), "--style-size", str(task.size_px)),
        *("--content", str(task.pair.content), "--styles", str(task.pair.style), "--output", str(task.output)),
        *(on_the_way if task.saved_every else ()),
    ]


def notebook(task: Task) -> list[str]:
    """The original notebook's loop."""
    return [
        *(sys.executable, "-m", "tests.benchmarks.notebook_baseline", "--steps", str(task.steps)),
        *("--content", str(task.pair.content), "--style", str(task.pair.style), "--output", str(task.output)),
    ]


def neural_style(task: Task, program: Path, model_file: str) -> list[str]:
    """The command `neural-style` on a CPU with the authors' weights, from the content image, saving once at the end."""
    return [
        *(str(program), "-gpu", "c", "-backend", "mkl", "-optimizer", "lbfgs", "-init", "image"),
        *("-content_weight", "1", "-style_weight", "1000", "-tv_weight", "0", "-save_iter", "0"),
        *("-num_iterations", str(task.steps), "-image_size", str(task.size_px)),
        # The model file holds the convolutions alone, which its strict check would refuse.
        *("-model_file", model_file, "-disable_check"),
        *("-content_image", str(task.pair.content), "-style_image", str(task.pair.style)),
        *("-output_image", str(task.output)),
    ]


def _installed(program: str) -> list[str]:
    """A program that was installed beside this Python, else its module."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", program]


PASTICHE = Peer("pastiche", "neural-style", pastiche)
NOTEBOOK = Peer("notebook", "notebook", notebook)

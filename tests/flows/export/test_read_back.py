"""Exported datasets are read by the libraries that people use, with the README's own lines.

Tests of a library that is not installed are skipped; `pip install datasets webdataset` installs both.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.export import Layout, Request, export
from tests.flows.outputs import Output

README = (Path(__file__).parents[3] / "README.md").read_text()
BLOCKS = re.findall(
    r"```py\n(.*?)```", README.partition("<!-- datasets -->")[2].partition("<!-- /datasets -->")[0], re.DOTALL
)
IDS = ("train-station", "test.v2", "validation", "owl", "007")
"""Ids that the datasets library would take for splits, one with a dot, and one that is a number."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the three datasets that the README's commands make."""
    rows = "".join(f'{pair_id},in/c{n}.png,art/s{n % 2}.jpg,b,"a, note"\n' for n, pair_id in enumerate(IDS))
    made = Output(str(tmp_path / "out"), f"id,content,style,image,note\n{rows}", "/in/pairs.csv")
    for n, pair_id in enumerate(IDS):
        made.done(pair_id, size=(64, 40 + n), style_loss=n / 8)
    export(Request(made.address, str(tmp_path / "dataset")))
    export(Request(made.address, str(tmp_path / "by-style"), name="{style}/{content}.png"))
    export(Request(made.address, str(tmp_path / "shards"), Layout.WEBDATASET))
    return tmp_path


def printed(code: str, folder: Path) -> str:
    """Run a program in a folder, without the network, and return what it prints."""
    places = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | places, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(library: str) -> str:
    """Return the README's three lines for a library."""
    (found,) = [one for one in BLOCKS if re.search(rf"(from|import) {library}\b", one)]
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    assert len([line for line in found.splitlines() if not line.startswith("from glob")]) == 3
    return found


def test_datasets_reads_an_imagefolder(folder: Path) -> None:
    """The datasets library reads every image with its row, in one split whatever the ids; the manifest's columns hide
    no image.
    """
    code = block("datasets")
    more = "print(len(data), sorted((str(row['pair_id']), row['image'].size, row['style_loss']) for row in data)[0])\n"
    first, second = printed(code + more, folder).splitlines()

    assert first in {f"(64, {40 + n}) {n / 8}" for n in range(5)}
    assert second == "5 ('007', (64, 44), 0.5)"


def test_datasets_reads_the_exports_of_many_outputs(folder: Path) -> None:
    """Exports in neighbouring folders, each with its metadata.csv, are read as one dataset."""
    block("datasets")
    (folder / "parts").mkdir()
    for name in ("a", "b"):
        export(Request(str(folder / "out"), str(folder / "parts" / name)))
    code = "from datasets import load_dataset\n"
    code += "print(len(load_dataset('imagefolder', data_files='parts/*/**', split='train')))"

    assert printed(code, folder) == "10\n"


def test_torchvision_reads_a_folder_per_style(folder: Path) -> None:
    """The folders that a template makes are the classes."""
    code = block("torchvision")

    assert printed(code + "print(len(data))\n", folder).splitlines() == ["['s0', 's1'] (64, 40)", "5"]


def test_webdataset_reads_shards(folder: Path) -> None:
    """Each sample is an image and its row, one for each pair, even if its id contains dots."""
    code = block("webdataset")
    more = "print([(image.size[1], row['pair_id'], row['style_loss']) for image, row in data])\n"
    first, second = printed(code + more, folder).splitlines()

    assert first == "((64, 40), 0.0)"
    assert second == str([(40 + n, pair_id, n / 8) for n, pair_id in enumerate(IDS)])

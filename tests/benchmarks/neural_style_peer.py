"""ProGamerGov's `neural-style`, installed in its own environment, with VGG-19's weights in its file format."""

import functools
import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import Final

import torch

from nst_core.backbones.find import find_weights
from tests.benchmarks.peer_commands import Peer, neural_style
from tests.benchmarks.processes import run_timed

VERSION: Final = "0.5.7"
# The program recognises the architecture by the file's name but searches the whole path: so only a bare name is safe.
MODEL_FILE: Final = "vgg19.pth"
MODULE_INDICES: Final = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Indices of the 16 convolutions among all modules of VGG-19's `features`."""


def install(folder: Path) -> Peer:
    """Return the peer, to be run from a working folder with this environment's torch; install it unless it is there.

    Raises:
        CommandFailed: if it cannot be installed.
    """
    save_model(folder / MODEL_FILE)
    return Peer(
        "neural-style", "neural-style", functools.partial(neural_style, program=_program(folder), model_file=MODEL_FILE)
    )


def _program(folder: Path) -> tuple[str, ...]:
    """Return the command of the peer; it is installed into an environment in a folder unless it can be imported."""
    if importlib.util.find_spec("neural_style"):
        return sys.executable, "-c", "from neural_style.neural_style import main; main()"
    environment = folder / "neural-style"
    run_timed([sys.executable, "-m", "venv", str(environment)])
    _share_packages(environment)
    python = environment / "bin" / "python"
    run_timed([str(python), "-m", "pip", "install", "--quiet", "--no-deps", f"neural-style=={VERSION}"])
    return (str(environment / "bin" / "neural-style"),)


def save_model(path: Path) -> None:
    """Save the convolutions of the published weights file unchanged: for BGR, 0 to 255 minus the mean."""
    state = torch.load(find_weights("vgg19").path, map_location="cpu", weights_only=True)
    names = sorted({key.rsplit("_W_q")[0] for key in state if key.endswith("_W_q")})
    converted = {}
    for name, index in zip(names, MODULE_INDICES, strict=True):
        weight = state[f"{name}_W_table"].float()[state[f"{name}_W_q"].long()]
        converted[f"features.{index}.weight"] = weight
        converted[f"features.{index}.bias"] = state[f"{name}_b"].float()
    torch.save(converted, path)


def _share_packages(environment: Path) -> None:
    """Give the new environment access to this one's packages by a path file, so that torch is not installed twice."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (packages / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

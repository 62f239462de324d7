"""A library between a program and the system that refuses what a file system of a network may refuse."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


def built_in(folder: Path) -> Path:
    """The library, for LD_PRELOAD; what it refuses below which folder is said by the environment, see its source."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    library = folder / "refusing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library

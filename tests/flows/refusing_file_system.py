"""Provides a library that makes system calls fail as network file systems may do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


def built_in(folder: Path) -> Path:
    """Compile the library for LD_PRELOAD; the environment says which calls fail below which folder, see its source."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    library = folder / "refusing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library

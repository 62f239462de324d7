"""Running Python code in a subprocess that can import our packages but nothing from the working folder.

A folder of images may hold a `random.py`, which a user who runs a command there does not mean to be imported.
"""

import gc
import sys
from pathlib import Path

import flows

_FOLDER = str(Path(flows.__file__).parents[1])

_OURS = f"import sys; sys.path.insert(0, {_FOLDER!r}); import flows, nst_core; del sys.path[0]\n"
"""Code that imports our packages from their folder, which may hold modules that must not be imported.

The folder is taken off `sys.path` again, as the modules of a loaded package are found without it.
"""


def command(code: str) -> list[str]:
    """Return the command line that runs the code in a new interpreter; `PYTHONPATH` applies as usual."""
    return [sys.executable, "-P", "-c", _OURS + code]


GARBAGE_AFTER = (50_000, 20, 20)
"""Thresholds of the garbage collector.

They are the number of new objects that start a collection of the youngest generation, and the numbers of collections of
one generation that start one of the next older.
"""

COLLECTS_RARELY = f"import gc; gc.set_threshold{GARBAGE_AFTER}\n"
"""Code that sets these thresholds, for use in a subprocess."""


def collect_rarely() -> None:
    """Make the garbage collector run rarely: imports create millions of objects, none of them garbage.

    Collections take a sixth of the time of importing Prefect. Do not use this in a worker, where garbage may be images.
    """
    gc.set_threshold(*GARBAGE_AFTER)

"""Python in a process of its own: with our packages as they are here, and nothing of the working folder.

A picture's folder may hold a `random.py`; whoever runs there does not mean it to be imported.
"""

import gc
import sys
from pathlib import Path

import flows

_FOLDER = str(Path(flows.__file__).parents[1])

_OURS = f"import sys; sys.path.insert(0, {_FOLDER!r}); import flows, nst_core; del sys.path[0]\n"
"""Once the packages are loaded their modules are found without the folder, which may be no place for imports."""


def command(code: str) -> list[str]:
    """The command that runs some code; `PYTHONPATH` counts, as everywhere."""
    return [sys.executable, "-P", "-c", _OURS + code]


GARBAGE_AFTER = (50_000, 20, 20)
"""New objects until Python looks for garbage among them, and how often it does until it looks through older ones."""

COLLECTS_RARELY = f"import gc; gc.set_threshold{GARBAGE_AFTER}\n"
"""The same as code, for a process of its own."""


def collect_rarely() -> None:
    """Look for garbage seldom: the objects that imports make by the million all stay, and are looked through in vain.

    It is a sixth of what Prefect takes to import. Not for a worker, where garbage may be pictures.
    """
    gc.set_threshold(*GARBAGE_AFTER)

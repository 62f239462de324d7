"""Python in a process of its own: with our packages as they are here, and nothing of the working folder.

A picture's folder may hold a `random.py`; whoever runs there does not mean it to be imported.
"""

import sys
from pathlib import Path

import flows

_FOLDER = str(Path(flows.__file__).parents[1])

_OURS = f"import sys; sys.path.insert(0, {_FOLDER!r}); import flows, nst_core; del sys.path[0]\n"
"""Once the packages are loaded their modules are found without the folder, which may be no place for imports."""


def command(code: str) -> list[str]:
    """The command that runs some code; `PYTHONPATH` counts, as everywhere."""
    return [sys.executable, "-P", "-c", _OURS + code]

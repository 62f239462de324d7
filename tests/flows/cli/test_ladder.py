"""nst ladder: what is refused; the command itself is tried end to end."""

from pathlib import Path

import pytest
from commands import nst


@pytest.mark.parametrize("varied", ["strength=7", "nothing=1", "strength"])
def test_what_cannot_be_varied_is_refused(varied: str) -> None:
    """In one line, before anything is written."""
    done = nst("ladder", "cat.png", "waves.png", "--vary", varied, "--output", "out")

    assert done.exit_code == 2
    assert done.stderr.startswith("nst: --vary")
    assert not Path("out").exists()

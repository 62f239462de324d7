"""Outputs on limited file systems, and two runs that want the same output."""

import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows import refusing_file_system

pytestmark = pytest.mark.slow

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart.csv"


def test_a_run_copes_with_a_file_system_without_links_locks_and_flushing(nst, tmp_path: Path) -> None:
    """Run, retry and gc work without links, exclusive renames, locks and fsync, and report each limit once."""
    refused = {"FSYNC": errno.EINVAL, "LINK": errno.EPERM, "RENAME2": errno.EINVAL, "FLOCK": errno.ENOSYS}
    library = {"LD_PRELOAD": str(refusing_file_system.built_in(tmp_path)), "REFUSE_BELOW": str(tmp_path / "out")}
    environment = library | {f"REFUSE_{name}": str(number) for name, number in refused.items()}
    first = nst(
        "run", QUICKSTART, "-o", "out", "--backbone", "stub", "--stub", "error=chelsea-woodcut", env=environment
    )
    again = nst("retry", "out", "--stub", "seconds=0", env=environment)
    cleared = nst("gc", "out", "--delete", "--older-than-hours", "0", env=environment)

    assert (first.returncode, again.returncode, cleared.returncode) == (3, 0, 0), again.stderr
    assert first.stderr.count("has its limits") == 3
    assert "Traceback" not in again.stderr + cleared.stderr
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["storage_notes"]) == 3
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_a_run_whose_output_is_taken_over_ends_with_75(nst, with_server: dict[str, str], tmp_path: Path) -> None:
    """A `--take-over` run does the remaining pairs at once; the earlier run ends with 75 and writes no table."""
    command = ["run", str(QUICKSTART), "-o", "out", "--backbone", "stub", "--stub"]
    program = [sys.executable, "-m", "flows.cli", *command, "seconds=8"]
    first = subprocess.Popen(program, cwd=tmp_path, env=with_server, stderr=subprocess.PIPE, text=True)
    images, deadline = tmp_path / "out" / "images", time.monotonic() + 120
    while not images.exists() or not any(images.iterdir()):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.1)
    busy = nst(*command, "seconds=0")
    second = nst(*command, "seconds=0", "--take-over", "--json")
    _, said = first.communicate(timeout=120)

    assert (busy.returncode, second.returncode, first.returncode) == (75, 0, 75)
    assert "--take-over" in busy.stderr
    assert "this output was held by process " in second.stderr
    assert f"{tmp_path}/out: was taken over by another run (process " in said.splitlines()[-1]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["run_id"] == json.loads(second.stdout)["run_id"]
    assert (summary["succeeded"], summary["pending"]) == (6, 0)

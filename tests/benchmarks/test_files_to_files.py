"""files_to_files and kernels: the scripts run on a CPU too, at a size too small for anything but that."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks import files_to_files
from tests.benchmarks.files_to_files import _BusySamples
from tests.benchmarks.processes import run_timed


@pytest.mark.slow
def test_a_worker_is_timed_from_files_to_files() -> None:
    """Every pair is done, and the row has the pairs per second; only a GPU has a share of busy time."""
    options = ["--content-px", "64", "--option", "steps=1", "--option", "levels=1"]
    command = [sys.executable, "-m", "tests.benchmarks.files_to_files", "--size", "32", "--pairs", "2", *options]

    row = json.loads(run_timed(command).stdout)

    assert (row["pairs"], row["pairs_failed"], row["busy_share"]) == (2, 0, None)
    assert row["pairs_per_second"] == pytest.approx(2 / row["seconds"])


@pytest.mark.slow
def test_the_operators_of_a_step_are_counted() -> None:
    """On a CPU the row has torch's operators in place of kernels; the convolutions are among the slowest."""
    row = json.loads(run_timed([sys.executable, "-m", "tests.benchmarks.kernels", "--size", "32"]).stdout)

    assert row["kernels_per_step"] > 100
    assert any("conv" in one["kernel"] for one in row["slowest"])


def test_a_gpu_is_sampled_by_its_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The GPU is named as CUDA_VISIBLE_DEVICES does, whose order is not that of nvidia-smi; a CPU is not sampled."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho 87\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    monkeypatch.setattr(files_to_files, "SAMPLE_SECONDS", 0.01)

    samples, of_cpu = _BusySamples("cuda:1"), _BusySamples("cpu")
    deadline = time.monotonic() + 60.0
    while not samples._percentages and time.monotonic() < deadline:
        time.sleep(0.01)

    assert set(samples.end()) == {87.0}
    assert of_cpu.end() == []
    assert "--id=GPU-bb" in (tmp_path / "asked").read_text().split()

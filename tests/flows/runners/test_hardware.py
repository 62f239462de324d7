"""flows.runners.hardware: what torch finds on this machine, without importing torch in the process that asks."""

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.errors import HardwareUnknown
from flows.runners import hardware as local_hardware
from flows.runners.local import local_means
from flows.settings import RunSettings
from nst_core.errors import OptionsError
from nst_core.machine import hardware
from nst_core.machine.hardware import Hardware
from nst_core.machine.runtime import hardware_here


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    """Clear the caches before and after each test, so that no test uses another one's answer."""
    for remembered in (local_hardware._process, local_hardware._answer, local_hardware.warn_of_idle):
        remembered.cache_clear()
    yield
    for remembered in (local_hardware._process, local_hardware._answer, local_hardware.warn_of_idle):
        remembered.cache_clear()


@pytest.fixture
def a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that seems to have a GPU driver, so that torch has to be asked."""
    monkeypatch.setattr(hardware, "GPU_FILES", ("proc/self",))


def test_without_a_driver_torch_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there can be no GPU, the answer equals torch's, and torch is not started for it."""
    if hardware.hardware_without_torch() is None:
        pytest.skip("this machine may have a GPU")
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assert local_hardware.local_hardware() == hardware_here()


@pytest.mark.usefixtures("a_driver")
def test_the_answer_equals_torch_s() -> None:
    """The answer of the process that imports torch is what torch finds in this process."""
    assert local_hardware.local_hardware() == hardware_here()


@pytest.mark.usefixtures("a_driver")
def test_torch_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch cannot be started, the error says so with the exit code, instead of reporting no GPU."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(HardwareUnknown, match=r"torch cannot be started \(exit code 1\)"):
        local_hardware.local_hardware()


@pytest.mark.usefixtures("a_driver")
def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no process for torch can be started, the error says so with the system's reason."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(
        HardwareUnknown, match=r"^no process to ask torch could be started \(.*No such file .*\)\. This"
    ):
        local_hardware.ask()


@pytest.mark.usefixtures("a_driver")
@pytest.mark.parametrize("answers", [True, False], ids=["torch starts", "torch does not start"])
def test_concurrent_requests_start_torch_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool) -> None:
    """If eight threads ask at the same moment, torch is started once, and all get its answer or its error."""
    python = tmp_path / "python"
    answer = {"gpus": ["cuda:0"], "with_bf16": ["cuda:0"], "left_out": []}
    then = f"echo '{json.dumps(answer)}'" if answers else "exit 3"
    python.write_text(f"#!/bin/sh\necho >> {tmp_path}/starts\n{then}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    together = threading.Barrier(8)

    def asked(_number: int) -> object:
        together.wait()
        local_hardware.ask()
        try:
            return local_hardware.local_hardware()
        except HardwareUnknown as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(asked, range(8)))

    reason = "torch cannot be started (exit code 3): no reason given; install deploy/requirements.lock again"
    assert found == {Hardware(("cuda:0",), frozenset({"cuda:0"})) if answers else reason}
    assert len((tmp_path / "starts").read_text()) == 1


def torch_says(monkeypatch: pytest.MonkeyPatch, folder: Path, **found: object) -> None:
    """Replace the Python that is started for torch by a script that prints this answer."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.usefixtures("a_driver")
def test_precision_auto_is_one_that_all_gpus_support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`auto` is a precision that all workers support; bf16 is refused at once if one GPU lacks it."""
    torch_says(monkeypatch, tmp_path, gpus=["cuda:0", "cuda:1"], with_bf16=["cuda:0"], left_out=[])

    assert local_means(RunSettings(device="auto")).precision == "fp32"
    assert local_means(RunSettings(device="cuda:0")).precision == "bf16"
    with pytest.raises(OptionsError, match="precision bf16: cuda:1 cannot multiply bf16"):
        local_means(RunSettings(device="cuda", precision="bf16"))


@pytest.mark.usefixtures("a_driver")
def test_a_gpu_that_is_left_out_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU that is left out is logged with its reason; if it was the only one, the log says that the CPU is used."""
    torch_says(monkeypatch, tmp_path, gpus=[], with_bf16=[], left_out=["cuda:0 (Tesla P40) is left out: it is old"])
    for _ in range(2):
        assert local_means(RunSettings(device="auto")).devices == ("cpu",)

    assert [one.getMessage() for one in caplog.records] == [
        "cuda:0 (Tesla P40) is left out: it is old",
        "no GPU is left: device auto is the CPU",
    ]


@pytest.mark.parametrize(
    ("visible", "gpus", "told"),
    [
        ("MIG-1f,MIG-2e", 1, True),
        ("MIG-1f", 1, False),
        ("0,1", 2, False),
        ("", 1, False),
    ],
)
def test_idle_slices_of_a_gpu_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, visible: str, gpus: int, told: bool
) -> None:
    """If several MIG slices are visible, the log says that CUDA gives a process only one of them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = Hardware(tuple(f"cuda:{number}" for number in range(gpus)), frozenset())
    for _ in range(2):
        local_hardware.warn_of_idle(found)

    said = [one.getMessage() for one in caplog.records]
    assert len(said) == told
    assert not told or "names 2 slices of GPUs (MIG), of which CUDA gives a process 1" in said[0]


def test_modules_of_the_working_folder_are_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files of the working folder that are named like modules are not imported."""
    for name in ("torch.py", "random.py", "json.py", "nst_core.py"):
        (tmp_path / name).write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)

    assert local_hardware.local_hardware() == hardware_here()

"""flows.runners.hardware: what torch says of this machine, without torch in the process that wants to know."""

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
    """Neither a question nor an answer of another test."""
    for remembered in (local_hardware._process, local_hardware._answer, local_hardware.warn_of_idle):
        remembered.cache_clear()
    yield
    for remembered in (local_hardware._process, local_hardware._answer, local_hardware.warn_of_idle):
        remembered.cache_clear()


@pytest.fixture
def a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has the file of some GPU's driver, so that torch has to be asked."""
    monkeypatch.setattr(hardware, "GPU_FILES", ("proc/self",))


def test_without_a_driver_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there can be no GPU the answer is the same as torch's, and torch is not started for it."""
    if hardware.hardware_without_torch() is None:
        pytest.skip("this machine may have a GPU")
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assert local_hardware.local_hardware() == hardware_here()


@pytest.mark.usefixtures("a_driver")
@pytest.mark.parametrize("asked_before", [True, False])
def test_the_answer_is_torchs(asked_before: bool) -> None:
    """Asked early or late, it is what torch finds when it is imported here."""
    if asked_before:
        local_hardware.ask()

    assert local_hardware.local_hardware() == hardware_here()


@pytest.mark.usefixtures("a_driver")
def test_torch_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch cannot be started the error says so, with the exit code, and not that there is no GPU."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(HardwareUnknown, match=r"torch cannot be started \(exit code 1\)"):
        local_hardware.local_hardware()


@pytest.mark.usefixtures("a_driver")
def test_a_system_that_starts_no_process_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """That torch was not even asked is said, with the system's reason."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(
        HardwareUnknown, match=r"^no process to ask torch could be started \(.*No such file .*\)\. This"
    ):
        local_hardware.ask()


@pytest.mark.usefixtures("a_driver")
@pytest.mark.parametrize("answers", [True, False], ids=["torch starts", "torch does not"])
def test_threads_that_ask_at_once_have_one_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    """However many ask at the same moment, torch is started once, and each has the answer, or the reason for none."""
    python = tmp_path / "python"
    then = f'exec {sys.executable} "$@"' if answers else "exit 3"
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

    reason = "torch cannot be started (exit code 3): no reason given; install deploy/requirements.lock anew"
    assert found == {hardware_here() if answers else reason}
    assert len((tmp_path / "starts").read_text()) == 1


def torch_says(monkeypatch: pytest.MonkeyPatch, folder: Path, **found: object) -> None:
    """As where it was asked on another machine."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(found)}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.usefixtures("a_driver")
def test_gpus_of_two_kinds_have_one_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`auto` is what all workers can do; bf16 of the one that cannot is refused before anything begins."""
    torch_says(monkeypatch, tmp_path, gpus=["cuda:0", "cuda:1"], with_bf16=["cuda:0"], left_out=[])

    assert local_means(RunSettings(device="auto")).precision == "fp32"
    assert local_means(RunSettings(device="cuda:0")).precision == "bf16"
    with pytest.raises(OptionsError, match="precision bf16: cuda:1 cannot multiply bf16"):
        local_means(RunSettings(device="cuda", precision="bf16"))


@pytest.mark.usefixtures("a_driver")
def test_a_gpu_that_is_left_out_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reason; where it was the only one, that the CPU does the work too."""
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
def test_idle_slices_of_a_gpu_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, visible: str, gpus: int, told: bool
) -> None:
    """CUDA gives a process one slice, however many it may see."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = Hardware(tuple(f"cuda:{number}" for number in range(gpus)), frozenset())
    for _ in range(2):
        local_hardware.warn_of_idle(found)

    said = [one.getMessage() for one in caplog.records]
    assert len(said) == told
    assert not told or "names 2 slices of GPUs (MIG), of which CUDA gives a process 1" in said[0]


def test_a_picture_folder_is_no_place_for_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of the working folder that has a module's name is left alone."""
    for name in ("torch.py", "random.py", "json.py", "nst_core.py"):
        (tmp_path / name).write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)

    assert local_hardware.local_hardware() == hardware_here()

"""flows.runners.hardware: what torch says of this machine, without torch in the process that wants to know."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.errors import HardwareUnknown
from flows.runners import hardware as local_hardware
from nst_core.machine import hardware
from nst_core.machine.runtime import hardware_here


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    """Neither a question nor an answer of another test."""
    for remembered in (local_hardware._process, local_hardware._answer):
        remembered.cache_clear()
    yield
    for remembered in (local_hardware._process, local_hardware._answer):
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

    assert found == {hardware_here() if answers else "torch cannot be started (exit code 3): no reason given"}
    assert len((tmp_path / "starts").read_text()) == 1


def test_a_picture_folder_is_no_place_for_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of the working folder that has a module's name is left alone."""
    for name in ("torch.py", "random.py", "json.py", "nst_core.py"):
        (tmp_path / name).write_text("raise ImportError('a file of the user')")
    monkeypatch.chdir(tmp_path)

    assert local_hardware.local_hardware() == hardware_here()

"""flows.runners.hardware: what torch says of this machine, without torch in the process that wants to know."""

import sys
from collections.abc import Iterator

import pytest

from flows.errors import HardwareUnknown
from flows.runners import hardware as local_hardware
from nst_core.runtime import hardware_here


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    """Neither a question nor an answer of another test."""
    for remembered in (local_hardware._asked, local_hardware._answer):
        remembered.cache_clear()
    yield
    for remembered in (local_hardware._asked, local_hardware._answer):
        remembered.cache_clear()


@pytest.mark.parametrize("asked_before", [True, False])
def test_the_answer_is_torchs(asked_before: bool) -> None:
    """Asked early or late, it is what torch finds when it is imported here."""
    if asked_before:
        local_hardware.ask()

    assert local_hardware.local_hardware() == hardware_here()


def test_torch_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch cannot be started the error says so, with the exit code, and not that there is no GPU."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(HardwareUnknown, match=r"torch cannot be started \(exit code 1\)"):
        local_hardware.local_hardware()

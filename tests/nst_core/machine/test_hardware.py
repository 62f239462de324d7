"""The compute devices of a machine as far as they can be determined without torch, and the precision for them."""

import platform
import sys
from pathlib import Path

import pytest

from nst_core.errors import OptionsError
from nst_core.machine.hardware import GPU_FILES, Hardware, hardware_without_torch

CPUINFO = "processor : 0\nmodel name : a CPU\nflags : fpu avx512f {flags} avx\nbugs : avx512_bf16\n\nprocessor : 1\n"


@pytest.fixture
def linux_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Python report Linux on x86, whose hardware can be determined from files."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def root_with(folder: Path, flags: str) -> Path:
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(CPUINFO.format(flags=flags))
    return folder


@pytest.mark.parametrize(
    ("flags", "with_bf16"), [("", False), ("avx512_bf16", True), ("amx_bf16", True), ("avx512_bf16_not", False)]
)
def test_bf16_is_detected_by_the_cpus_flags(linux_on_x86: None, tmp_path: Path, flags: str, with_bf16: bool) -> None:
    """Either of two CPU flags means fast bf16; the same word in another line, or a longer word, does not."""
    expected = Hardware((), frozenset({"cpu"} if with_bf16 else ()))

    assert hardware_without_torch(root_with(tmp_path, flags)) == expected


@pytest.mark.parametrize("file", GPU_FILES)
def test_if_there_may_be_a_gpu_detection_is_left_to_torch(linux_on_x86: None, tmp_path: Path, file: str) -> None:
    """If a file of any GPU driver exists, `hardware_without_torch` returns None, which leaves detection to torch."""
    root = root_with(tmp_path, "avx512_bf16")
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).touch()

    assert hardware_without_torch(root) is None


@pytest.mark.parametrize(("system", "machine"), [("darwin", "x86_64"), ("linux", "aarch64"), ("win32", "AMD64")])
def test_on_other_systems_detection_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, machine: str
) -> None:
    """On systems other than Linux on x86, `hardware_without_torch` returns None."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)

    assert hardware_without_torch(root_with(tmp_path, "avx512_bf16")) is None


def test_a_model_name_in_another_encoding_hides_no_flags(linux_on_x86: None, tmp_path: Path) -> None:
    """A virtual machine's processor may have a name that is not UTF-8; its flags are read all the same."""
    cpuinfo = root_with(tmp_path, "avx512_bf16") / "proc/cpuinfo"
    cpuinfo.write_bytes(b"model name\t: Mod\xe8le\n" + cpuinfo.read_bytes())

    assert hardware_without_torch(tmp_path) == Hardware((), frozenset({"cpu"}))


def test_without_proc_detection_is_left_to_torch(linux_on_x86: None, tmp_path: Path) -> None:
    """If /proc is not mounted, `hardware_without_torch` returns None."""
    assert hardware_without_torch(tmp_path) is None


@pytest.mark.parametrize(("wanted", "precision"), [("auto", "bf16"), ("bf16", "bf16"), ("fp32", "fp32")])
def test_precision_of_a_device_with_bf16(wanted: str, precision: str) -> None:
    """A device with fast bf16 uses it unless fp32 is requested; on a device without it, `auto` is fp32."""
    hardware = Hardware(("cuda:0",), frozenset({"cuda:0"}))

    assert hardware.precision(wanted, "cuda:0") == precision
    assert hardware.precision("auto", "cpu") == "fp32"


MIXED = Hardware(("cuda:0", "cuda:1"), frozenset({"cuda:0"}))


def test_all_devices_of_a_run_have_the_same_precision() -> None:
    """For a GPU with bf16 and one without, in either order, `auto` is fp32."""
    assert MIXED.precision("auto", "cuda:0") == "bf16"
    assert MIXED.precision("auto", "cuda:0", "cuda:1") == "fp32"
    assert MIXED.precision("auto", "cuda:1", "cuda:0") == "fp32"


def test_bf16_on_a_gpu_without_it_is_refused() -> None:
    """bf16 on a GPU that cannot multiply it is refused with what to do; a CPU without it is accepted."""
    with pytest.raises(OptionsError, match=r"precision bf16: cuda:1 cannot multiply bf16, .*: take auto or fp32"):
        MIXED.precision("bf16", "cuda:0", "cuda:1")

    assert MIXED.precision("bf16", "cuda:0") == MIXED.precision("bf16", "cpu") == "bf16"

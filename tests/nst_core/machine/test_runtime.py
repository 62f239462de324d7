"""Hardware detection with torch, and the set-up of a process: devices, precision, threads and freed memory."""

import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nst_core.errors import OptionsError
from nst_core.machine import hardware, runtime


@pytest.fixture
def restored_settings() -> Iterator[None]:
    """Restore the process's threads and TF32 settings after a test that changes them."""
    threads = torch.get_num_threads()
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch report two GPUs, neither of them too old."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))


@pytest.fixture
def an_old_gpu(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch report two GPUs, the second of which is older than any it has code for."""
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "sm_120", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", {"cuda:0": (7, 5), "cuda:1": (6, 1)}.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla P40")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch report no GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_is_the_only_device(no_gpu: None, wanted: str) -> None:
    """Without a GPU, `auto` and `cpu` both mean the CPU."""
    assert runtime.choose_devices(wanted) == ("cpu",)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("auto", ("cuda:0", "cuda:1")), ("cuda", ("cuda:0", "cuda:1")), ("cuda:1", ("cuda:1",)), ("cpu", ("cpu",))],
)
def test_devices_of_a_machine_with_two_gpus(two_gpus: None, wanted: str, expected: tuple[str, ...]) -> None:
    """`auto` and `cuda` mean every GPU, `cuda:1` means that one, and `cpu` the CPU."""
    assert runtime.choose_devices(wanted) == expected


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "gpu", "mps", "", "CPU"])
def test_a_missing_device_is_refused(no_gpu: None, wanted: str) -> None:
    """A device that does not exist is refused with a list of those that do."""
    with pytest.raises(OptionsError, match=f"no device '{wanted}' on this machine; it has cpu$"):
        runtime.choose_devices(wanted)


def test_a_third_of_two_gpus_is_refused(two_gpus: None) -> None:
    """A third GPU is refused with a list that includes the two that exist."""
    with pytest.raises(OptionsError, match=r"it has cpu, cuda:0, cuda:1$"):
        runtime.choose_devices("cuda:2")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_requested_precision_is_used(precision: str) -> None:
    """On a CPU, a requested bf16 or fp32 is used, whether or not the CPU has instructions for bf16."""
    assert runtime.choose_precision(precision, "cpu") == precision


@pytest.mark.parametrize(
    ("machine", "avx512", "amx", "expected"),
    [
        ("x86_64", False, False, "fp32"),
        ("x86_64", True, False, "bf16"),
        ("AMD64", False, True, "bf16"),
        ("arm64", True, True, "fp32"),
    ],
)
def test_auto_precision_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, machine: str, avx512: bool, amx: bool, expected: str
) -> None:
    """`auto` is bf16 on an x86 CPU with AVX512-BF16 or AMX, and fp32 on every other CPU."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    assert runtime.choose_precision("auto", "cpu") == expected


def test_auto_precision_is_fp32_if_torch_cannot_detect_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch lacks the private functions that detect bf16 instructions, `auto` is fp32."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)

    assert runtime.choose_precision("auto", "cpu") == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str) -> None:
    """`auto` is bf16 on GPUs from Ampere (8.0) on, and fp32 on older ones."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)

    assert runtime.choose_precision("auto", "cuda:0") == expected


@pytest.mark.parametrize("wanted", ["fp16", "", "float32"])
def test_an_unknown_precision_is_refused(wanted: str) -> None:
    """An unknown precision is refused with a list of the known ones."""
    with pytest.raises(OptionsError, match=f"no precision '{wanted}'; known: auto, bf16, fp32"):
        runtime.choose_precision(wanted, "cpu")


def test_the_description_of_the_cpu_is_its_name() -> None:
    """The CPU is described as `cpu`, without a model."""
    assert hardware.describe_device("cpu") == "cpu"


def test_the_description_of_a_gpu_includes_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is described by its name followed by its model."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA A10")

    assert hardware.describe_device("cuda:1") == "cuda:1 (NVIDIA A10)"


def test_prepare_process_sets_threads_and_exact_fp32(restored_settings: None) -> None:
    """`prepare_process` sets the requested number of threads and turns TF32 off."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    runtime.prepare_process("cpu", threads=1)

    assert torch.get_num_threads() == 1
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_prepare_process_keeps_the_threads_unless_told(restored_settings: None) -> None:
    """Without a requested number of threads, `prepare_process` keeps the process's number."""
    torch.set_num_threads(1)

    runtime.prepare_process("cpu")

    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", [None, 64])
def test_there_are_no_more_threads_than_usable_cpus(
    restored_settings: None, monkeypatch: pytest.MonkeyPatch, threads: int | None
) -> None:
    """`prepare_process` sets at most as many threads as the process may use CPUs, because others would only wait."""
    monkeypatch.setattr(runtime, "usable_cpus", lambda: 3)
    torch.set_num_threads(64)

    runtime.prepare_process("cpu", threads)

    assert torch.get_num_threads() == 3


def _resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


REPORT_FREED_MEMORY = """
import platform, resource
from pathlib import Path
import torch
from nst_core.machine import runtime

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def report():
    before = resident()
    for keep in (False, True):
        runtime.keep_freed_memory(keep=keep)
        torch.ones(100_000_000, dtype=torch.uint8)
        print(resident() - before)
    runtime.keep_freed_memory(keep=False)
    print(resident() - before)

report()
runtime._prepared.add("cpu")
libc_ver, platform.libc_ver = platform.libc_ver, lambda: ("", "")
report()
platform.libc_ver = libc_ver
report()
"""
"""Prints how many more bytes are in memory than before: after a freed map that was to be returned to the system, after
one that was to be kept, and after the kept one was returned. Does so three times: unprepared, prepared but with another
C library than glibc, and prepared with glibc."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of other C libraries is not changed")
def test_freed_memory_is_kept_or_returned_to_the_system() -> None:
    """A prepared process keeps freed memory for the next map, or returns it to the system, as it is told.

    The allocator of an unprepared process, such as a notebook, and of another C library than glibc is not changed. The
    measurement needs a process of its own, because in this one memory that earlier tests freed would be used again.
    """
    command = [sys.executable, "-c", REPORT_FREED_MEMORY]
    numbers = list(map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))

    for case, is_kept in (("unprepared", False), ("another C library", False), ("prepared", True)):
        returned, kept, returned_later = (numbers.pop(0) for _ in range(3))
        assert (kept > 50_000_000) == is_kept, case
        assert max(returned, returned_later) < 50_000_000, case
    assert numbers == []


def test_hardware_here_lists_gpus_and_devices_with_fast_bf16(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hardware_here` returns both GPUs, and as device with fast bf16 only the second GPU, which is from Ampere on."""
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: {"cuda:0": (7, 5), "cuda:1": (8, 6)}[device]
    )

    assert runtime.hardware_here() == hardware.Hardware(("cuda:0", "cuda:1"), frozenset({"cuda:1"}))


def test_if_cuda_cannot_start_the_cpu_is_used(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the driver reports GPUs but CUDA does not start, `auto` is the CPU, and the driver's reason is reported."""

    def too_old() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it")

    monkeypatch.setattr(torch.cuda, "init", too_old)
    found = runtime.hardware_here()
    reason = (
        "the GPUs are left out: CUDA cannot be started (The NVIDIA driver on your system is too old (found version "
        "11040).)"
    )

    assert (found.gpus, found.left_out) == ((), (reason,))
    assert runtime.choose_devices("auto") == runtime.choose_devices("cpu") == ("cpu",)


def test_a_gpu_that_cuda_refuses_is_left_out(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that the driver reports but CUDA refuses, as it does all slices of a GPU but the first, is left out with
    the reason.
    """

    def capability(device: str) -> tuple[int, int]:
        if device == "cuda:1":
            raise AssertionError("Invalid device id")
        return 9, 0

    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    found = runtime.hardware_here()

    assert found.gpus == ("cuda:0",)
    assert found.left_out == ("cuda:1 is left out: CUDA does not give it to this process (Invalid device id)",)


def test_a_gpu_that_torch_is_not_built_for_is_left_out(an_old_gpu: None) -> None:
    """A GPU that is older than torch has code for is left out, and requesting it is refused with the reason."""
    found = runtime.hardware_here()
    reason = (
        "cuda:1 (Tesla P40) is left out: its compute capability 6.1 is older than 7.5, the oldest that torch "
        f"{torch.__version__} is built for; an older torch may do"
    )

    assert (found.gpus, found.left_out) == (("cuda:0",), (reason,))
    assert runtime.choose_devices("auto") == ("cuda:0",)
    with pytest.raises(
        OptionsError, match=r"no device 'cuda:1' on this machine; it has cpu, cuda:0; cuda:1 \(Tesla P40\)"
    ):
        runtime.choose_devices("cuda:1")


@pytest.mark.parametrize("built_for", [[], ["gfx90a", "gfx1100"], ["sm_50", "sm_60"]], ids=str)
def test_a_gpu_not_known_to_be_too_old_is_used(
    an_old_gpu: None, monkeypatch: pytest.MonkeyPatch, built_for: list[str]
) -> None:
    """A GPU is used if torch has code for older ones or for AMD's, or does not report what it has code for."""
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)

    assert runtime.choose_devices("auto") == ("cuda:0", "cuda:1")


def test_peak_memory_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory is all memory of this process on the CPU, and what torch has reserved on a GPU, in bytes."""
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", {"cuda:1": 7_000_000_000}.__getitem__)

    assert hardware.peak_memory_bytes("cuda:1") == 7_000_000_000
    assert _resident() / 2 < hardware.peak_memory_bytes("cpu") < 1 << 40

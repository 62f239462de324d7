"""runtime: devices, precision and threads."""

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
from nst_core.machine.allowance import usable_cpus


@pytest.fixture
def restored_settings() -> Iterator[None]:
    """Puts the process's settings back after a test that changes them."""
    threads = torch.get_num_threads()
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which torch counts two GPUs, none of them old."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))


@pytest.fixture
def an_old_gpu(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch without code for the second of two GPUs."""
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "sm_120", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", {"cuda:0": (7, 5), "cuda:1": (6, 1)}.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla P40")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which torch counts no GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_is_the_device(no_gpu: None, wanted: str) -> None:
    """A machine without a GPU has one device, the CPU."""
    assert runtime.choose_devices(wanted) == ("cpu",)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("auto", ("cuda:0", "cuda:1")), ("cuda", ("cuda:0", "cuda:1")), ("cuda:1", ("cuda:1",)), ("cpu", ("cpu",))],
)
def test_devices_of_a_machine_with_two_gpus(two_gpus: None, wanted: str, expected: tuple[str, ...]) -> None:
    """`auto` and `cuda` are every GPU, a number is that one, and the CPU can be had too."""
    assert runtime.choose_devices(wanted) == expected


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "gpu", "mps", "", "CPU"])
def test_a_device_that_is_not_there_is_refused(no_gpu: None, wanted: str) -> None:
    """A device that the machine does not have is refused with the list of those it has."""
    with pytest.raises(OptionsError, match=f"no device '{wanted}' on this machine; it has cpu$"):
        runtime.choose_devices(wanted)


def test_a_gpu_too_many_is_refused(two_gpus: None) -> None:
    """The refusal of a third GPU lists the two there are."""
    with pytest.raises(OptionsError, match=r"it has cpu, cuda:0, cuda:1$"):
        runtime.choose_devices("cuda:2")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_named_precision_is_taken(precision: str) -> None:
    """bf16 and fp32 are taken as they are, whatever the hardware."""
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
    """`auto` is bf16 on an x86 CPU that has an instruction for it, and fp32 on every other."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    assert runtime.choose_precision("auto", "cpu") == expected


def test_auto_precision_with_a_torch_that_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torch has dropped the private functions that detect bf16 instructions, `auto` is fp32."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)

    assert runtime.choose_precision("auto", "cpu") == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str) -> None:
    """`auto` is bf16 on a GPU from Ampere on, fp32 on one before."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)

    assert runtime.choose_precision("auto", "cuda:0") == expected


@pytest.mark.parametrize("wanted", ["fp16", "", "float32"])
def test_an_unknown_precision_is_refused(wanted: str) -> None:
    """Another precision is refused with those there are."""
    with pytest.raises(OptionsError, match=f"no precision '{wanted}'; known: auto, bf16, fp32"):
        runtime.choose_precision(wanted, "cpu")


def test_the_cpu_describes_itself() -> None:
    """The CPU's description is its name alone."""
    assert hardware.describe_device("cpu") == "cpu"


def test_a_gpu_describes_itself_with_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's description has its model."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA A10")

    assert hardware.describe_device("cuda:1") == "cuda:1 (NVIDIA A10)"


def test_prepare_process_sets_threads_and_exact_fp32(restored_settings: None) -> None:
    """A process prepared for the CPU has the threads asked for, and TF32 is off."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    runtime.prepare_process("cpu", threads=1)

    assert torch.get_num_threads() == 1
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_prepare_process_leaves_threads_alone(restored_settings: None) -> None:
    """Without a number of threads, those of the process stay."""
    torch.set_num_threads(1)

    runtime.prepare_process("cpu")

    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", [None, 64])
def test_there_are_no_more_threads_than_cpus_that_may_be_used(restored_settings: None, threads: int | None) -> None:
    """Threads beyond what a container may use would only wait for each other."""
    torch.set_num_threads(64)

    runtime.prepare_process("cpu", threads)

    assert torch.get_num_threads() == usable_cpus()


def _resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


KEPT_OR_GIVEN_BACK = """
import platform, resource, sys
from pathlib import Path
import torch
from nst_core.machine import runtime

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

if sys.argv[1] != "nobody's":
    runtime._prepared.add("cpu")
if sys.argv[1] == "of another library":
    platform.libc_ver = lambda: ("", "")
before = resident()
for keep in (False, True):
    runtime.keep_freed_memory(keep=keep)
    torch.ones(100_000_000, dtype=torch.uint8)
    print(resident() - before)
runtime.keep_freed_memory(keep=False)
print(resident() - before)
"""
"""Bytes more in memory than at first: after a map that is given back, one that is kept, and when that is let go."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.parametrize(("process", "is_kept"), [("ours", True), ("nobody's", False), ("of another library", False)])
def test_freed_memory_is_kept_or_given_back(process: str, is_kept: bool) -> None:
    """What a map took stays with a process for the next one, unless it is to be given back; then all of it goes.

    A process that nobody prepared, as a notebook, and another C library are left as they are. In processes of their
    own: what earlier tests left free in this one would be used again.
    """
    command = [sys.executable, "-c", KEPT_OR_GIVEN_BACK, process]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given_back, kept, let_go = map(int, said.split())

    assert (kept > 50_000_000) == is_kept
    assert max(given_back, let_go) < 50_000_000


def test_this_machine_in_one_value(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hardware has the GPUs and the devices with fast bf16: here the second GPU alone."""
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: {"cuda:0": (7, 5), "cuda:1": (8, 6)}[device]
    )

    assert runtime.hardware_here() == hardware.Hardware(("cuda:0", "cuda:1"), frozenset({"cuda:1"}))


def test_a_driver_that_cannot_start_cuda_leaves_the_cpu(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the driver counts GPUs but CUDA does not start, `auto` is the CPU and the reason is the driver's."""

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


def test_a_gpu_that_cuda_does_not_give_is_left_out(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the slices of GPUs that the driver counts, CUDA gives a process one; the others are named."""

    def capability(device: str) -> tuple[int, int]:
        if device == "cuda:1":
            raise AssertionError("Invalid device id")
        return 9, 0

    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    found = runtime.hardware_here()

    assert found.gpus == ("cuda:0",)
    assert found.left_out == ("cuda:1 is left out: CUDA does not give it to this process (Invalid device id)",)


def test_a_gpu_that_torch_is_not_built_for_is_left_out(an_old_gpu: None) -> None:
    """A GPU that torch has no code for is left out, and requesting it by number is refused with the reason."""
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
def test_a_gpu_that_is_not_older_is_taken(
    an_old_gpu: None, monkeypatch: pytest.MonkeyPatch, built_for: list[str]
) -> None:
    """A GPU is kept if it is not older, is AMD's, or if torch does not say what it is built for."""
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)

    assert runtime.choose_devices("auto") == ("cuda:0", "cuda:1")


def test_the_peak_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in bytes: all memory of this process on the CPU, and what torch has reserved on a GPU."""
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", {"cuda:1": 7_000_000_000}.__getitem__)

    assert hardware.peak_memory_bytes("cuda:1") == 7_000_000_000
    assert _resident() / 2 < hardware.peak_memory_bytes("cpu") < 1 << 40

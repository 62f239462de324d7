"""What this machine has to compute with; where only torch knows, asked of a process of its own.

In the process of the flow torch would take half a gigabyte and two seconds, for nothing else.
"""

import functools
import json
import logging
import os
import subprocess
import threading

from flows import interpreter
from flows.errors import HardwareUnknown
from nst_core.machine.hardware import Hardware, hardware_without_torch

logger = logging.getLogger(__name__)

_QUESTION = """
import json
from nst_core.machine.runtime import hardware_here
found = hardware_here()
print(json.dumps({"gpus": found.gpus, "with_bf16": sorted(found.with_bf16), "left_out": found.left_out}))
"""

_asking, _answering = threading.Lock(), threading.Lock()
"""A cache alone lets threads that come at once ask twice, and read one answer in two pieces."""


def local_hardware() -> Hardware:
    """The devices of this machine; where there may be GPUs the first call waits for some two seconds.

    Less, if `ask` was called before.

    Raises:
        HardwareUnknown: if torch cannot be started.
    """
    with _answering:
        return _answer()


def ask() -> None:
    """Ask now, if torch has to be asked, beside whatever else there is to be done before the answer is needed.

    Raises:
        HardwareUnknown: if no process can be started to do so.
    """
    if hardware_without_torch() is None:
        _asked()


def _asked() -> "subprocess.Popen[str]":
    with _asking:
        return _process()


@functools.cache
def _process() -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(  # noqa: S603  # our own question
            interpreter.command(_QUESTION), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise HardwareUnknown(
            f"no process to ask torch could be started ({error}). This machine may be out of memory, processes or open "
            "files"
        ) from error


@functools.cache
def _answer() -> Hardware:
    known = hardware_without_torch()
    if known is not None:
        return known
    process = _asked()
    printed, complaint = process.communicate()
    if process.returncode != 0:
        last_line = (complaint.strip().splitlines() or ["no reason given"])[-1]
        raise HardwareUnknown(
            f"torch cannot be started (exit code {process.returncode}): {last_line}; install deploy/requirements.lock "
            "anew"
        )
    found = json.loads(printed)
    hardware = Hardware(tuple(found["gpus"]), frozenset(found["with_bf16"]), tuple(found["left_out"]))
    warn_of_idle(hardware)
    return hardware


@functools.cache
def warn_of_idle(hardware: Hardware) -> None:
    """Say once which GPUs of this machine stay idle, and why."""
    for sentence in hardware.left_out:
        logger.warning("%s", sentence)
    if hardware.left_out and not hardware.gpus:
        logger.warning("no GPU is left: device auto is the CPU")
    slices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.startswith("MIG-")]
    if len(hardware.gpus) < len(slices):
        logger.warning(
            "CUDA_VISIBLE_DEVICES names %d slices of GPUs (MIG), of which CUDA gives a process %d: the others stay "
            "idle. Start a run or a Ray worker for each slice, with that one alone in CUDA_VISIBLE_DEVICES",
            len(slices),
            len(hardware.gpus),
        )

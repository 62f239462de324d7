"""Find the devices of this machine; if only torch can tell, a subprocess imports it.

Importing torch in the flow's process would cost half a gigabyte and two seconds, and the flow needs it for nothing
else.
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
"""Locks around the cached functions: `functools.cache` alone would let concurrent threads start two subprocesses, or
read one subprocess's output in two pieces."""


def local_hardware() -> Hardware:
    """Return the devices of this machine; if there may be GPUs, the first call takes about two seconds.

    It takes less if `ask` was called before.

    Raises:
        HardwareUnknown: if torch cannot be imported.
    """
    with _answering:
        return _answer()


def ask() -> None:
    """Start the subprocess now, if torch is needed, so that it runs concurrently until `local_hardware` is called.

    Raises:
        HardwareUnknown: if no process can be started.
    """
    if hardware_without_torch() is None:
        _started_process()


def _started_process() -> "subprocess.Popen[str]":
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
    process = _started_process()
    stdout, stderr = process.communicate()
    if process.returncode != 0:
        last_line = (stderr.strip().splitlines() or ["no reason given"])[-1]
        raise HardwareUnknown(
            f"torch cannot be started (exit code {process.returncode}): {last_line}; install deploy/requirements.lock "
            "again"
        )
    answer = json.loads(stdout)
    hardware = Hardware(tuple(answer["gpus"]), frozenset(answer["with_bf16"]), tuple(answer["left_out"]))
    warn_of_idle(hardware)
    return hardware


@functools.cache
def warn_of_idle(hardware: Hardware) -> None:
    """Log once which GPUs of this machine stay idle, and why."""
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

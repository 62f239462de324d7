"""What this machine has to compute with, asked of a process of its own.

Only torch knows, and in the process of the flow it would take half a gigabyte and two seconds, for nothing else.
"""

import functools
import json
import subprocess
import threading

from flows import interpreter
from flows.errors import HardwareUnknown
from nst_core.hardware import Hardware

_QUESTION = """
import json
from nst_core.runtime import hardware_here
found = hardware_here()
print(json.dumps({"gpus": found.gpus, "with_bf16": sorted(found.with_bf16)}))
"""

_asking, _answering = threading.Lock(), threading.Lock()
"""A cache alone lets threads that come at once ask twice, and read one answer in two pieces."""


def local_hardware() -> Hardware:
    """The devices of this machine; the first call waits for some two seconds, less if `ask` was called before.

    Raises:
        HardwareUnknown: if torch cannot be started.
    """
    with _answering:
        return _answer()


def ask() -> "subprocess.Popen[str]":
    """Ask now, beside whatever else there is to be done before the answer is needed; who will answer."""
    with _asking:
        return _process()


@functools.cache
def _process() -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603  # our own question
        interpreter.command(_QUESTION), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@functools.cache
def _answer() -> Hardware:
    process = ask()
    printed, complaint = process.communicate()
    if process.returncode != 0:
        last_line = (complaint.strip().splitlines() or ["no reason given"])[-1]
        raise HardwareUnknown(f"torch cannot be started (exit code {process.returncode}): {last_line}")
    found = json.loads(printed)
    return Hardware(tuple(found["gpus"]), frozenset(found["with_bf16"]))

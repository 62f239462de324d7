"""A runner that uses this very process as its only worker, so that a debugger's breakpoints work.

A crash ends the run.
"""

import threading
from collections import deque

from flows.errors import DeviceLost, DeviceUnusable
from flows.runners.hardware import warn_of_idle
from flows.runners.pool import Link, Pool
from flows.runners.protocol import Call, CallEnded, Emit, answer
from flows.runners.runner import Means, Runner
from flows.settings import RunSettings


def inline_runner(settings: RunSettings) -> Runner:
    """Return a runner that does one batch after the other, each in the calling thread.

    No other thread can abort a call at once: it ends when it emits its next message.

    Raises:
        OptionsError: if this machine does not have the device that the settings name.
    """
    means = inline_means(settings)
    return Runner(means, lambda _batches: Pool(((means.names[0], means.devices[0]),), link_here))


def inline_means(settings: RunSettings) -> Means:
    """Return the means of an inline run: the first device that the settings name.

    Raises:
        OptionsError: if this machine does not have the device that the settings name.
    """
    from nst_core.machine.runtime import hardware_here  # imports torch, which this process needs only for inline runs

    hardware = hardware_here()
    warn_of_idle(hardware)
    device = hardware.devices(settings.device)[0]
    return Means((device,), (device,), hardware.precision(settings.precision, device))


def link_here(_name: str) -> Link:
    """Return a link to this process: `receive` executes the call in the thread that waits for its messages."""
    calls: deque[Call] = deque()
    killed = threading.Event()

    def receive(_seconds: float, on_message: Emit) -> None:
        def emit_unless_killed(message: object) -> None:
            if killed.is_set():
                raise KeyboardInterrupt  # not an Exception, so that no handler takes it for the failure of a pair
            on_message(_from_the_only_process(message))

        answer(calls.popleft, emit_unless_killed)

    return Link(calls.append, receive, kill=killed.set, is_alive=lambda: not killed.is_set())


def _from_the_only_process(message: object) -> object:
    """Return the message, with `DeviceLost` turned into `DeviceUnusable`: no other process can do the pairs."""
    if isinstance(message, CallEnded) and isinstance(message.error, DeviceLost):
        unusable = DeviceUnusable(f"{message.error}. Start another one")
        return CallEnded(error=unusable.with_traceback(message.error.__traceback__))
    return message

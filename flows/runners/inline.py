"""This very process as the one worker of a run, so that a debugger's breakpoints work; a crash ends the run."""

import threading
from collections import deque

from flows.errors import DeviceLost, DeviceUnusable
from flows.runners.hardware import warn_of_idle
from flows.runners.pool import Link, Pool
from flows.runners.protocol import Call, CallEnded, Emit, answer
from flows.runners.runner import Means, Runner
from flows.settings import RunSettings


def inline_runner(settings: RunSettings) -> Runner:
    """One batch after the other, each in the thread that carries it out. No call can be ended from outside.

    Raises:
        OptionsError: if the machine has no such device.
    """
    means = inline_means(settings)
    return Runner(means, lambda _batches: Pool(((means.names[0], means.devices[0]),), link_here))


def inline_means(settings: RunSettings) -> Means:
    """The first device that the settings mean.

    Raises:
        OptionsError: if the machine has no such device.
    """
    from nst_core.machine.runtime import hardware_here  # torch, which only the runs that are done here need

    hardware = hardware_here()
    warn_of_idle(hardware)
    device = hardware.devices(settings.device)[0]
    return Means((device,), (device,), hardware.precision(settings.precision, device))


def link_here(_name: str) -> Link:
    """A link whose calls are done by whoever waits for what they say."""
    calls: deque[Call] = deque()
    killed = threading.Event()

    def receive(_seconds: float, on_message: Emit) -> None:
        def hear_unless_killed(message: object) -> None:
            if killed.is_set():
                raise KeyboardInterrupt  # no error of a pair: it is to pass all that handles those
            on_message(_as_of_the_only_process(message))

        answer(calls.popleft, hear_unless_killed)

    return Link(calls.append, receive, kill=killed.set, is_alive=lambda: not killed.is_set())


def _as_of_the_only_process(message: object) -> object:
    """A device that this process has lost is lost to the run: no other process would do its pairs."""
    if isinstance(message, CallEnded) and isinstance(message.error, DeviceLost):
        unusable = DeviceUnusable(f"{message.error}. Start another one")
        return CallEnded(error=unusable.with_traceback(message.error.__traceback__))
    return message

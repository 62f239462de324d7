"""flows.clock: the clock of time limits, with a stand-in for the system's clock, and in a process that is stopped."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from flows import clock
from flows.clock import LONGEST_SECONDS, AwakeClock


class Now:
    """A stand-in for the system's clock, whose seconds a test sets."""

    def __init__(self) -> None:
        self.seconds = 5000.0

    def __call__(self) -> float:
        return self.seconds


def test_time_between_two_readings_counts() -> None:
    """While the clock is read often, it goes like the system's."""
    now = Now()
    clock = AwakeClock(now)
    began = clock.seconds()
    for _ in range(100):
        now.seconds += 0.5
        last = clock.seconds()

    assert last - began == 50.0


def test_time_without_a_reading_counts_for_seconds_only() -> None:
    """A pause of an hour, in which nothing reads the clock, counts for the longest time between two readings."""
    now = Now()
    clock = AwakeClock(now)
    began = clock.seconds()
    now.seconds += 3600.0

    assert clock.seconds() - began == LONGEST_SECONDS
    now.seconds += 0.5
    assert clock.seconds() - began == LONGEST_SECONDS + 0.5


def test_a_thread_reads_the_clock() -> None:
    """Once it is to be kept reading, the clock is read by a single thread, while its user waits for something else."""
    readers: set[str] = set()
    was_read = threading.Event()

    def now() -> float:
        readers.add(threading.current_thread().name)
        if threading.current_thread().name == "clock":
            was_read.set()
        return 0.0

    clock = AwakeClock(now)
    before = sum(thread.name == "clock" for thread in threading.enumerate())
    clock.keep_reading()
    clock.keep_reading()

    assert was_read.wait(60)
    assert sum(thread.name == "clock" for thread in threading.enumerate()) == before + 1


def test_a_process_that_is_stopped_does_not_count_that_time() -> None:
    """After SIGSTOP for some seconds, much less has passed by this clock than by the system's."""
    code = """
import time
from flows import clock
from flows.clock import awake_seconds
began, awake = time.monotonic(), awake_seconds()
print("ready", flush=True)
input()
print(time.monotonic() - began - (awake_seconds() - awake))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(LONGEST_SECONDS + 1.5)
        process.send_signal(signal.SIGCONT)
        left_out, _ = process.communicate("go on\n", timeout=60)

    assert float(left_out) > 1.0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of the threads of other tests, which is the point
def test_a_forked_process_has_a_clock_of_its_own() -> None:
    """A child that is forked while another thread of its parent reads the clock can read its own."""
    with clock._clock._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends a child that waits for a lock which nobody releases
            clock.awake_seconds()
            os._exit(0)

    assert os.waitpid(child, 0)[1] == 0

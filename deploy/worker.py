"""Execute the command of a worker, and end its runs before it when it is stopped: `worker.py prefect worker start ...`.

A process worker of Prefect that receives SIGTERM kills its runs at once, also those that are just writing their tables.
So the service manager sends the signal to this process alone, which suspends the worker, asks its runs to stop, and
stops the worker once they have ended. While the worker is suspended, it neither kills a run nor starts another one.

Requires Linux's /proc, and nothing but Python's standard library.
"""

import glob
import os
import signal
import sys
import time

RUN_SECONDS = 110.0
"""How long runs have to end; a little less than the service managers wait before they kill everything."""
START_SECONDS = 30.0
"""How long to wait for the handler of a run that was just started, without which it would die and report no state."""
LOOK_SECONDS = 0.1
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


def main(command: list[str]) -> int:
    """Execute the command until it ends by itself or is stopped; return its exit code."""
    # Blocked signals wait until they are asked for, also those that arrive before the worker is started.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # A script's `worker.py ... &` ignores SIGINT, and so would the worker, which Prefect stops with that signal.
    worker = os.posix_spawnp(command[0], command, os.environ, setsigmask=(), setsigdef=SIGNALS)
    while (code := exit_code(worker)) is None:
        if signal.sigwait(SIGNALS) != signal.SIGCHLD:
            end_runs(worker)
            # In this order SIGTERM is the first thing that the worker notices when it goes on.
            os.kill(worker, signal.SIGTERM)
            os.kill(worker, signal.SIGCONT)
    return code if code >= 0 else 128 - code


def exit_code(worker: int) -> int | None:
    """Return the worker's exit code; None while it is alive.

    Collects all processes that have ended: in a container this process inherits those whose parents have died.
    """
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == worker:
            return os.waitstatus_to_exitcode(status)
        if ended == 0:
            return None


def end_runs(worker: int) -> None:
    """Suspend the worker, send SIGTERM to each of its runs, and return once they have ended or their time is over."""
    os.kill(worker, signal.SIGSTOP)
    began, asked = time.monotonic(), set[int]()
    while (runs := runs_of(worker)) and (waited := time.monotonic() - began) < RUN_SECONDS:
        for run in runs - asked:
            if waited >= START_SECONDS or handles_sigterm(run):
                os.kill(run, signal.SIGTERM)
                asked.add(run)
        time.sleep(LOOK_SECONDS)


def runs_of(worker: int) -> set[int]:
    """Return the worker's child processes, without the zombies, which a suspended worker cannot collect."""
    runs = set()
    for path in glob.glob("/proc/[0-9]*/stat"):
        # The name of a process, in parentheses, may contain anything; its state and its parent's id follow.
        state, parent = (_text(path).rpartition(")")[2].split() or ["X", "0"])[:2]
        if int(parent) == worker and state not in "ZX":
            runs.add(int(path.split("/")[2]))
    return runs


def handles_sigterm(process: int) -> bool:
    """Tell whether a process has a handler for SIGTERM, without which the signal would kill it."""
    for line in _text(f"/proc/{process}/status").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> signal.SIGTERM - 1 & 1)
    return False


def _text(path: str) -> str:
    """Return the content of a process's file; an empty text if the process has just ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

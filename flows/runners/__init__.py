"""Execution backends for batches: worker processes on this machine, actors on a Ray cluster, or this very process.

A run uses every backend through one interface, `Runner`: the devices and workers (`Means`), and a `Pool` that lends
`Worker`s. A worker executes one call at a time in a process of its own, so that a crash costs only that process. The
pool reaches the process over a `Link`; `protocol` defines the messages. A new backend is a new kind of link and an
entry in `choose`.

    choose          the runner that a run's settings name
    runner          the interface between a run and its backend
    pool            lend workers, receive their messages, and replace processes that die
    protocol        a call, and the messages that answer it
    local           links to worker processes on this machine
    worker_process  the main program of such a process
    framed_pipe     length-prefixed messages over a pipe
    inline          links to this very process, for a debugger
    ray/            links to Ray actors, and their lifecycle
    hardware        the devices of this machine, without loading torch into the calling process
"""

from flows.runners.choose import check_runner, runner_of
from flows.runners.hardware import ask
from flows.runners.pool import Pool, Worker
from flows.runners.runner import Means, Runner

__all__ = ["Means", "Pool", "Runner", "Worker", "ask", "check_runner", "runner_of"]

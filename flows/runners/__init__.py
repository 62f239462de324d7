"""Where batches are done: processes of this machine, actors on a Ray cluster, or this very process.

Whichever it is, a run sees one thing, a `Runner`: what with (`Means`), and a `Pool` that lends `Worker`s. A worker does
a call at a time in a process that can die alone, reached over a `Link`; all that is said on the way is in `said`. So a
new place for batches is a new kind of link, and an entry in `choose`.

    choose          the runner that a run's settings name
    runner          what a run needs of it
    pool            workers are lent, listened to, and given another process when theirs dies
    said            a call, and the messages that answer it
    local           links to processes of this machine
    worker_process  such a process, from the inside
    line            whole messages between the two
    inline          this process in place of another, for a debugger
    ray/            links to actors, and their recruiting
    hardware        what this machine has to compute with, without torch in the process that asks
"""

from flows.runners.choose import check_runner, runner_of
from flows.runners.hardware import ask
from flows.runners.pool import Pool, Worker
from flows.runners.runner import Means, Runner

__all__ = ["Means", "Pool", "Runner", "Worker", "ask", "check_runner", "runner_of"]

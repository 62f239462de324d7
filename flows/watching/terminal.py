"""A live display of a run in a terminal: a progress bar and a line per worker, with log lines printed above them."""

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.records.runs import RunStarted
from flows.watching.progress import RunProgress, WorkerState
from flows.worker.messages import Message, OnWorkerMessage

SPARKS = "▁▂▃▄▅▆▇█"
"""The bars of a sparkline, from the smallest to the largest value."""
REFRESHES_PER_SECOND = 4
BAR_WIDTH = 56
WIDEST = 79
"""The widest display, in columns. A terminal that is made narrower wraps longer lines, and a wrapped display cannot be
overwritten."""


def can_show(console: Console) -> bool:
    """Return whether a display can be overwritten in place on a console; otherwise the log's lines tell more.

    That is not so in a file, even if FORCE_COLOR makes rich take it for a terminal, and not in a terminal of the kind
    `dumb`, where rich shows no display at all.
    """
    return console.is_interactive and console.file.isatty()


class LiveDisplay:
    """Shows the progress of a run at the foot of a terminal, refreshed four times a second."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lock = threading.Lock()
        self._progress: RunProgress | None = None

    def watch(self, run: RunStarted) -> OnWorkerMessage:
        """Show a run; a `flows.watching.listeners.Watcher`."""
        progress = RunProgress(run)
        with self._lock:
            self._progress = progress

        def on_message(worker: str, message: Message) -> None:
            with self._lock:
                progress.on_message(worker, message)

        return on_message

    def __rich__(self) -> RenderableType:
        """Return the current display."""
        with self._lock:
            if self._progress is None:
                return Text("starting: Prefect, weights, plan ...", style="dim")
            return render(self._progress)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the display while the block runs; the log's warnings and errors are printed above it."""
        with (
            _log_above(self.console),
            Live(self, console=self.console, refresh_per_second=REFRESHES_PER_SECOND, transient=True),
        ):
            yield


def render(progress: RunProgress, now: float | None = None) -> RenderableType:
    """Return the display of a run's progress; `now` is in seconds of the monotonic clock."""
    counts = Text.assemble(
        (f"{progress.succeeded} done", "green"),
        ("" if not progress.failed else f"  {progress.failed} failed", "red"),
        ("" if not progress.pending else f"  {progress.pending} pending", "yellow"),
        f"  {progress.left} left",
    )
    rate, seconds = progress.pairs_per_minute(now), progress.seconds_left(now)
    if rate is not None:
        counts.append(f"  {_rate(rate)}")
    if not progress.left:
        counts.append("  writing tables and page ...", "dim")
    elif seconds is not None:
        counts.append(f"  about {_duration(seconds)} left", "bold")
    counts.no_wrap, counts.overflow = True, "ellipsis"
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    bar.add_row(
        ProgressBar(total=1.0, completed=progress.share_done, complete_style="cyan"), f"{progress.share_done:4.0%}"
    )
    workers = Table.grid(padding=(0, 1))
    for is_name in (False, True, False, False, False):
        workers.add_column(no_wrap=not is_name)  # only the pair's name is cut short where there is too little room
    for name, state in progress.workers.items():
        workers.add_row(Text(name, style="bold"), *_worker_cells(state))
    warning = Text("STUB: images are made up", style="bold red") if progress.run.backbone == "stub" else None
    return Constrain(Group(*([warning] if warning else []), Constrain(bar, BAR_WIDTH), counts, workers), WIDEST)


def sparkline(losses: list[float]) -> str:
    """Return losses as a row of bars on a logarithmic scale, from the smallest loss to the largest.

    >>> sparkline([100.0, 10.0, 1.0])
    '█▄▁'
    """
    logs = [math.log(max(loss, 1e-30)) for loss in losses]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    if high <= low:
        return SPARKS[0] * len(losses)
    return "".join(SPARKS[int((loss - low) / (high - low) * (len(SPARKS) - 1))] for loss in logs)


def _worker_cells(state: WorkerState) -> tuple[RenderableType, ...]:
    if not state.pair_ids:
        return (Text("waits", style="dim"), "", "", "")
    others = len(state.pair_ids) - 1
    name = Text(state.pair_id + (f" and {others} more" if others else ""), overflow="ellipsis", no_wrap=True)
    if not state.losses:
        return (name, Text("begins", style="dim"), "", "")
    coarse = f" at 1/{2**state.level} size" if state.level else ""
    loss = f"loss {state.losses[-1]:.4g}"
    return (name, f"step {state.step}{coarse}", loss, Text(sparkline(state.losses), style="cyan"))


def _rate(pairs_per_minute: float) -> str:
    if pairs_per_minute >= 600:
        return f"{pairs_per_minute / 60:.0f} pairs/s"
    return f"{pairs_per_minute:.1f} pairs/min" if pairs_per_minute >= 1 else f"{pairs_per_minute * 60:.1f} pairs/h"


def _duration(seconds: float) -> str:
    """Return a duration in words, rounded coarsely because it is an estimate.

    >>> _duration(42), _duration(300), _duration(8000)
    ('40 s', '5 min', '2.2 h')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _log_above(console: Console) -> Iterator[None]:
    """Let the log's handlers print through the display's console, so that neither overwrites the other."""
    with only_warnings() as handlers:
        before = [handler.console for handler in handlers]
        for handler in handlers:
            handler.console = console
        try:
            yield
        finally:
            for handler, its_console in zip(handlers, before, strict=True):
                handler.console = its_console


def console_handlers() -> list[Any]:
    """Return the log's handlers that write to a terminal."""
    return [handler for handler in logging.getLogger().handlers if hasattr(handler, "console")]


@contextmanager
def only_warnings() -> Iterator[list[Any]]:
    """Show only warnings and errors of the log on the terminal while the block runs; yield the handlers."""
    handlers = console_handlers()
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(max(handler.level, logging.WARNING))
    try:
        yield handlers
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)

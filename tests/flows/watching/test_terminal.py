"""flows.watching.progress and flows.watching.terminal: the progress of a run, and its live display."""

import dataclasses
import io
import logging

import pytest
from rich.console import Console

from flows.watching.progress import RunProgress
from flows.watching.terminal import LiveDisplay, _duration, _rate, can_show, only_warnings, render, sparkline
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken
from tests.flows.builders import attempt_record, pair_record
from tests.flows.run_starts import run_of


def displayed(progress: RunProgress, width: int = 100) -> str:
    """Return the display of a progress as text."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(progress))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("file", "environment", "can"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {"TERM": "xterm", "TTY_INTERACTIVE": "0"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
        (io.StringIO(), {"TERM": "xterm", "TTY_COMPATIBLE": "1"}, False),
    ],
)
def test_the_display_is_for_terminals_that_can_overwrite_it(
    file: io.StringIO, environment: dict[str, str], can: bool
) -> None:
    """The display is shown in a terminal, but not in a dumb one, nor in a file that is to have colours."""
    assert can_show(Console(file=file, _environ=environment)) is can


def test_every_outcome_is_counted() -> None:
    """Succeeded, failed and pending pairs are counted separately; the other pairs are left."""
    progress = RunProgress(run_of(64, 64, 64, 64))
    for message in (pair_record("pair-2"), attempt_record("pair-3"), LeftPending("pair-4", "no answer")):
        progress.on_message("cpu", message)

    assert (progress.succeeded, progress.failed, progress.pending, progress.left) == (1, 1, 1, 1)


def test_the_share_counts_pixels() -> None:
    """A pair of twice the size counts as four times the work."""
    progress = RunProgress(run_of(64, 128))
    progress.on_message("cpu", pair_record("pair-3"))

    assert progress.share_done == pytest.approx(0.8)


def test_the_estimate_waits_for_two_pairs_and_is_proportional() -> None:
    """There is no estimate before two pairs are done; then it is the work left at the rate so far."""
    progress = RunProgress(run_of(64, 64, 64, 64, 128))
    progress.on_message("cpu", ChunkStarted(("pair-2",), 1), now=100.0)
    estimates = [progress.seconds_left(100.0)]
    for pair_id, now in (("pair-2", 110.0), ("pair-3", 120.0), ("pair-4", 130.0)):
        progress.on_message("cpu", pair_record(pair_id), now=now)
        estimates.append(progress.seconds_left(now))

    assert estimates == [None, None, pytest.approx(60.0), pytest.approx(50.0)]
    assert progress.pairs_per_minute(130.0) == pytest.approx(6.0)


def test_a_worker_shows_its_pair_step_loss_and_trend() -> None:
    """A worker's line has its pair, step and loss; losses of another size are not part of the trend."""
    progress = RunProgress(run_of(64, 64, workers=("cpu 1", "cpu 2")))
    progress.on_message("cpu 1", ChunkStarted(("pair-2",), 1))
    progress.on_message("cpu 1", StepTaken("pair-2", 1, 30, 99.0))
    for step, loss in ((1, 8.0), (2, 4.0), (3, 1.25)):
        progress.on_message("cpu 1", StepTaken("pair-2", 0, step, loss))
    text = displayed(progress)

    assert "pair-2" in text and "step 3" in text and "loss 1.25" in text
    assert progress.workers["cpu 1"].losses == [8.0, 4.0, 1.25]
    assert "waits" in text


@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_display_fits_the_width_of_the_terminal(width: int) -> None:
    """No line is longer than the width of the terminal, however long the ids are."""
    run = run_of(64)
    progress = RunProgress(run)
    progress.on_message("cpu", ChunkStarted(("a-very-long-name-" * 6,), 1))

    assert max(map(len, displayed(progress, width).splitlines())) <= width


def test_the_display_of_the_stub_says_stub() -> None:
    """The display of a run whose images are made up by the stub says STUB."""
    assert "STUB" in displayed(RunProgress(run_of(64, backbone="stub")))
    assert "STUB" not in displayed(RunProgress(run_of(64)))


@pytest.mark.parametrize("width", [30, 48, 80, 140])
def test_the_display_has_a_line_for_each_worker_at_any_width(width: int) -> None:
    """No line is broken, or longer than an 80-column terminal allows, so that a resize does not garble the display."""
    progress = RunProgress(run_of(*[64] * 40, workers=("cuda:0", "cuda:1")))
    progress.on_message("cuda:0", ChunkStarted(("pair-2",), 1), now=0.0)
    progress.on_message("cuda:1", ChunkStarted(("a-name-that-" + "goes-on-" * 12,), 1), now=0.0)
    for message in (pair_record("pair-2"), pair_record("pair-3"), attempt_record("pair-4")):
        progress.on_message("cuda:0", message, now=9.0)
    progress.on_message("cuda:0", ChunkStarted(("pair-5", "pair-6"), 1), now=9.0)
    for name, pair_id in (("cuda:0", "pair-5"), ("cuda:1", "a-name-that-" + "goes-on-" * 12)):
        for loss in (30.0, 4.0, 2.0):
            progress.on_message(name, StepTaken(pair_id, 1, 200, loss), now=9.0)
    lines = displayed(progress, width).splitlines()

    assert len(lines) == 4
    assert max(map(len, lines)) <= min(width, 79)
    assert "2 done" in lines[1] and "1 failed" in lines[1]
    if width >= 80:
        assert "pairs/" in lines[1] and lines[1].endswith(" left")
        assert all("step 200 at 1/2 size" in line and "█" in line for line in lines[2:])


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # with a console, as Prefect's
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(record.getMessage())


@pytest.fixture
def handler() -> _Handler:
    made = _Handler(Console(file=io.StringIO()))
    logging.getLogger().addHandler(made)
    yield made
    logging.getLogger().removeHandler(made)


def test_the_log_goes_above_the_display_while_it_is_shown(handler: _Handler) -> None:
    """While the display is shown, warnings go through its console and the rest is dropped; then all is as before."""
    before = handler.console
    console = Console(file=io.StringIO(), force_terminal=True, width=80, markup=False, highlight=False)
    logger = logging.getLogger("flows.some")
    with LiveDisplay(console).shown():
        logger.warning("row 7 is pale")
        logger.info("row 8 is fine")
    logger.warning("afterwards")

    assert isinstance(console.file, io.StringIO) and isinstance(before.file, io.StringIO)
    assert "row 7 is pale" in console.file.getvalue()
    assert "row 8" not in console.file.getvalue()
    assert before.file.getvalue() == "afterwards\n"
    assert (handler.console, handler.level) == (before, logging.NOTSET)


def test_only_warnings_are_printed_in_quiet_mode(handler: _Handler) -> None:
    """In `only_warnings` a warning is printed, and an INFO line is not."""
    with only_warnings():
        logging.getLogger("flows.some").warning("wrong")
        logging.getLogger("flows.some").info("right")

    assert isinstance(handler.console.file, io.StringIO)
    assert handler.console.file.getvalue() == "wrong\n"


def test_pairs_of_other_runs_do_not_count() -> None:
    """The outcome of a pair of another run does not count as work done; a run without pairs is complete."""
    progress = RunProgress(run_of(64, 64))
    progress.on_message("cpu", pair_record("another's"))

    assert progress.share_done == 0.0
    assert RunProgress(run_of()).share_done == 1.0


def test_the_rate_needs_a_chunk_an_outcome_and_time() -> None:
    """There is no rate without a started chunk, an outcome and some time; the time starts with the first chunk."""
    progress = RunProgress(run_of(64, 64, workers=("cpu 1", "cpu 2")))
    rates = [progress.pairs_per_minute(50.0)]
    unread = RunProgress(run_of(64))
    unread.on_message("cpu", attempt_record("pair-2"))  # its image could not be read: no chunk was started
    rates.append(unread.pairs_per_minute(50.0))
    progress.on_message("cpu 1", ChunkStarted(("pair-2",), 1), now=100.0)
    rates.append(progress.pairs_per_minute(110.0))
    progress.on_message("cpu 1", pair_record("pair-2"), now=100.0)
    rates.append(progress.pairs_per_minute(100.0))
    progress.on_message("cpu 2", ChunkStarted(("pair-3",), 1), now=130.0)
    rates.append(progress.pairs_per_minute(160.0))

    assert rates == [None, None, None, None, pytest.approx(1.0)]


def test_the_estimate_waits_for_a_pair_of_each_worker() -> None:
    """As workers start slowly, three workers finish three pairs before there is an estimate; with none left it is 0."""
    progress = RunProgress(run_of(*[64] * 4, workers=("a", "b", "c")))
    progress.on_message("a", ChunkStarted(("pair-2",), 1), now=0.0)
    estimates = []
    for row in range(2, 6):
        progress.on_message("a", pair_record(f"pair-{row}"), now=10.0 * row)
        estimates.append(progress.seconds_left(10.0 * row))

    assert estimates == [None, None, pytest.approx(40.0 / 3), 0.0]


def test_the_share_counts_steps() -> None:
    """A pair of twice the size and three times the steps counts as twelve times the work."""
    run = run_of(64, 128)
    options = run.todo[1].spec.options.overridden({"steps": 30})
    longer = dataclasses.replace(run.todo[1], spec=dataclasses.replace(run.todo[1].spec, options=options))
    progress = RunProgress(dataclasses.replace(run, todo=[run.todo[0], longer]))
    progress.on_message("cpu", pair_record("pair-2"))

    assert progress.share_done == pytest.approx(1 / 13)


def test_a_trend_covers_one_pair_at_one_size() -> None:
    """The trend starts again with the next pair or level, and has at most twelve losses."""
    progress = RunProgress(run_of(64, 64))
    progress.on_message("cpu", ChunkStarted(("pair-2", "pair-3"), 1))
    state = progress.workers["cpu"]
    assert (state.pair_ids, state.pair_id) == (("pair-2", "pair-3"), "pair-2")
    for loss in range(20):
        progress.on_message("cpu", StepTaken("pair-2", 0, loss + 1, float(loss)))
    assert (state.losses, state.step) == ([float(loss) for loss in range(8, 20)], 20)
    progress.on_message("cpu", StepTaken("pair-3", 0, 7, 5.0))
    assert (state.pair_id, state.losses, state.step) == ("pair-3", [5.0], 7)
    progress.on_message("cpu", StepTaken("pair-3", 1, 8, 4.0))
    assert (state.level, state.losses) == (1, [4.0])


def test_a_worker_that_joins_later_has_a_line() -> None:
    """A worker that joins during the run, as on a cluster that grows, has a line too."""
    progress = RunProgress(run_of(64))
    progress.on_message("cpu 7", StepTaken("pair-2", 0, 3, 1.0))

    assert list(progress.workers) == ["cpu", "cpu 7"]


@pytest.mark.parametrize(
    ("losses", "bars"),
    [
        ([], ""),
        ([3.0], "▁"),
        ([2.0, 2.0, 2.0], "▁▁▁"),
        ([1.0, 10.0, 100.0], "▁▄█"),
        ([100.0, 1.0], "█▁"),
        ([1.0, 0.0], "█▁"),
        ([8.0, 4.0, 2.0, 1.0], "█▅▃▁"),
    ],
)
def test_sparkline_draws_losses_as_bars(losses: list[float], bars: str) -> None:
    """The bars are logarithmic from the smallest to the largest loss; equal losses are low, and 0 is allowed."""
    assert sparkline(losses) == bars


@pytest.mark.parametrize(
    ("pairs_per_minute", "text"),
    [
        (1200.0, "20 pairs/s"),
        (600.0, "10 pairs/s"),
        (599.0, "599.0 pairs/min"),
        (1.0, "1.0 pairs/min"),
        (0.99, "59.4 pairs/h"),
        (0.01, "0.6 pairs/h"),
    ],
)
def test_a_rate_has_the_unit_that_fits(pairs_per_minute: float, text: str) -> None:
    """A rate is per second, minute or hour, whichever fits its size."""
    assert _rate(pairs_per_minute) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "10 s"),
        (14.0, "10 s"),
        (89.0, "90 s"),
        (90.0, "2 min"),
        (5399.0, "90 min"),
        (5400.0, "1.5 h"),
    ],
)
def test_a_duration_is_rounded(seconds: float, text: str) -> None:
    """A duration is in tens of seconds, at least 10 s, then in minutes, then in hours."""
    assert _duration(seconds) == text


def test_the_line_of_a_worker() -> None:
    """The line says whether the worker waits or begins, the size of its pair, and how many others share the batch."""
    progress = RunProgress(run_of(64, 64, 64, workers=("a", "b", "c", "d")))
    progress.on_message("b", ChunkStarted(("pair-2",), 1))
    progress.on_message("c", ChunkStarted(("pair-3", "pair-4", "pair-5"), 1))
    progress.on_message("c", StepTaken("pair-3", 2, 9, 1.5))
    progress.on_message("d", ChunkStarted(("pair-6",), 1))
    progress.on_message("d", StepTaken("pair-6", 0, 4, 2.5))
    *_, waits, begins, coarse, fine = displayed(progress).splitlines()

    assert waits.split() == ["a", "waits"]
    assert begins.split() == ["b", "pair-2", "begins"]
    assert coarse.split() == ["c", "pair-3", "and", "2", "more", "step", "9", "at", "1/4", "size", "loss", "1.5", "▁"]
    assert fine.split() == ["d", "pair-6", "step", "4", "loss", "2.5", "▁"]


def test_the_line_of_counts() -> None:
    """The line of counts leaves out failed and pending pairs if there are none."""
    progress = RunProgress(run_of(64, 64, 64))
    assert displayed(progress).splitlines()[1].split() == ["0", "done", "3", "left"]
    progress.on_message("cpu", LeftPending("pair-2", "no answer"))
    progress.on_message("cpu", attempt_record("pair-3"))

    counted = displayed(progress).splitlines()
    assert counted[0].rstrip().endswith(" 67%")
    assert counted[1].startswith("0 done  1 failed  1 pending  1 left")


def test_after_the_last_pair_the_display_says_what_is_still_done() -> None:
    """With no pair left there is no estimate of pairs: the tables and the page of a large run take a while."""
    progress = RunProgress(run_of(64, 64))
    progress.on_message("cpu", ChunkStarted(("pair-2", "pair-3"), 1), now=0.0)
    for pair_id in ("pair-2", "pair-3"):
        progress.on_message("cpu", pair_record(pair_id), now=9.0)

    counted = displayed(progress).splitlines()[1]
    assert "about" not in counted
    assert counted.rstrip().endswith("writing tables and page ...")


def test_the_display_says_starting_before_the_run() -> None:
    """The display says "starting" until it watches a run, and then shows that run."""
    display = LiveDisplay(Console())
    assert "starting" in str(display.__rich__())
    on_message = display.watch(run_of(64, 64))
    on_message("cpu", pair_record("pair-2"))

    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(display)
    assert isinstance(console.file, io.StringIO)
    assert "1 done  1 left" in console.file.getvalue()


def test_a_stricter_handler_keeps_its_level(handler: _Handler) -> None:
    """`only_warnings` does not make a handler of errors print warnings, and its level is restored."""
    handler.setLevel(logging.ERROR)
    with only_warnings():
        logging.getLogger("flows.some").warning("wrong")

    assert handler.console.file.getvalue() == ""
    assert handler.level == logging.ERROR

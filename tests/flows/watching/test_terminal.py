"""flows.watching.progress and flows.watching.terminal: where a run stands, as it is told and as it is shown."""

import dataclasses
import io
import logging

import pytest
from rich.console import Console

from flows.watching.progress import RunProgress
from flows.watching.terminal import LiveDisplay, _duration, _rate, only_warnings, render, sparkline
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken
from tests.flows.builders import attempt_record, pair_record
from tests.flows.run_starts import run_of


def shown(progress: RunProgress, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(progress))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_outcome_is_counted() -> None:
    """Succeeded, failed and pending pairs are told apart; the rest is left."""
    progress = RunProgress(run_of(64, 64, 64, 64))
    for message in (pair_record("pair-2"), attempt_record("pair-3"), LeftPending("pair-4", "no answer")):
        progress.on_message("cpu", message)

    assert (progress.succeeded, progress.failed, progress.pending, progress.left) == (1, 1, 1, 1)


def test_the_share_is_of_the_work() -> None:
    """A pair of twice the size is four times the work."""
    progress = RunProgress(run_of(64, 128))
    progress.on_message("cpu", pair_record("pair-3"))

    assert progress.share_done == pytest.approx(0.8)


def test_the_estimate_waits_for_two_pairs_and_is_proportional() -> None:
    """No time left is told from nothing or one cold pair; then it is that of the work left at the rate so far."""
    progress = RunProgress(run_of(64, 64, 64, 64, 128))
    progress.on_message("cpu", ChunkStarted(("pair-2",), 1), now=100.0)
    estimates = [progress.seconds_left(100.0)]
    for pair_id, now in (("pair-2", 110.0), ("pair-3", 120.0), ("pair-4", 130.0)):
        progress.on_message("cpu", pair_record(pair_id), now=now)
        estimates.append(progress.seconds_left(now))

    assert estimates == [None, None, pytest.approx(60.0), pytest.approx(50.0)]
    assert progress.pairs_per_minute(130.0) == pytest.approx(6.0)


def test_a_worker_shows_its_pair_step_loss_and_trend() -> None:
    """A line per worker; one that has nothing to do says so; losses of another size are no trend."""
    progress = RunProgress(run_of(64, 64, workers=("cpu 1", "cpu 2")))
    progress.on_message("cpu 1", ChunkStarted(("pair-2",), 1))
    progress.on_message("cpu 1", StepTaken("pair-2", 1, 30, 99.0))
    for step, loss in ((1, 8.0), (2, 4.0), (3, 1.25)):
        progress.on_message("cpu 1", StepTaken("pair-2", 0, step, loss))
    text = shown(progress)

    assert "pair-2" in text and "step 3" in text and "loss 1.25" in text
    assert progress.workers["cpu 1"].losses == [8.0, 4.0, 1.25]
    assert "waits" in text


@pytest.mark.parametrize("width", [40, 60, 200])
def test_it_keeps_to_the_width_of_the_terminal(width: int) -> None:
    """No line is longer than the terminal is wide, however long the ids are."""
    run = run_of(64)
    progress = RunProgress(run)
    progress.on_message("cpu", ChunkStarted(("a-very-long-name-" * 6,), 1))

    assert max(map(len, shown(progress, width).splitlines())) <= width


def test_a_stub_is_loud() -> None:
    """The display of a run that makes pictures up says so."""
    assert "STUB" in shown(RunProgress(run_of(64, backbone="stub")))
    assert "STUB" not in shown(RunProgress(run_of(64)))


@pytest.mark.parametrize("width", [30, 48, 80, 140])
def test_the_display_has_a_line_for_each_worker_at_any_width(width: int) -> None:
    """No line is broken in two, and none is longer than an 80-column terminal, so that a resize garbles nothing."""
    progress = RunProgress(run_of(*[64] * 40, workers=("cuda:0", "cuda:1")))
    progress.on_message("cuda:0", ChunkStarted(("pair-2",), 1), now=0.0)
    progress.on_message("cuda:1", ChunkStarted(("a-name-that-" + "goes-on-" * 12,), 1), now=0.0)
    for message in (pair_record("pair-2"), pair_record("pair-3"), attempt_record("pair-4")):
        progress.on_message("cuda:0", message, now=9.0)
    progress.on_message("cuda:0", ChunkStarted(("pair-5", "pair-6"), 1), now=9.0)
    for name, pair_id in (("cuda:0", "pair-5"), ("cuda:1", "a-name-that-" + "goes-on-" * 12)):
        for loss in (30.0, 4.0, 2.0):
            progress.on_message(name, StepTaken(pair_id, 1, 200, loss), now=9.0)
    lines = shown(progress, width).splitlines()

    assert len(lines) == 4
    assert max(map(len, lines)) <= min(width, 79)
    assert "2 done" in lines[1] and "1 failed" in lines[1]
    if width >= 80:
        assert "pairs/" in lines[1] and lines[1].endswith(" left")
        assert all("step 200 at 1/2 size" in line and "█" in line for line in lines[2:])


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # of the shape of Prefect's
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


def test_the_log_goes_above_the_display_and_back(handler: _Handler) -> None:
    """While the display is shown, warnings are printed through its console and the rest is not; then all as before."""
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


def test_quiet_leaves_warnings(handler: _Handler) -> None:
    """What is wrong is printed, the rest is not."""
    with only_warnings():
        logging.getLogger("flows.some").warning("wrong")
        logging.getLogger("flows.some").info("right")

    assert isinstance(handler.console.file, io.StringIO)
    assert handler.console.file.getvalue() == "wrong\n"


def test_outcomes_of_pairs_that_are_not_the_run_s_are_no_work() -> None:
    """As of a pair that another worker had done before; a run of nothing is all done."""
    progress = RunProgress(run_of(64, 64))
    progress.on_message("cpu", pair_record("another's"))

    assert progress.share_done == 0.0
    assert RunProgress(run_of()).share_done == 1.0


def test_there_is_no_rate_before_there_is_one() -> None:
    """Nothing begun, nothing finished, no time gone: each alone is no rate; the clock starts with the first chunk."""
    progress = RunProgress(run_of(64, 64, workers=("cpu 1", "cpu 2")))
    rates = [progress.pairs_per_minute(50.0)]
    unread = RunProgress(run_of(64))
    unread.on_message("cpu", attempt_record("pair-2"))  # its picture could not be read: nothing was begun
    rates.append(unread.pairs_per_minute(50.0))
    progress.on_message("cpu 1", ChunkStarted(("pair-2",), 1), now=100.0)
    rates.append(progress.pairs_per_minute(110.0))
    progress.on_message("cpu 1", pair_record("pair-2"), now=100.0)
    rates.append(progress.pairs_per_minute(100.0))
    progress.on_message("cpu 2", ChunkStarted(("pair-3",), 1), now=130.0)
    rates.append(progress.pairs_per_minute(160.0))

    assert rates == [None, None, None, None, pytest.approx(1.0)]


def test_the_estimate_waits_for_a_pair_of_each_worker() -> None:
    """Workers start cold: three of them have finished three pairs before it is told; nothing left is no time."""
    progress = RunProgress(run_of(*[64] * 4, workers=("a", "b", "c")))
    progress.on_message("a", ChunkStarted(("pair-2",), 1), now=0.0)
    estimates = []
    for row in range(2, 6):
        progress.on_message("a", pair_record(f"pair-{row}"), now=10.0 * row)
        estimates.append(progress.seconds_left(10.0 * row))

    assert estimates == [None, None, pytest.approx(40.0 / 3), 0.0]


def test_work_counts_steps() -> None:
    """Twice the side and three times the steps are twelve times the work."""
    run = run_of(64, 128)
    options = run.todo[1].spec.options.overridden({"steps": 30})
    longer = dataclasses.replace(run.todo[1], spec=dataclasses.replace(run.todo[1].spec, options=options))
    progress = RunProgress(dataclasses.replace(run, todo=[run.todo[0], longer]))
    progress.on_message("cpu", pair_record("pair-2"))

    assert progress.share_done == pytest.approx(1 / 13)


def test_a_trend_is_of_one_pair_at_one_size() -> None:
    """It begins anew with the next pair and the next level, and is a dozen losses long."""
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


def test_a_worker_that_joins_later_has_its_line() -> None:
    """As one of a cluster that grows."""
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
def test_losses_as_bars(losses: list[float], bars: str) -> None:
    """The largest and the smallest fill the range, on a logarithmic scale; equal ones are all low, zero is no error."""
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
def test_rates_are_told_in_the_unit_that_fits(pairs_per_minute: float, text: str) -> None:
    """Per second, minute or hour."""
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
def test_durations_are_told_as_estimates(seconds: float, text: str) -> None:
    """In tens of seconds, at least one of them; then in minutes, then in hours."""
    assert _duration(seconds) == text


def test_a_worker_s_line_in_words() -> None:
    """Waits, begins, at which size it is, and how many others are with it on the device."""
    progress = RunProgress(run_of(64, 64, 64, workers=("a", "b", "c", "d")))
    progress.on_message("b", ChunkStarted(("pair-2",), 1))
    progress.on_message("c", ChunkStarted(("pair-3", "pair-4", "pair-5"), 1))
    progress.on_message("c", StepTaken("pair-3", 2, 9, 1.5))
    progress.on_message("d", ChunkStarted(("pair-6",), 1))
    progress.on_message("d", StepTaken("pair-6", 0, 4, 2.5))
    *_, waits, begins, coarse, fine = shown(progress).splitlines()

    assert waits.split() == ["a", "waits"]
    assert begins.split() == ["b", "pair-2", "begins"]
    assert coarse.split() == ["c", "pair-3", "and", "2", "more", "step", "9", "at", "1/4", "size", "loss", "1.5", "▁"]
    assert fine.split() == ["d", "pair-6", "step", "4", "loss", "2.5", "▁"]


def test_counts_in_words() -> None:
    """What there is none of is not told."""
    progress = RunProgress(run_of(64, 64, 64))
    assert shown(progress).splitlines()[1].split() == ["0", "done", "3", "left"]
    progress.on_message("cpu", LeftPending("pair-2", "no answer"))
    progress.on_message("cpu", attempt_record("pair-3"))

    counted = shown(progress).splitlines()
    assert counted[0].rstrip().endswith(" 67%")
    assert counted[1].startswith("0 done  1 failed  1 pending  1 left")


def test_before_a_run_is_told_of_the_display_says_that_it_starts() -> None:
    """And shows the run from then on."""
    display = LiveDisplay(Console())
    assert "starting" in str(display.__rich__())
    on_message = display.watch(run_of(64, 64))
    on_message("cpu", pair_record("pair-2"))

    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(display)
    assert isinstance(console.file, io.StringIO)
    assert "1 done  1 left" in console.file.getvalue()


def test_a_handler_that_wants_less_still_gets_less(handler: _Handler) -> None:
    """Where only errors are printed anyway, warnings do not come back for a display; its level is as before."""
    handler.setLevel(logging.ERROR)
    with only_warnings():
        logging.getLogger("flows.some").warning("wrong")

    assert handler.console.file.getvalue() == ""
    assert handler.level == logging.ERROR

"""flows.watching.standing and flows.watching.terminal: where a run stands, as it is told and as it is shown."""

import io
import logging

import pytest
from builders import attempt_record, pair_record
from rich.console import Console
from started import run_of

from flows.watching.standing import Standing
from flows.watching.terminal import LiveDisplay, only_what_is_wrong, render
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken


def shown(standing: Standing, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(render(standing))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_outcome_is_counted() -> None:
    """Succeeded, failed and pending pairs are told apart; the rest is left."""
    standing = Standing(run_of(64, 64, 64, 64))
    for message in (pair_record("pair-2"), attempt_record("pair-3"), LeftPending("pair-4", "no answer")):
        standing.hear("cpu", message)

    assert (standing.succeeded, standing.failed, standing.pending, standing.left) == (1, 1, 1, 1)


def test_the_share_is_of_the_work() -> None:
    """A pair of twice the size is four times the work."""
    standing = Standing(run_of(64, 128))
    standing.hear("cpu", pair_record("pair-3"))

    assert standing.share_done == pytest.approx(0.8)


def test_the_estimate_waits_for_two_pairs_and_is_proportional() -> None:
    """No time left is told from nothing or one cold pair; then it is that of the work left at the rate so far."""
    standing = Standing(run_of(64, 64, 64, 64, 128))
    standing.hear("cpu", ChunkStarted(("pair-2",), 1), now=100.0)
    estimates = [standing.seconds_left(100.0)]
    for pair_id, now in (("pair-2", 110.0), ("pair-3", 120.0), ("pair-4", 130.0)):
        standing.hear("cpu", pair_record(pair_id), now=now)
        estimates.append(standing.seconds_left(now))

    assert estimates == [None, None, pytest.approx(60.0), pytest.approx(50.0)]
    assert standing.pairs_per_minute(130.0) == pytest.approx(6.0)


def test_a_worker_shows_its_pair_step_loss_and_trend() -> None:
    """A line per worker; one that has nothing to do says so; losses of another size are no trend."""
    standing = Standing(run_of(64, 64, workers=("cpu 1", "cpu 2")))
    standing.hear("cpu 1", ChunkStarted(("pair-2",), 1))
    standing.hear("cpu 1", StepTaken("pair-2", 1, 30, 99.0))
    for step, loss in ((1, 8.0), (2, 4.0), (3, 1.25)):
        standing.hear("cpu 1", StepTaken("pair-2", 0, step, loss))
    text = shown(standing)

    assert "pair-2" in text and "step 3" in text and "loss 1.25" in text
    assert standing.workers["cpu 1"].losses == [8.0, 4.0, 1.25]
    assert "waits" in text


@pytest.mark.parametrize("width", [40, 60, 200])
def test_it_keeps_to_the_width_of_the_terminal(width: int) -> None:
    """No line is longer than the terminal is wide, however long the ids are."""
    run = run_of(64)
    standing = Standing(run)
    standing.hear("cpu", ChunkStarted(("a-very-long-name-" * 6,), 1))

    assert max(map(len, shown(standing, width).splitlines())) <= width


def test_a_stub_is_loud() -> None:
    """The display of a run that makes pictures up says so."""
    assert "STUB" in shown(Standing(run_of(64, backbone="stub")))
    assert "STUB" not in shown(Standing(run_of(64)))


@pytest.mark.parametrize("width", [30, 48, 80, 140])
def test_the_display_has_a_line_for_each_worker_at_any_width(width: int) -> None:
    """No line is broken in two, and none is longer than an 80-column terminal, so that a resize garbles nothing."""
    standing = Standing(run_of(*[64] * 40, workers=("cuda:0", "cuda:1")))
    standing.hear("cuda:0", ChunkStarted(("pair-2",), 1), now=0.0)
    standing.hear("cuda:1", ChunkStarted(("a-name-that-" + "goes-on-" * 12,), 1), now=0.0)
    for message in (pair_record("pair-2"), pair_record("pair-3"), attempt_record("pair-4")):
        standing.hear("cuda:0", message, now=9.0)
    standing.hear("cuda:0", ChunkStarted(("pair-5", "pair-6"), 1), now=9.0)
    for name, pair_id in (("cuda:0", "pair-5"), ("cuda:1", "a-name-that-" + "goes-on-" * 12)):
        for loss in (30.0, 4.0, 2.0):
            standing.hear(name, StepTaken(pair_id, 1, 200, loss), now=9.0)
    lines = shown(standing, width).splitlines()

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
    with only_what_is_wrong():
        logging.getLogger("flows.some").warning("wrong")
        logging.getLogger("flows.some").info("right")

    assert isinstance(handler.console.file, io.StringIO)
    assert handler.console.file.getvalue() == "wrong\n"

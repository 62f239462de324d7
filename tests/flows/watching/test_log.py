"""flows.watching.log: the log of a run and its pairs."""

import dataclasses
import logging
from typing import get_args

import pytest

from flows import stub
from flows.records.pairs import CellError, RejectedRow
from flows.watching.log import REASONS, watch_log
from flows.wording import MOST_NAMED
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken
from nst_core.stopping import StopReason
from tests.flows.builders import attempt_record, pair_record
from tests.flows.run_starts import run_of


def test_every_outcome_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Each outcome is a numbered line with its row; a success has its losses, steps and stop reason, then its notes."""
    with caplog.at_level(logging.INFO):
        on_message = watch_log(run_of(64, 64, 64))
        caplog.clear()
        on_message("cpu", pair_record("pair-3", steps=80, stop_reason="steps", notes=("small content",)))
        on_message("cpu", attempt_record("pair-2", error="cat.png: no picture"))
        on_message("cpu", LeftPending("pair-4", "no answer"))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "[1/3] row 3 pair-3: loss 3.5 -> 0.3, 80 steps (steps spent), 1.2 s"),
        ("WARNING", "row 3 pair-3: small content"),
        ("ERROR", "[2/3] row 2 pair-2: failed (bad_image) cat.png: no picture"),
        ("ERROR", "row 4 pair-4: left pending: no answer"),
    ]


def test_the_start_names_rejected_rows_and_the_device(caplog: pytest.LogCaptureFixture) -> None:
    """The start names each rejected row with its reason, and warns of a run on the CPU or by the stub."""
    rejected = RejectedRow(7, (CellError("size", "big", "expected a whole number"),))
    with caplog.at_level(logging.INFO):
        watch_log(run_of(64, rejected=(rejected,)))
        watch_log(run_of(64, backbone="stub"))

    assert caplog.messages[0] == "row 7: rejected: column 'size': expected a whole number"
    assert "1 pair to do on cpu (vgg19, fp32); 0 done before, 1 row rejected" in caplog.messages[1]
    assert "running on the CPU" in caplog.messages[2]
    assert caplog.messages[4] == stub.WARNING
    assert len(caplog.messages) == 5


def test_pairs_of_the_stub_do_not_repeat_its_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The stub's warning is logged once per run, not for every pair."""
    on_message = watch_log(run_of(64, backbone="stub"))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        on_message("cpu", pair_record("pair-2", notes=(stub.WARNING,)))

    assert caplog.messages == []


def test_of_many_rejected_rows_the_first_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the first rejected rows, counts the others, and prints invisible characters as escapes."""
    rejected = tuple(RejectedRow(row, (CellError("a\u202eb", "", "no\u2028thing"),)) for row in range(2, 5002))
    with caplog.at_level(logging.INFO):
        watch_log(run_of(64, rejected=rejected))("cpu", attempt_record("pair-2", error="a\u202eb: no such file"))

    assert caplog.messages[0] == "row 2: rejected: column 'a\\u202eb': no\\u2028thing"
    assert caplog.messages[MOST_NAMED] == f"and {5000 - MOST_NAMED:,} more"
    assert "5000 rows rejected" in caplog.messages[MOST_NAMED + 1]
    assert all(message.isprintable() for message in caplog.messages)


def test_the_numbers_of_pairs_are_aligned(caplog: pytest.LogCaptureFixture) -> None:
    """The number of a pair is padded to the width of the total; an unknown stop reason is printed unchanged."""
    with caplog.at_level(logging.INFO):
        on_message = watch_log(run_of(*[64] * 12))
        caplog.clear()
        on_message("cpu", pair_record("pair-3", stop_reason="plateau", notes=()))

    assert caplog.messages == ["[ 1/12] row 3 pair-3: loss 3.5 -> 0.3, 20 steps (plateau), 1.2 s"]


def test_every_stop_reason_has_words() -> None:
    """The log has words for each reason for which a finished pair stopped; one that diverged fails instead."""
    assert set(REASONS) == set(get_args(StopReason)) - {"diverged"}


def test_chunks_and_steps_are_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    """Chunks and steps are logged at the level DEBUG alone."""
    on_message = watch_log(run_of(64, 64))
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "flows"):  # the level of this logger may be INFO from an earlier test
        on_message("cpu", ChunkStarted(("pair-2", "pair-3"), 77))
        on_message("cpu", StepTaken("pair-2", 0, 5, 1.23456))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "process 77 stylizes pair-2, pair-3"),
        ("DEBUG", "pair-2: step 5, loss 1.235"),
    ]


def test_a_run_with_a_gpu_or_without_pairs_has_no_cpu_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A run on a GPU and the CPU, or a run without pairs, is not warned of as a run on the CPU."""
    run = run_of(64, workers=("cuda:0", "cpu"))
    with caplog.at_level(logging.WARNING):
        watch_log(dataclasses.replace(run, devices=("cuda:0", "cpu")))
        watch_log(run_of())

    assert caplog.messages == []

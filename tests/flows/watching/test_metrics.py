"""flows.watching.metrics and flows.watching.from_environment: metrics and JSON lines of runs, also of a real one."""

import json
import logging
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from flows.records.pairs import RejectedRow
from flows.watching.from_environment import operators_watchers
from flows.watching.listeners import Watcher, watched_by
from flows.watching.metrics import Metrics, served, written
from flows.watching.notify_all import notify_all
from flows.worker.messages import ChunkStarted, LeftPending, StepTaken
from tests.flows.builders import Painter, attempt_record, pair_record
from tests.flows.run_starts import run_of

ROOT = Path(__file__).parents[3]


def values(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def watched(metrics: Metrics) -> None:
    """Let the metrics watch a run: one pair succeeds, one is restarted and left pending, three rows are rejected."""
    rejected = (RejectedRow(5, ()), RejectedRow(6, ()), RejectedRow(7, (), kind="not_allowed"))
    on_message = metrics.watch(run_of(64, 64, 64, rejected=rejected, run_id="run-1"))
    on_message("cpu", ChunkStarted(("pair-2", "pair-3"), 1, 1000))
    on_message("cpu", pair_record("pair-2", seconds=2.0, evaluations=40))
    on_message("cpu", ChunkStarted(("pair-3",), 2, 2000))
    on_message("cpu", LeftPending("pair-3", "no disk"))


def test_metrics_are_written_to_a_file(tmp_path: Path) -> None:
    """The file has pairs by outcome, seconds, evaluations, restarted batches, memory, and pairs left."""
    metrics = Metrics()
    with written(metrics, str(tmp_path / "nst.prom")):
        watched(metrics)
    found = values((tmp_path / "nst.prom").read_text())

    assert found['nst_pairs_total{error_kind="",status="succeeded"}'] == 1
    assert found['nst_pairs_total{error_kind="storage",status="pending"}'] == 1
    assert found['nst_pairs_total{error_kind="manifest",status="rejected"}'] == 2
    assert found['nst_pairs_total{error_kind="not_allowed",status="rejected"}'] == 1
    assert (found["nst_pair_seconds_sum"], found["nst_pair_seconds_count"]) == (2.0, 1)
    assert found["nst_evaluations_total"] == 40
    assert found["nst_batches_requeued_total"] == 1
    assert found['nst_device_memory_peak_bytes{worker="cpu"}'] == 2000
    assert found["nst_pairs_left"] == 1
    assert found['nst_run_info{backbone="vgg19",output="/out",run_id="run-1"}'] == 1
    assert found["nst_run_ended_timestamp_seconds"] >= found["nst_run_started_timestamp_seconds"] > 0


def test_a_second_run_resets_the_end_of_the_first(tmp_path: Path) -> None:
    """During a second run the metrics show neither the end nor the id of the first; counts of pairs go on."""
    metrics = Metrics()
    watched(metrics)
    metrics.on_end()
    on_message = metrics.watch(run_of(64, 64, run_id="run-2"))
    on_message("cuda:1", ChunkStarted(("pair-2",), 1))
    on_message("cpu", attempt_record("pair-2"))
    on_message("cpu", StepTaken("pair-3", 0, 1, 2.0))
    found = values(generate_latest(metrics.registry).decode())

    assert found["nst_run_ended_timestamp_seconds"] == 0
    assert [name for name in found if name.startswith("nst_run_info")] == [
        'nst_run_info{backbone="vgg19",output="/out",run_id="run-2"}'
    ]
    assert (found["nst_pairs_left"], found["nst_workers"]) == (1, 2)
    assert found['nst_pairs_total{error_kind="bad_image",status="failed"}'] == 1
    assert found["nst_last_outcome_timestamp_seconds"] >= found["nst_run_started_timestamp_seconds"]


def test_a_run_that_begins_is_not_without_an_outcome_for_long() -> None:
    """Until its first outcome the last one has the time of the run's start, also if an earlier run ended long ago."""
    metrics = Metrics()
    metrics._last_outcome.set(1.0)  # in 1970
    metrics.watch(run_of(64))
    found = values(generate_latest(metrics.registry).decode())

    assert found["nst_last_outcome_timestamp_seconds"] >= found["nst_run_started_timestamp_seconds"] > 1.0


def test_the_file_is_kept_up_to_date(tmp_path: Path) -> None:
    """The file is written at once, and again within the given interval and at the end."""
    metrics, file = Metrics(), tmp_path / "nst.prom"
    with written(metrics, str(file), every_seconds=0.05):
        watched(metrics)
        ends = time.monotonic() + 10
        while time.monotonic() < ends and not (file.exists() and values(file.read_text())["nst_evaluations_total"]):
            time.sleep(0.01)

        assert values(file.read_text())["nst_evaluations_total"] == 40
        assert values(file.read_text())["nst_run_ended_timestamp_seconds"] == 0
    assert values(file.read_text())["nst_run_ended_timestamp_seconds"] > 0


def test_metrics_are_served_while_the_block_runs(unused_tcp_port: int) -> None:
    """GET /metrics answers on loopback during the block, and not after it."""
    metrics = Metrics()
    address = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    with served(metrics, "127.0.0.1", unused_tcp_port):
        watched(metrics)
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert values(answer.read().decode())["nst_evaluations_total"] == 40
        with served(Metrics(), "127.0.0.1", unused_tcp_port):  # the port is taken: a second run continues without
            pass
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=5)


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NST_METRICS_PORT", "none"),
        ("NST_METRICS_PORT", "0"),
        ("NST_METRICS_PORT", "65536"),
        ("NST_METRICS_PORT", "70000"),
        ("NST_METRICS_PORT", "²"),
        ("NST_METRICS_FILE", "/proc/none/nst.prom"),
        ("NST_JSON_LINES", "/proc/none/pairs.jsonl"),
    ],
)
def test_unusable_settings_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str
) -> None:
    """A port or file that cannot be used is warned of and left out, and the run goes on."""
    monkeypatch.setenv(variable, value)
    with operators_watchers() as watchers:
        for watch in watchers:
            watch(run_of(64))

    assert value in caplog.text
    if variable == "NST_METRICS_PORT":
        assert "expected a port, 1 to 65535" in caplog.text


def test_metrics_are_served_on_the_port_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """With NST_METRICS_PORT metrics are served on that port of loopback while the block runs."""
    monkeypatch.setenv("NST_METRICS_PORT", str(unused_tcp_port))
    with operators_watchers() as watchers:
        assert len(watchers) == 1
        watchers[0](run_of(64, run_id="run-7"))
        with urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/metrics", timeout=5) as answer:
            assert b'run_id="run-7"' in answer.read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/metrics", timeout=5)


def test_json_lines_are_appended_to_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lines with time and run id are appended to the file of NST_JSON_LINES, which is closed when the block ends."""
    file = tmp_path / "pairs.jsonl"
    file.write_text("before\n")
    monkeypatch.setenv("NST_JSON_LINES", str(file))
    open_before = len(os.listdir("/proc/self/fd"))
    with operators_watchers() as watchers:
        watchers[0](run_of(64, run_id="run-7"))("cpu", pair_record("pair-2"))

    assert len(os.listdir("/proc/self/fd")) == open_before
    before, *lines = file.read_text().splitlines()
    assert before == "before"
    assert [(json.loads(line)["run_id"], json.loads(line)["at"] > "2020") for line in lines] == [("run-7", True)] * 2


def test_there_are_no_watchers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of its variables in the environment there are no watchers."""
    for name in ("NST_METRICS_PORT", "NST_METRICS_FILE", "NST_JSON_LINES"):
        monkeypatch.delenv(name, raising=False)
    with operators_watchers() as watchers:
        assert watchers == []


def test_all_watchers_receive_the_messages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog) -> None:
    """The log, the caller's watchers, those of the environment and those of the context receive the messages."""
    heard: list[str] = []

    def noting(name: str) -> Watcher:
        return lambda _run: lambda _worker, message: heard.append(f"{name} {message.pair_id}")

    monkeypatch.setenv("NST_JSON_LINES", str(tmp_path / "pairs.jsonl"))
    with (
        caplog.at_level(logging.INFO),
        watched_by(noting("context")),
        notify_all(run_of(64), noting("caller")) as on_message,
    ):
        on_message("cpu", pair_record("pair-2"))

    assert sorted(heard) == ["caller pair-2", "context pair-2"]
    assert "row 2 pair-2: loss" in caplog.text
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 2


def test_a_pipe_without_a_reader_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A pipe without a reader is warned of and left out, because opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("NST_JSON_LINES", str(tmp_path / "pipe"))
    with operators_watchers() as watchers:
        assert watchers == []

    assert "cannot be written, and is left out" in caplog.text


@pytest.mark.slow
def test_a_real_run_writes_metrics_and_json_lines(photo: Painter, waves: str, tmp_path: Path) -> None:
    """A run of the command, of which one pair succeeds and one fails, reports both in metrics and JSON lines."""
    (tmp_path / "pairs.csv").write_text(f"id,content,style\ngood,{photo('a.png')},{waves}\nbad,none.png,{waves}\n")
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PYTHONPATH": str(ROOT),
        "NST_METRICS_FILE": str(tmp_path / "nst.prom"),
        "NST_JSON_LINES": str(tmp_path / "pairs.jsonl"),
    }
    command = [sys.executable, "-m", "flows.cli", "run", "pairs.csv", "--output", "out", "--backbone", "stub"]
    outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert outcome.returncode == 3, outcome.stderr
    found = values((tmp_path / "nst.prom").read_text())
    assert found['nst_pairs_total{error_kind="",status="succeeded"}'] == 1
    assert found['nst_pairs_total{error_kind="not_found",status="failed"}'] == 1
    assert found["nst_pairs_left"] == 0
    assert found['nst_device_memory_peak_bytes{worker="cpu"}'] > 50_000_000
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["run", "pair", "pair"]
    assert {line["pair_id"]: line["status"] for line in lines[1:]} == {"good": "succeeded", "bad": "failed"}
    assert len({line["run_id"] for line in lines}) == 1
    assert all(line["at"] for line in lines)

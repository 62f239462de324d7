"""flows.watching.metrics and flows.watching.asked_for: real values after a real run of the command."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from builders import Painter, pair_record
from started import run_of

from flows.records import RejectedRow
from flows.watching.asked_for import operators_watchers
from flows.watching.metrics import Metrics, served, written
from flows.worker.messages import ChunkStarted, LeftPending

ROOT = Path(__file__).parents[3]


def values(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def told(metrics: Metrics) -> None:
    rejected = (RejectedRow(5, ()), RejectedRow(6, ()))
    hear = metrics.watch(run_of(64, 64, 64, rejected=rejected, run_id="run-1"))
    hear("cpu", ChunkStarted(("pair-2", "pair-3"), 1, 1000))
    hear("cpu", pair_record("pair-2", seconds=2.0, evaluations=40))
    hear("cpu", ChunkStarted(("pair-3",), 2, 2000))
    hear("cpu", LeftPending("pair-3", "no disk"))


def test_what_is_counted(tmp_path: Path) -> None:
    """Pairs by outcome, seconds, evaluations, what was begun again, memory, what is left."""
    metrics = Metrics()
    with written(metrics, str(tmp_path / "nst.prom")):
        told(metrics)
    found = values((tmp_path / "nst.prom").read_text())

    assert found['nst_pairs_total{error_kind="",status="succeeded"}'] == 1
    assert found['nst_pairs_total{error_kind="storage",status="pending"}'] == 1
    assert found['nst_pairs_total{error_kind="manifest",status="rejected"}'] == 2
    assert (found["nst_pair_seconds_sum"], found["nst_pair_seconds_count"]) == (2.0, 1)
    assert found["nst_evaluations_total"] == 40
    assert found["nst_batches_requeued_total"] == 1
    assert found['nst_device_memory_peak_bytes{worker="cpu"}'] == 2000
    assert found["nst_pairs_left"] == 1
    assert found['nst_run_info{backbone="vgg19",output="/out",run_id="run-1"}'] == 1
    assert found["nst_run_ended_timestamp_seconds"] >= found["nst_run_started_timestamp_seconds"] > 0


def test_served_while_it_lasts(unused_tcp_port: int) -> None:
    """GET /metrics answers inside the block, on loopback, and nobody does after it."""
    metrics = Metrics()
    address = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    with served(metrics, "127.0.0.1", unused_tcp_port):
        told(metrics)
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert values(answer.read().decode())["nst_evaluations_total"] == 40
        with served(Metrics(), "127.0.0.1", unused_tcp_port):  # a second run on the machine goes on without
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
        ("NST_METRICS_PORT", "70000"),
        ("NST_METRICS_PORT", "²"),
        ("NST_METRICS_FILE", "/proc/none/nst.prom"),
        ("NST_JSON_LINES", "/proc/none/pairs.jsonl"),
    ],
)
def test_what_cannot_be_had_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str
) -> None:
    """And left out: the run itself goes on."""
    monkeypatch.setenv(variable, value)
    with operators_watchers() as watchers:
        for watch in watchers:
            watch(run_of(64))

    assert value in caplog.text


def test_a_pipe_that_nobody_reads_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Opening it would wait for a reader for ever."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("NST_JSON_LINES", str(tmp_path / "pipe"))
    with operators_watchers() as watchers:
        assert watchers == []

    assert "cannot be written, and is left out" in caplog.text


@pytest.mark.slow
def test_a_run_leaves_its_numbers(photo: Painter, waves: str, tmp_path: Path) -> None:
    """The command with both files named in the environment: one pair succeeds, one fails, and both say so."""
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

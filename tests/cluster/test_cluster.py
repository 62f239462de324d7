"""The real command on a real Ray cluster: nodes are lost, pairs kill their workers, runs are stopped and resumed."""

import csv
import dataclasses
import io
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from tests.cluster.ray_nodes import NODES, Nodes, descendants_of, listening_hosts
from tests.faults.real_run import (
    RealRun,
    attempts,
    events,
    finished,
    is_alive,
    prepared,
    rows,
    started,
    wait_for_records,
)
from tests.faults.workload import check, check_complete

OF_THE_RUN = {"run_id", "seconds", "started_at", "finished_at"}
"""Columns that differ from run to run."""


def on_ray(run: RealRun, address: str, *more: str) -> RealRun:
    return dataclasses.replace(run, more=("--runner", "ray", "--ray-address", address, *run.more, *more))


def table(run: RealRun) -> list[dict[str, str]]:
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    kept = [
        {name: cell for name, cell in row.items() if name not in OF_THE_RUN}
        for row in csv.DictReader(io.StringIO(text))
    ]
    return sorted(kept, key=lambda row: int(row["row"]))


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_node_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    """Kill -9 of one of four nodes in mid-run: every pair has one record, and the table is that of a local run."""
    all_nodes = [nodes.add() for _ in range(NODES)]
    run = prepared(str(tmp_path), tmp_path, 60, stub="seconds=0.4", more=("--pairs-per-task", "5"))
    with started(on_ray(run, nodes.address)) as process:
        wait_for_records(run, 12)
        wait_until(lambda: events(run).count("is there: process") == NODES, 60)
        nodes.kill(all_nodes[1])
        code = process.wait(180)
    local = dataclasses.replace(run, output=f"{run.output}-local", folder=run.folder)

    assert code == 0, events(run)
    check_complete(run.as_stub_run, 60)
    assert "is gone; another one is asked for" in events(run)
    assert "is a local path, and the Ray cluster has 5 nodes" in events(run)
    assert attempts(run) == 0
    assert finished(local).returncode == 0
    assert table(run) == table(local)


def test_a_pair_that_kills_its_worker_fails_alone(nodes: Nodes, tmp_path: Path) -> None:
    """A pair kills its actor twice, others hang or lose its GPU: they alone are failed, each with its reason."""
    for _ in range(2):
        nodes.add()
    run = prepared(str(tmp_path), tmp_path, 10, stub="kill=pair-5 hang=pair-7 lose=pair-9")
    outcome = finished(on_ray(run, nodes.address, "--pair-timeout-seconds", "5"))

    assert outcome.returncode == 3, outcome.stderr
    found = rows(run)
    assert found.pop("pair-5") == ("failed", "worker_died")
    assert found.pop("pair-7") == ("failed", "timeout")
    assert found.pop("pair-9") == ("failed", "device_lost")
    assert set(found.values()) == {("succeeded", None)}
    assert check(run.as_stub_run) == 7


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_asked_to_stop(nodes: Nodes, tmp_path: Path, sent: signal.Signals) -> None:
    """A run that is told to stop leaves with 75 within ten seconds; the same command does the rest."""
    nodes.add()
    run = prepared(str(tmp_path), tmp_path, 20, stub="seconds=0.3")
    with started(on_ray(run, nodes.address)) as process:
        wait_for_records(run, 3)
        began = time.monotonic()
        os.killpg(process.pid, sent) if sent == signal.SIGINT else process.send_signal(sent)
        code = process.wait(60)
        seconds = time.monotonic() - began

    assert code == 75, events(run)
    assert seconds < 10
    assert 3 <= check(run.as_stub_run) < 20
    assert finished(on_ray(run, nodes.address)).returncode == 0
    check_complete(run.as_stub_run, 20)


def test_nodes_that_come_later_join_in(nodes: Nodes, tmp_path: Path) -> None:
    """A run that asked for more workers than there were uses those that come up while it goes on."""
    nodes.add()
    run = prepared(str(tmp_path), tmp_path, 80, stub="seconds=0.3", more=("--pairs-per-task", "5"))
    with started(on_ray(run, nodes.address, "--ray-workers", "3")) as process:
        wait_for_records(run, 3)
        for _ in range(2):
            nodes.add()
        code = process.wait(180)

    assert code == 0, events(run)
    assert events(run).count("is there: process") == 3
    check_complete(run.as_stub_run, 80)


def test_a_node_with_another_engine_is_refused(nodes: Nodes, tmp_path: Path) -> None:
    """The run ends with 4, naming both versions; nothing was made by the wrong one."""
    site, root = tmp_path / "site", Path(__file__).parents[2]
    for package in ("flows", "nst_core"):
        shutil.copytree(root / package, site / package)
    version = site / "nst_core" / "__init__.py"
    version.write_text(version.read_text() + '\n__version__ = "0.0.1"\n')
    nodes.add({"PYTHONPATH": str(site)})
    run = prepared(str(tmp_path), tmp_path, 3)
    outcome = finished(on_ray(run, nodes.address))

    assert outcome.returncode == 4, outcome.stderr
    assert "found 0.0.1 (code " in outcome.stderr
    assert check(run.as_stub_run) == 0


def test_a_cluster_of_its_own_keeps_to_loopback(ray: Any, tmp_path: Path) -> None:
    """Whatever a run starts for itself listens on 127.0.0.1 alone, and is gone when the run is."""
    run = prepared(str(tmp_path), tmp_path, 6, stub="seconds=1")
    with started(dataclasses.replace(run, more=("--runner", "ray"))) as process:
        wait_for_records(run, 1)
        mine = descendants_of(process.pid)
        hosts = listening_hosts(mine)
        code = process.wait(120)

    assert code == 0, events(run)
    assert hosts == {"127.0.0.1"}
    wait_until(lambda: not any(map(is_alive, mine)), 20)


def test_no_cluster_at_the_address(ray: Any, tmp_path: Path) -> None:
    """Where nothing listens, the command leaves within seconds with 4, and says what to do."""
    run = prepared(str(tmp_path), tmp_path, 3)
    began = time.monotonic()
    outcome = finished(on_ray(run, "ray://127.0.0.1:9"))

    assert outcome.returncode == 4
    assert "ray://127.0.0.1:9: no Ray cluster answers there" in outcome.stderr
    assert "--ray-address" in outcome.stderr
    assert time.monotonic() - began < 20


def test_a_cluster_without_room(nodes: Nodes, tmp_path: Path) -> None:
    """A cluster on which no worker fits is given up after the time allowed, with what it has and what it would take."""
    nodes.add()
    run = prepared(str(tmp_path), tmp_path, 3)
    outcome = finished(on_ray(run, nodes.address, "--ray-cpus", "2", "--ray-wait-seconds", "5"))

    assert outcome.returncode == 4, outcome.stderr
    assert "each needs 2 CPU, and the cluster has 0 GPU and 1 CPU" in outcome.stderr


def test_the_engine_on_a_cluster_of_its_own(ray: Any, tmp_path: Path) -> None:
    """Without an address a cluster is started here, and gone afterwards; its pictures are those of a local run."""
    run = prepared(str(tmp_path), tmp_path, 2)
    images = []
    # Equal numbers of threads and of pairs at once: else the rounding of a kernel may differ.
    for how in (("--runner", "local"), ("--runner", "ray", "--ray-workers", "1", "--ray-cpus", str(os.cpu_count()))):
        words = ["--backbone", "vgg19", "--precision", "fp32", "--steps", "3", *how]
        one = dataclasses.replace(run, output=f"{run.output}-{how[1]}", more=tuple(words))
        outcome = finished(one)
        assert outcome.returncode == 0, outcome.stderr
        images.append(table(one))

    assert [row["output_sha256"] for row in images[0]] == [row["output_sha256"] for row in images[1]]

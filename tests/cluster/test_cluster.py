"""The command on a real Ray cluster: nodes are lost, pairs kill their workers, runs are stopped and continued."""

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

VARYING = {"run_id", "seconds", "started_at", "finished_at"}
"""Columns that differ from run to run."""


def on_ray(run: RealRun, address: str, *more: str) -> RealRun:
    """Return the run with the options that send it to a Ray cluster."""
    return dataclasses.replace(run, more=("--runner", "ray", "--ray-address", address, *run.more, *more))


def table(run: RealRun) -> list[dict[str, str]]:
    """Return the rows of results.csv without the columns that differ from run to run."""
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    kept = [
        {name: cell for name, cell in row.items() if name not in VARYING} for row in csv.DictReader(io.StringIO(text))
    ]
    return sorted(kept, key=lambda row: int(row["row"]))


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_killed_node_costs_no_pair(nodes: Nodes, tmp_path: Path) -> None:
    """After SIGKILL of one of four nodes every pair has one record, and the table is that of a local run."""
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
    assert "is gone; another one is requested" in events(run)
    assert "is a local path, and the Ray cluster has 5 nodes" in events(run)
    assert attempts(run) == 0
    assert finished(local).returncode == 0
    assert table(run) == table(local)


def test_a_pair_that_kills_its_worker_fails_alone(nodes: Nodes, tmp_path: Path) -> None:
    """Pairs that kill their actor, hang or lose its GPU fail, each with its kind of error; the others succeed."""
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
def test_a_stop_request_ends_the_run(nodes: Nodes, tmp_path: Path, sent: signal.Signals) -> None:
    """A run on SIGTERM or Ctrl-C ends with exit code 75 within ten seconds; the same command does the other pairs."""
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


def test_nodes_that_are_added_later_are_used(nodes: Nodes, tmp_path: Path) -> None:
    """A run that requests more workers than there is room for uses nodes that are added while it goes on."""
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
    """If a node has another version of the engine, the run ends with exit code 4, names it and makes no image."""
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


def test_a_local_cluster_listens_on_loopback_alone(ray: Any, tmp_path: Path) -> None:
    """The processes of a cluster that a run starts listen on 127.0.0.1 alone, and end with the run."""
    run = prepared(str(tmp_path), tmp_path, 6, stub="seconds=1")
    with started(dataclasses.replace(run, more=("--runner", "ray"))) as process:
        wait_for_records(run, 1)
        mine = descendants_of(process.pid)
        hosts = listening_hosts(mine)
        code = process.wait(120)

    assert code == 0, events(run)
    assert hosts == {"127.0.0.1"}
    wait_until(lambda: not any(map(is_alive, mine)), 20)


def test_an_address_without_a_cluster_is_reported(ray: Any, tmp_path: Path) -> None:
    """If no cluster answers at the address, the command ends within 20 s with exit code 4 and says what to do."""
    run = prepared(str(tmp_path), tmp_path, 3)
    began = time.monotonic()
    outcome = finished(on_ray(run, "ray://127.0.0.1:9"))

    assert outcome.returncode == 4
    assert "ray://127.0.0.1:9: no Ray cluster answers there" in outcome.stderr
    assert "--ray-address" in outcome.stderr
    assert time.monotonic() - began < 20


def test_a_cluster_without_room_is_given_up(nodes: Nodes, tmp_path: Path) -> None:
    """If no worker fits on the cluster, the run ends after the given wait and says what there is and what is needed."""
    nodes.add()
    run = prepared(str(tmp_path), tmp_path, 3)
    outcome = finished(on_ray(run, nodes.address, "--ray-cpus", "2", "--ray-wait-seconds", "5"))

    assert outcome.returncode == 4, outcome.stderr
    assert "each needs 2 CPU, and the cluster has 0 GPU and 1 CPU" in outcome.stderr


def test_a_local_cluster_gives_the_images_of_a_local_run(ray: Any, tmp_path: Path) -> None:
    """Without an address a cluster is started on this machine; its images are those of a local run."""
    run = prepared(str(tmp_path), tmp_path, 2)
    images = []
    # With other numbers of threads or of pairs at once the rounding of a kernel may differ.
    for how in (("--runner", "local"), ("--runner", "ray", "--ray-workers", "1", "--ray-cpus", str(os.cpu_count()))):
        words = ["--backbone", "vgg19", "--precision", "fp32", "--steps", "3", *how]
        one = dataclasses.replace(run, output=f"{run.output}-{how[1]}", more=tuple(words))
        outcome = finished(one)
        assert outcome.returncode == 0, outcome.stderr
        images.append(table(one))

    assert [row["output_sha256"] for row in images[0]] == [row["output_sha256"] for row in images[1]]

"""Runs from the command line: their tags in Prefect, standard input, and closed standard streams."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart.csv"


def test_a_run_continues_when_its_reader_is_gone(with_server: dict[str, str], tmp_path: Path) -> None:
    """A run whose stdout is a closed pipe stylizes every pair, and its flow run has the tags of the command line."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", str(QUICKSTART), "--backbone", "stub", "--json-lines"],
        cwd=tmp_path,
        env=with_server,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )
    os.close(writer)
    summary = json.loads((tmp_path / "runs/quickstart/summary.json").read_text())
    with closing(sqlite3.connect(f"{with_server['PREFECT_HOME']}/prefect.db")) as database:
        found = database.execute("select tags from flow_run where name = 'stylize quickstart.csv'").fetchall()
        tasks = database.execute("select distinct tags from task_run").fetchall()

    assert done.returncode == 0, done.stderr
    assert [word for word in ("Traceback", "BrokenPipe", "gets no more messages") if word in done.stderr] == []
    assert (summary["rows"], summary["succeeded"]) == (6, 6)
    assert {frozenset(json.loads(tags)) for (tags,) in found} == {frozenset({"nst", "command-line"})}
    assert {tags for (tags,) in tasks} <= {"[]"}  # a tagged task asks the server for leave, and fails without one


def test_a_run_from_standard_input_is_retried_from_its_output(with_server: dict[str, str], tmp_path: Path) -> None:
    """`nst retry` uses the manifest copy in the output, from any working directory, once the missing image exists."""
    images = QUICKSTART.parent / "images"
    shutil.copy(images / "coffee.jpg", tmp_path / "c.jpg")
    rows = "id,content,style\na,c.jpg,c.jpg\nb,late.jpg,c.jpg\n"
    command = [sys.executable, "-m", "flows.cli"]
    stub = ["--backbone", "stub", "--quiet"]
    first = subprocess.run(
        [*command, "run", "-", "--output", "out", *stub],
        cwd=tmp_path,
        env=with_server,
        input=rows,
        text=True,
        check=False,
        timeout=300,
    )
    shutil.copy(images / "coffee.jpg", tmp_path / "late.jpg")
    again = subprocess.run(
        [*command, "retry", str(tmp_path / "out"), "--quiet"],
        cwd="/",
        env=with_server | {"PYTHONPATH": str(QUICKSTART.parents[1])},
        check=False,
        timeout=300,
    )

    assert (first.returncode, again.returncode) == (3, 0)
    assert json.loads((tmp_path / "out/summary.json").read_text())["succeeded"] == 2
    assert "nst run - --output" in (tmp_path / "out/report.html").read_text()


def test_a_run_needs_no_standard_streams(with_server: dict[str, str], tmp_path: Path) -> None:
    """A run whose stdin, stdout and stderr are closed, as a service manager may start it, stylizes every pair."""
    command = [sys.executable, "-m", "flows.cli", "run", str(QUICKSTART), "--backbone", "stub", "-o", "out"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
        cwd=tmp_path,
        env=with_server,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["succeeded"] == 6

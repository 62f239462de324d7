"""The README's examples in Python, as they are printed there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
ENGINE, SCRIPT, SUBFLOW, WATCHED = EXAMPLES
PAIRS = ("chelsea", "pointillism"), ("coffee", "woodcut-waves"), ("rocket", "pointillism")


@pytest.fixture
def python(with_server: dict[str, str], tmp_path: Path):
    """Run some code in an empty folder with `manifests/images/` and `pairs.csv`; it has to succeed."""
    return interpreter(with_server, tmp_path)


@pytest.fixture
def python_without_server(without_server: dict[str, str], tmp_path: Path):
    """The same where no Prefect server is named."""
    return interpreter(without_server, tmp_path)


def interpreter(environment: dict[str, str], tmp_path: Path):
    """Python, in a folder that is made ready for it."""
    for name in {name for pair in PAIRS for name in pair}:
        (tmp_path / "manifests" / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "manifests" / "images" / f"{name}.jpg", tmp_path / "manifests" / "images")
    rows = "".join(f"manifests/images/{content}.jpg,manifests/images/{style}.jpg\n" for content, style in PAIRS)
    (tmp_path / "pairs.csv").write_text(f"content,style\n{rows}")

    def run(code: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "example.py").write_text(code)
        outcome = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            env={name: value for name, value in environment.items() if name != "DO_NOT_TRACK"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome

    return run


def test_the_engine_alone(python, tmp_path: Path) -> None:
    """Two pictures in, one out."""
    printed = python(ENGINE).stdout

    assert (tmp_path / "chelsea-pointillism.png").stat().st_size > 1000
    assert "LossValues" in printed and "steps" in printed


def test_a_script_without_a_guard(python_without_server, tmp_path: Path) -> None:
    """Nothing runs the script a second time: its pairs succeed, the summary is typed, and rows are a manifest."""
    printed = python_without_server(
        SCRIPT
        + """
print("type", type(summary).__name__)
images = "manifests/images"
rows = pd.DataFrame(
    {"content": [f"{images}/coffee.jpg"], "style": [f"{images}/pointillism.jpg"], "steps": [None], "n": [7]}
)
told = bulk_stylize("out-rows", rows, settings=RunSettings(backbone="stub"))
print("rows", told.succeeded, list(pd.read_parquet(told.results_parquet)["n"]))
"""
    ).stdout
    table = pd.read_csv(tmp_path / "out" / "results.csv")

    assert printed.count("type RunSummary") == 1
    assert "rows 1 ['7']" in printed
    (asked,) = (tmp_path / "out-rows" / "_nst" / "given").iterdir()
    (kept,) = (tmp_path / "out-rows" / "_nst" / "runs").glob("*/manifest.csv")
    assert kept.read_bytes() == asked.read_bytes()
    assert list(table["status"]) == ["succeeded", "succeeded", "pending"]


def test_a_notebook_s_running_loop(python, tmp_path: Path) -> None:
    """The same call where an event loop runs already, as in a cell of a notebook."""
    cell = "\n".join(f"    {line}" for line in SCRIPT.replace('device="auto"', 'backbone="stub"').splitlines())
    python(f"import asyncio\n\n\nasync def cell():\n{cell}\n\n\nasyncio.run(cell())\n")

    assert (tmp_path / "out" / "results.parquet").is_file()


def test_a_subflow_of_one_s_own_flow(python_without_server) -> None:
    """Two runs at once in threads of another flow, from a cold start: each does its own pairs, on one server."""
    outcome = python_without_server(SUBFLOW)

    assert "[3, 3]" in outcome.stdout
    assert outcome.stderr.count("3 pairs to do") == 2  # each line once
    assert "off from here on" in outcome.stderr  # prefect came first, and its telemetry does not stay on unsaid


def test_runs_in_threads_hear_of_themselves_alone(python_without_server) -> None:
    """Three runs at once from a cold start, without a flow around them: no line of one is told to another's watcher."""
    printed = python_without_server(
        WATCHED.replace("def watch(run)", "import threading\n\n\ndef watch(run)").split("with watched_by")[0]
        + """
def one(name):
    heard = []

    def watch(run):
        heard.append(run.run_id)
        return lambda worker, message: heard.append(getattr(message, "run_id", run.run_id))

    with watched_by(watch):
        summary = bulk_stylize(f"out-{name}", "pairs.csv", settings=RunSettings(backbone="stub", stub="seconds=0.3"))
    print("heard", len(heard), set(heard) == {summary.run_id}, flush=True)


threads = [threading.Thread(target=one, args=(name,)) for name in "abc"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    ).stdout

    assert printed.count("heard 7 True") == 3  # the start, and of each pair that it began and that it ended


def test_a_watcher(python) -> None:
    """It is told the start, and each pair's outcome by the worker's name."""
    lines = python(WATCHED).stdout.splitlines()

    assert lines[0].endswith(": 3 pairs")
    assert sum(line.startswith("cpu PairRecord ") for line in lines) == 3


def test_what_is_left_pending_is_an_error_with_the_numbers(python) -> None:
    """A caller gets `RunIncomplete` with the summary, not a TypeError about a dict."""
    printed = python(
        """
import os

from flows.bulk_stylize import bulk_stylize
from flows.run.finish import RunIncomplete
from flows.settings import RunSettings
from flows.watching.listeners import watched_by
from flows.worker.messages import LeftPending

BLOCKED = ("out/images", "out/_nst/attempts")  # files where folders should be: not even a failure can be kept


def watch(run):
    left = set()
    for path in BLOCKED:
        open(path, "w").close()

    def on_message(worker, message):
        if isinstance(message, LeftPending):
            left.add(message.pair_id)
        if len(left) == 3:
            [os.remove(path) for path in BLOCKED if os.path.exists(path)]

    return on_message


try:
    with watched_by(watch):
        bulk_stylize("out", "pairs.csv", settings=RunSettings(backbone="stub", stub="seconds=1"))
except RunIncomplete as incomplete:
    print("incomplete", incomplete.summary.pending, incomplete)
"""
    ).stdout

    assert "incomplete 3 0 succeeded, 0 failed, 0 rejected, 3 pending: run again" in printed


def test_the_flow_loads_no_server_where_another_is_named(python) -> None:
    """With PREFECT_API_URL, and no worker's torch either."""
    printed = python(
        """
import os, sys

os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
import flows.bulk_stylize

print("loaded", sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "ray", "uvicorn", "alembic"}))
print("server", any(name.startswith("prefect.server") for name in sys.modules))
"""
    ).stdout

    assert "loaded []" in printed
    assert "server False" in printed


def test_a_batch_s_task_ends_in_a_state_that_tells_the_truth(python) -> None:
    """`CompletedWithFailures` with the numbers where a pair failed; its parameter is a name, and nothing that lives."""
    printed = python(
        """
from flows.prefect_layer.tasks import batch_task
from flows.run.scheduler import BatchScheduler
from flows.run.prepare import prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners import runner_of
from flows.settings import RunSettings

from prefect import flow


@flow
def states():
    settings = RunSettings(backbone="stub", stub="error=b", runner="inline", device="cpu")
    rows = [("a", "chelsea", "pointillism"), ("b", "rocket", "pointillism"), ("c", "coffee", "woodcut-waves")]
    images = "manifests/images"
    lines = [f"{name},{images}/{content}.jpg,{images}/{style}.jpg" for name, content, style in rows]
    open("three.csv", "w").write("\\n".join(["id,content,style", *lines, ""]))
    request = resolve(RunArguments("out", "three.csv", settings=settings))
    with runner_of(settings) as runner, runner.pool(2) as pool:
        scheduler = BatchScheduler(prepare_run(request, runner.means), pool, lambda worker, message: None)
        stylize_batch = batch_task(scheduler)
        while (batch := scheduler.next_batch()) is not None:
            state = stylize_batch(batch, return_state=True)
            scheduler.give_back(batch)
            print("state", state.name, state.message, sep="; ")


states()
"""
    ).stdout

    assert "state; CompletedWithFailures; 1 succeeded, 1 failed" in printed
    assert "state; Completed; 1 succeeded, 0 failed" in printed

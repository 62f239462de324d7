"""The README's Python examples, exactly as printed there, and calls of the flow from Python."""

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
    """Runs code in a folder that has only `manifests/images/` and `pairs.csv`, and checks that it succeeds."""
    return interpreter(with_server, tmp_path)


@pytest.fixture
def python_without_server(without_server: dict[str, str], tmp_path: Path):
    """Runs code like `python`, without a Prefect server that is named."""
    return interpreter(without_server, tmp_path)


def interpreter(environment: dict[str, str], tmp_path: Path):
    """Return a function that runs code in a folder, after the folder is filled."""
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


def test_the_engine_example_stylizes_an_image(python, tmp_path: Path) -> None:
    """The README's engine example makes an image and prints its losses."""
    printed = python(ENGINE).stdout

    assert (tmp_path / "chelsea-pointillism.png").stat().st_size > 1000
    assert "LossValues" in printed and "steps" in printed


def test_a_script_needs_no_main_guard(python_without_server, tmp_path: Path) -> None:
    """A script without a main guard runs once; it gets a typed summary, and may pass a DataFrame as the manifest."""
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


def test_the_flow_runs_inside_a_running_event_loop(python, tmp_path: Path) -> None:
    """The flow can be called while an event loop runs, as in a notebook cell."""
    cell = "\n".join(f"    {line}" for line in SCRIPT.replace('device="auto"', 'backbone="stub"').splitlines())
    python(f"import asyncio\n\n\nasync def cell():\n{cell}\n\n\nasyncio.run(cell())\n")

    assert (tmp_path / "out" / "results.parquet").is_file()


def test_the_flow_runs_as_a_subflow(python_without_server) -> None:
    """Two subflows in threads of another flow share one embedded server, and each does its own pairs."""
    outcome = python_without_server(SUBFLOW)

    assert "[3, 3]" in outcome.stdout
    assert outcome.stderr.count("3 pairs to do") == 2  # each line once
    assert "off from here on" in outcome.stderr  # prefect came first, and its telemetry does not stay on unsaid


def test_watchers_of_concurrent_runs_get_the_messages_of_their_own_run(python_without_server) -> None:
    """Three concurrent runs, without a flow around them, each report to their own watcher only."""
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


def test_a_watcher_gets_the_start_and_each_outcome(python) -> None:
    """The README's watcher gets the start of the run, and each pair's outcome with the name of the worker."""
    lines = python(WATCHED).stdout.splitlines()

    assert lines[0].endswith(": 3 pairs")
    assert sum(line.startswith("cpu PairRecord ") for line in lines) == 3


def test_pending_pairs_raise_run_incomplete_with_the_summary(python) -> None:
    """A run that leaves pairs pending raises `RunIncomplete`, which has the summary."""
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

    assert "incomplete 3 0 succeeded, 0 failed, 0 rejected; 3 left without an outcome of this run: run again" in printed


def test_the_flow_loads_no_server_where_another_is_named(python) -> None:
    """Importing the flow while PREFECT_API_URL is set loads neither Prefect's server nor torch."""
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


def test_a_batch_task_ends_in_a_state_that_counts_its_failures(python) -> None:
    """A task run ends as `CompletedWithFailures`, with the numbers, if a pair failed, and else as `Completed`."""
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

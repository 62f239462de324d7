"""The tree holds to its own rules."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIGHT_MODULES = [
    "flows.cli",
    "flows.run.plan",
    "flows.output.ledger",
    "flows.output.results",
    "flows.manifest.load",
    "nst_core.images",
]


def test_import_contracts() -> None:
    """Packages import only the packages below them."""
    command = [Path(sys.executable).parent / "lint-imports"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    """Planning, validation and status load neither torch nor prefect nor pandas."""
    heavy = {"torch", "torchvision", "prefect", "pandas", "s3fs"}
    code = f"import {module}, sys; print(*sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_the_flow_leaves_torch_to_its_workers() -> None:
    """The process of a flow, and a worker that makes pictures up, do without torch: two seconds, half a gigabyte."""
    code = "import flows.bulk_stylize, flows.worker.batch, sys; print(*sorted({'torch', 'ray'} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_a_worker_loads_no_more_of_torch_than_it_runs() -> None:
    """Not torchvision, which loads the compiler behind `torch.compile` with it: seconds, at each worker's start."""
    heavy = {"torchvision", "torch._dynamo", "torch._inductor", "sympy"}
    code = f"import flows.worker.stylizing, sys; print(*sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


@pytest.mark.parametrize(("package", "too_new"), [("fastapi", "0.151.0"), ("sqlalchemy", "2.1.0")])
def test_prefect_is_kept_from_what_breaks_it(package: str, too_new: str) -> None:
    """The project's own dependencies keep Prefect 3.8 from releases under which it cannot start or schedule."""
    (bound,) = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == package]

    assert not bound.specifier.contains(too_new)
    assert bound.specifier.contains(metadata.version(package))


def test_the_environment_is_the_locked_one() -> None:
    """Prefect, which breaks under other releases, is installed with what it was locked with."""
    lock = (ROOT / "deploy" / "requirements.lock").read_text()

    assert f"\nprefect=={metadata.version('prefect')} " in lock
    assert f"\nfastapi=={metadata.version('fastapi')} " in lock

"""What modules import when they are loaded, and the versions of dependencies."""

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


def test_light_modules_load_nothing_heavy() -> None:
    """Planning, validation and status load none of the packages that take long to import.

    The modules are imported one after the other in one process; the output names the first that loads one.
    """
    heavy = {"torch", "torchvision", "prefect", "pandas", "s3fs"}
    code = f"""
import importlib, sys
for module in {LIGHT_MODULES}:
    importlib.import_module(module)
    if loaded := sorted({heavy} & set(sys.modules)):
        print(module, "loads", *loaded)
        break
"""

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_a_flow_and_a_stub_worker_do_without_torch() -> None:
    """A flow and a worker with the stub load neither torch nor ray: torch takes two seconds and half a gigabyte."""
    code = "import flows.bulk_stylize, flows.worker.batch, sys; print(*sorted({'torch', 'ray'} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_a_worker_loads_neither_torchvision_nor_the_compiler() -> None:
    """A worker does not load torchvision, which imports the compiler of `torch.compile` and so delays every start."""
    heavy = {"torchvision", "torch._dynamo", "torch._inductor", "sympy"}
    code = f"import flows.worker.stylizing, sys; print(*sorted({heavy} & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


@pytest.mark.parametrize(("package", "too_new"), [("fastapi", "0.151.0"), ("sqlalchemy", "2.1.0")])
def test_releases_that_break_prefect_are_excluded(package: str, too_new: str) -> None:
    """The project's dependencies exclude releases with which Prefect 3.8 cannot start or schedule."""
    (bound,) = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == package]

    assert not bound.specifier.contains(too_new)
    assert bound.specifier.contains(metadata.version(package))


def test_the_environment_has_the_locked_prefect_and_fastapi() -> None:
    """The installed versions of Prefect, which other releases of its dependencies break, and fastapi are the locked."""
    lock = (ROOT / "deploy" / "requirements.lock").read_text()

    assert f"\nprefect=={metadata.version('prefect')} " in lock
    assert f"\nfastapi=={metadata.version('fastapi')} " in lock

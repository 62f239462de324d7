"""The locks: one of what runs, and what tests and clusters need beyond it."""

import re
import tomllib
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
BEYOND = ("test", "ray", "kubernetes")


def lock_text(name: str) -> str:
    return (ROOT / "deploy" / name).read_text().replace("\\\n", " ")


def locked(name: str) -> dict[str, set[str]]:
    """The versions of each package of a lock; one may have several, for different Pythons."""
    found = defaultdict(set)
    for line in lock_text(name).splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.split(" --hash")[0])
            found[canonicalize_name(requirement.name)].add(next(iter(requirement.specifier)).version)
    return found


RUNTIME = locked("requirements.lock")


@pytest.mark.parametrize("name", ["requirements.lock", *(f"requirements-{extra}.lock" for extra in BEYOND)])
def test_every_package_has_its_hashes(name: str) -> None:
    """No package of a lock is installed on its name alone."""
    lines = [line for line in lock_text(name).splitlines() if line[:1].isalnum()]

    assert lines
    assert [line for line in lines if "--hash=sha256:" not in line] == []


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "requirements.lock",
            PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"] + EXTRAS["heic"],
        ),
        *((f"requirements-{extra}.lock", EXTRAS[extra]) for extra in BEYOND),
    ],
)
def test_a_lock_holds_what_the_project_asks_for(name: str, asked: list[str]) -> None:
    """Each requirement is in its lock or in that of what runs, at a version within its bounds."""
    versions = RUNTIME | locked(name)

    for wanted in map(Requirement, asked):
        found = versions[canonicalize_name(wanted.name)]
        assert found, wanted
        assert all(wanted.specifier.contains(version) for version in found), wanted


def test_no_torch_is_allowed_that_lacks_what_a_gpu_is_asked_for() -> None:
    """`torch.bmm` gives fp32 of bf16 from 2.8 on; torchvision goes by torch's versions."""
    bounds = {wanted.name: wanted.specifier for wanted in map(Requirement, PROJECT["project"]["dependencies"])}

    assert not bounds["torch"].contains("2.7.1")
    assert not bounds["torchvision"].contains("0.22.1")


@pytest.mark.parametrize("extra", BEYOND)
def test_what_runs_is_free_of_the_rest(extra: str) -> None:
    """No package that only tests or a cluster need is installed in production, and none is locked twice."""
    more = locked(f"requirements-{extra}.lock")

    assert set(RUNTIME) & set(more) == set()
    assert {canonicalize_name(Requirement(one).name) for one in EXTRAS[extra]} - set(RUNTIME) <= set(more)


def test_the_locks_agree() -> None:
    """What two of the locks have in common is of one version, so that both can be installed."""
    for one, other in combinations((locked(f"requirements-{extra}.lock") for extra in BEYOND), 2):
        shared = one.keys() & other.keys()
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_one_command_makes_the_locks() -> None:
    """Each lock says that `deploy/lock` wrote it."""
    assert (ROOT / "deploy" / "lock").stat().st_mode & 0o111
    for path in (ROOT / "deploy").glob("*.lock"):
        assert re.match(r"# [^\n]+\n#    deploy/lock\n", path.read_text()), path


def test_production_installs_what_runs_alone() -> None:
    """No instruction for production installs what is for tests, or anything that has neither a hash nor a lock."""
    for name in ("Dockerfile", "RUNBOOK.md"):
        text = (ROOT / "deploy" / name).read_text()
        assert "requirements-test" not in text, name
        installs = [line for line in text.splitlines() if re.search(r"bin/pip (install|wheel) ", line)]
        assert len(installs) >= 3
        for line in installs:
            assert "--no-deps" in line, line
            assert re.search(r"--require-hashes -r|--no-build-isolation|--no-index", line), line

"""The lock files: one for production, and one each for what tests, Ray and Kubernetes need in addition."""

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
    """The versions of each package in a lock; a package may have several, for different versions of Python."""
    found = defaultdict(set)
    for line in lock_text(name).splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.split(" --hash")[0])
            found[canonicalize_name(requirement.name)].add(next(iter(requirement.specifier)).version)
    return found


RUNTIME = locked("requirements.lock")


@pytest.mark.parametrize("name", ["requirements.lock", *(f"requirements-{extra}.lock" for extra in BEYOND)])
def test_every_package_has_its_hashes(name: str) -> None:
    """Every package in a lock has a hash."""
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
def test_a_lock_meets_the_projects_requirements(name: str, asked: list[str]) -> None:
    """Each requirement is in its own lock or in the production lock, at a version within its bounds."""
    versions = RUNTIME | locked(name)

    for wanted in map(Requirement, asked):
        found = versions[canonicalize_name(wanted.name)]
        assert found, wanted
        assert all(wanted.specifier.contains(version) for version in found), wanted


def test_torch_before_2_8_is_not_allowed() -> None:
    """`torch.bmm` on a GPU gives fp32 for bf16 matrices only since torch 2.8; torchvision follows torch's versions."""
    bounds = {wanted.name: wanted.specifier for wanted in map(Requirement, PROJECT["project"]["dependencies"])}

    assert not bounds["torch"].contains("2.7.1")
    assert not bounds["torchvision"].contains("0.22.1")


def test_typer_before_0_19_is_not_allowed() -> None:
    """No command starts with an earlier one, which knows no options of type Literal."""
    (specifier,) = (
        wanted.specifier for wanted in map(Requirement, PROJECT["project"]["dependencies"]) if wanted.name == "typer"
    )

    assert not specifier.contains("0.18.0")


@pytest.mark.parametrize("extra", BEYOND)
def test_production_and_an_extra_lock_no_package_in_common(extra: str) -> None:
    """No package is both in the production lock and in an extra's; the extra's own packages are in one of them."""
    more = locked(f"requirements-{extra}.lock")

    assert set(RUNTIME) & set(more) == set()
    assert {canonicalize_name(Requirement(one).name) for one in EXTRAS[extra]} - set(RUNTIME) <= set(more)


def test_the_locks_agree() -> None:
    """A package in two of the extras' locks has the same version in both, so that both can be installed."""
    for one, other in combinations((locked(f"requirements-{extra}.lock") for extra in BEYOND), 2):
        shared = one.keys() & other.keys()
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_one_command_makes_the_locks() -> None:
    """`deploy/lock` is executable, and the header of each lock names it as the command that wrote the lock."""
    assert (ROOT / "deploy" / "lock").stat().st_mode & 0o111
    for path in (ROOT / "deploy").glob("*.lock"):
        assert re.match(r"# [^\n]+\n#    deploy/lock\n", path.read_text()), path


def test_production_installs_locked_packages_only() -> None:
    """No production instruction installs the packages for tests, or a package without a hash that is not local."""
    for name in ("Dockerfile", "RUNBOOK.md"):
        text = (ROOT / "deploy" / name).read_text()
        assert "requirements-test" not in text, name
        installs = [line for line in text.splitlines() if re.search(r"bin/pip (install|wheel) ", line)]
        assert len(installs) >= 3
        for line in installs:
            assert "--no-deps" in line, line
            assert re.search(r"--require-hashes -r|--no-build-isolation|--no-index", line), line

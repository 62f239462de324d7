"""The container image: built, and run with a read-only root, without capabilities, and as any user.

NST_TEST_CUDA_IMAGE names the base image on which it is built; deploy/README.md makes one from Debian's packages.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.service.containers import Container, build, open_folder, run, started
from tests.service.service_tools import PASSWORD, ROOT, wait_for, write_image, write_manifest

BASE = os.environ.get("NST_TEST_CUDA_IMAGE", "")
WHY_NOT = "needs podman, and in NST_TEST_CUDA_IMAGE the name of a base image"

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not BASE or shutil.which("podman") is None, reason=WHY_NOT),
    pytest.mark.timeout(2400),
]

SERVICE = {
    "PREFECT_API_URL": "http://127.0.0.1:4200/api",
    "PREFECT_API_AUTH_STRING": PASSWORD,
    "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
    "NST_LIMITS": "/srv/nst/data/limits.toml",
}
SETTINGS = "--env-file=deploy/service.env.example"
HEALTHY = ("python", "/app/deploy/healthy.py")


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Build the image."""
    build(BASE)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The service's data: a manifest of one small pair, and limits that allow this folder alone."""
    folder = open_folder(tmp_path / "data")
    for number, name in enumerate(("style", "a")):
        write_image(folder / f"{name}.png", number)
    write_manifest(folder / "mine.csv", ["a"])
    (folder / "limits.toml").write_text('read = ["/srv/nst/data"]\nwrite = ["/srv/nst/data"]\n')
    return folder


def home_with(data: Path) -> tuple[str, ...]:
    """Return the flags that mount a volume for the home, as in compose.yaml, and the data in it."""
    return ("--volume=/srv/nst", f"--volume={data}:/srv/nst/data")


def test_the_image_has_no_packages_of_the_tests() -> None:
    """The image has its user and the packages of the runtime lock, and none that only the tests need."""
    listed = run("pip", "list", "--format=freeze").stdout.lower()
    test_lock = (ROOT / "deploy" / "requirements-test.lock").read_text()
    tests_alone = {line.split("==")[0].split("[")[0] for line in test_lock.splitlines() if line[:1].isalpha()}
    inside = {line.split("==")[0] for line in listed.splitlines()}

    assert run("id", "-u").stdout == "10001\n"
    assert {"bulk-style-transfer", "prefect", "torch", "s3fs"} <= inside
    assert inside & tests_alone == set()


@pytest.mark.parametrize("user", ["the image's", "4242:0", "4242:4242"])
def test_a_pair_is_stylized(user: str, tmp_path: Path) -> None:
    """A pair of the quickstart is stylized as the image's own user and as any other user."""
    out = open_folder(tmp_path / "out")
    flags = ("--tmpfs=/tmp", f"--volume={ROOT / 'manifests'}:/manifests:ro", f"--volume={out}:/out")
    flags += () if user == "the image's" else (f"--user={user}",)
    command = ("nst", "run", "/manifests/quickstart.csv", "--output", "/out/made", "--only", "coffee-marbling")
    outcome = run(*command, flags=flags)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    (made,) = (out / "made" / "images").iterdir()
    assert Image.open(made).size == (320, 213)


@pytest.mark.parametrize("home", ["", "/nonexistent"])
def test_no_home_is_needed(home: str, tmp_path: Path) -> None:
    """A run succeeds as a user without an entry and without a home, in a working folder that cannot be written."""
    out = open_folder(tmp_path / "out")
    flags = ("--tmpfs=/tmp", "--user=4242:4242", "--passwd=false", f"--env=HOME={home}", "--workdir=/usr")
    mounts = (f"--volume={ROOT / 'manifests'}:/manifests:ro", f"--volume={out}:/out")
    command = ("nst", "run", "/manifests/quickstart.csv", "--output", "/out/made", "--backbone", "stub")
    outcome = run(*command, flags=flags + mounts)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert len(list((out / "made" / "images").iterdir())) == 6


def test_one_container_runs_the_service(data: Path) -> None:
    """`nst serve` starts with its automations and pages, and runs what `nst submit` submits."""
    settings = {name: value for name, value in SERVICE.items() if not name.startswith("PREFECT_API")}
    with started("nst", "serve", environment=settings, flags=home_with(data)) as service:
        wait_for("all are served", lambda: "inbox/inbox" in service.log(), 180)
        submitted = service.run("nst", "submit", "data/mine.csv", "--output", "data/mine", "--wait")
        assigned = [f"{name}={value}" for name, value in SERVICE.items()]
        automations = service.run("env", *assigned, "prefect", "automation", "ls")

        assert submitted.returncode == 0, submitted.stdout + submitted.stderr
        assert (data / "mine" / "_SUCCESS").exists()
        assert "nst-dead-runs" in automations.stdout
        assert service.run(*HEALTHY, "4200", "/").returncode == 0  # the pages for the browser


@pytest.fixture
def server(data: Path) -> Iterator[Container]:
    """The server of compose.yaml, without Postgres."""
    command = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", "4200")
    with started(*command, environment=SERVICE, flags=(SETTINGS, *home_with(data))) as server:
        wait_for("the server is healthy", lambda: server.run(*HEALTHY, "4200", "/api/ready").returncode == 0, 180)
        yield server


def test_workers_are_healthy_and_do_runs(server: Container, data: Path) -> None:
    """The runbook's steps for Docker work: pools, deployments, automations, and a run by the image's worker."""
    for pool in ("nst-gpu", "nst-light"):
        made = server.run("prefect", "work-pool", "create", pool, "--type", "process")
        assert made.returncode == 0, made.stderr
    deploy = ("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml")
    automate = ("prefect", "automation", "create", "--from-file", "deploy/automations.yaml")
    for command in (deploy, automate):
        done = server.run(*command, folder="/app")
        assert done.returncode == 0, done.stdout + done.stderr

    sharing = f"container:{server.name}"
    with started(environment=SERVICE, flags=(SETTINGS, *home_with(data)), network=sharing) as worker:
        wait_for("the worker is healthy", worker.is_healthy, 120)
        proxied = worker.run("env", "http_proxy=http://127.0.0.1:9", *HEALTHY, "8080", "/health")
        submitted = worker.run("nst", "submit", "data/mine.csv", "--output", "data/mine", "--wait")

        assert proxied.returncode == 0, proxied.stderr
        assert submitted.returncode == 0, submitted.stdout + submitted.stderr + worker.log()
        assert (data / "mine" / "_SUCCESS").exists()
        assert server.run(*HEALTHY, "4200", "/").returncode == 0  # the pages for the browser

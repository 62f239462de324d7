"""The container image, built as deploy/README.md says, and containers of it, with as few rights as a cluster gives."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/nst-tested"
NARROW = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
"""The restrictions of compose.yaml and of the Kubernetes job."""


def podman(*arguments: str | Path, seconds: float = 1200) -> subprocess.CompletedProcess[str]:
    command = ["podman", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


def build(base: str) -> None:
    """Build the image on a base image; podman takes unchanged layers from its cache."""
    built = podman(
        *("build", "--format=docker", "--layers", f"--build-arg=CUDA_IMAGE={base}"),
        *("--file=deploy/Dockerfile", f"--tag={IMAGE}", "."),
        seconds=1800,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-4000:]


def run(*command: str | Path, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command in a new container without a network, which is removed when the command ends."""
    return podman("run", "--rm", "--network=none", *NARROW, *flags, IMAGE, *command)


class Container:
    """A running container, in which commands can be run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *command: str, folder: str = "/srv/nst") -> subprocess.CompletedProcess[str]:
        return podman("exec", "--workdir", folder, self.name, *command)

    def log(self) -> str:
        logged = podman("logs", self.name)
        return logged.stdout + logged.stderr

    def is_healthy(self) -> bool:
        """Run the image's own health check."""
        return podman("healthcheck", "run", self.name).returncode == 0


@contextmanager
def started(
    *command: str, environment: Mapping[str, str], flags: tuple[str, ...] = (), network: str = "none"
) -> Iterator[Container]:
    """Run a container while the block runs; without a command, it runs the default one of the image."""
    given = [f"--env={name}={value}" for name, value in environment.items()]
    begun = podman("run", "--detach", f"--network={network}", *NARROW, *given, *flags, IMAGE, *command)
    assert begun.returncode == 0, begun.stderr
    container = Container(begun.stdout.strip())
    try:
        yield container
    except Exception as error:
        error.add_note(container.log()[-4000:])
        raise
    finally:
        podman("rm", "--force", "--volumes", "--time=10", container.name)


def open_folder(path: Path) -> Path:
    """Create a folder to which any user of a container may write."""
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o777)
    return path

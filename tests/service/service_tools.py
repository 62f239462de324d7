"""Helpers of the tests of the service: images, manifests, processes, ports, and requests to the API."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.real_run import children_of

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "nst:a-password-of-the-test"
Command = Callable[..., subprocess.CompletedProcess[str]]
OPTIONS = "size_px,steps"
TINY = "48,3"


def write_image(path: Path, seed: int) -> None:
    """Write an image of 64 x 64 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC).save(path)


def write_manifest(path: Path, contents: list[str]) -> None:
    """Write a manifest with a row for each content image, which is in the same folder as `style.png`."""
    rows = [f"{name},{name}.png,style.png,{TINY}" for name in contents]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"id,content,style,{OPTIONS}", *rows, ""]))


def ask(api: str, path: str, body: dict[str, Any], password: str | None = PASSWORD) -> Any:
    """Post a request to the API and return its answer."""
    headers = {"Content-Type": "application/json"}
    if password is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    request = urllib.request.Request(f"{api}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, is_so: Callable[[], object], seconds: float) -> None:
    """Wait until something is true; fail after so many seconds."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(0.3)


def is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def command(program: list[str], environment: dict[str, str], folder: Path) -> Command:
    """Return a function that runs a program with arguments, and with further variables in its environment."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *map(str, arguments)],
            cwd=folder,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process; kill it if it does not end within 20 s."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_all(process_id: int) -> None:
    """Kill a process and all its descendants with SIGKILL, as if its machine were gone."""
    for child in children_of(process_id):
        kill_all(child)
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)

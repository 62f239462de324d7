"""What the tests of the service start and ask: processes, ports, health."""

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


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC).save(path)


def write_manifest(path: Path, contents: list[str]) -> None:
    rows = [f"{name},{name}.png,style.png,{TINY}" for name in contents]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"id,content,style,{OPTIONS}", *rows, ""]))


def ask(api: str, path: str, body: dict[str, Any], password: str | None = PASSWORD) -> Any:
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
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_all(process_id: int) -> None:
    """Kill -9 of a process and of all that it has started, as when its machine is gone."""
    for child in children_of(process_id):
        kill_all(child)
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)

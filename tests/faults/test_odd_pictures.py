"""Files that are not images, or that cost the decoder much time or memory, through the command."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import odd_pictures as odd
from tests.faults.real_run import RealRun, children_of, finished, rows, started, workers_of

Survived = Callable[[str, str], None]


def run_of(folder: Path, images: dict[str, bytes | str], **changes: object) -> RealRun:
    """Return a run with a pair for every file, or link to something else, and with valid images among them."""
    inputs = folder / "in"
    inputs.mkdir()
    (inputs / "s.png").write_bytes(odd.save(odd.noise(), "PNG"))
    lines = []
    for number, (name, content) in enumerate(images.items()):
        path = inputs / f"{number}.png"
        if isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
        lines.append(f"{number}-{''.join(letter if letter.isalnum() else '-' for letter in name)},{path.name},s.png\n")
        if number % 10 == 0:
            (inputs / f"plain-{number}.png").write_bytes(odd.save(odd.noise(), "PNG"))
            lines.append(f"plain-{number},plain-{number}.png,s.png\n")
    manifest = inputs / "pairs.csv"
    manifest.write_text("id,content,style\n" + "".join(lines))
    return RealRun(str(manifest), str(folder / "out"), folder, **changes)  # type: ignore[arg-type]


def outcomes(run: RealRun, *, most_seconds: float) -> dict[str, str]:
    """Run the command and return pair id -> `succeeded` or kind of error; there must be no traceback."""
    began = time.monotonic()
    done = finished(run)
    assert time.monotonic() - began < most_seconds
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return judged(run)


def judged(run: RealRun) -> dict[str, str]:
    """Return the same of a finished run: every pair succeeded or is a bad image, and the valid images succeeded."""
    found = {pair_id: kind or status for pair_id, (status, kind) in rows(run).items()}
    assert set(found.values()) == {"succeeded", "bad_image"}
    assert {kind for pair_id, kind in found.items() if pair_id.startswith("plain")} == {"succeeded"}
    return found


def figures(found: dict[str, str]) -> str:
    counted = Counter(found.values())
    return f"{counted['succeeded']} taken, {counted['bad_image']} refused"


@pytest.mark.parametrize("runner", ["local", "inline"])
def test_damaged_files_succeed_or_are_bad_images(tmp_path: Path, survived: Survived, runner: str) -> None:
    """Files that are truncated, damaged or misnamed succeed or are bad images; the pairs between them succeed."""
    images: dict[str, bytes | str] = {**odd.disguised(), **dict(odd.damaged(seed=3, each=15))}
    run = run_of(tmp_path, images, more=("--runner", runner))

    survived("odd", f"{figures(outcomes(run, most_seconds=240))} ({runner})")


def test_pipes_devices_and_folders_are_bad_images(tmp_path: Path, survived: Survived) -> None:
    """Pipes, devices, sockets, folders and files of the kernel are bad images, without delay."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(40 << 30)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
    names = ["/dev/zero", "/dev/null", "/dev/random", "/dev/kmsg", "/dev/tty", "/proc/kmsg", "/proc/self/mem"]
    names += [str(tmp_path / name) for name in ("pipe", "folder", "sparse", "socket")]

    found = outcomes(run_of(tmp_path, {name: name for name in names}), most_seconds=60)

    assert Counter(found.values())["bad_image"] == len(names)
    survived("no files", figures(found))


def test_costly_images_do_not_delay_a_run(tmp_path: Path, survived: Survived) -> None:
    """Images that could take minutes or gigabytes succeed or are bad images, all within 200 s; the others succeed."""
    began = time.monotonic()

    found = outcomes(run_of(tmp_path, {kind: make() for kind, make in odd.COSTLY.items()}), most_seconds=200)

    survived("costly", f"{figures(found)}, {time.monotonic() - began:.0f} s")


def test_killed_decoders_cost_no_pair(tmp_path: Path, survived: Survived) -> None:
    """SIGKILL of the decoding processes, every five seconds of a run, costs no pair."""
    large = odd.save(odd.noise((2000, 1500)), "PNG")
    images: dict[str, bytes | str] = {**{f"image {number}": large for number in range(80)}, "empty": b""}
    run, kills = run_of(tmp_path, images, stub="seconds=0.1"), 0

    with started(run) as process:
        while process.poll() is None:
            decoders = [child for worker in workers_of(process.pid) for child in children_of(worker)]
            for decoder in decoders:
                os.kill(decoder, signal.SIGKILL)
            kills += len(decoders)
            time.sleep(5)
    found = judged(run)

    assert kills > 0
    assert Counter(found.values())["bad_image"] == 1
    survived("decoders", f"{kills} kills, {figures(found)}")

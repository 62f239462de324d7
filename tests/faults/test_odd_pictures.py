"""What is handed in as a picture and is none, or is made to hold whoever opens it, through the real command."""

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


def run_of(folder: Path, pictures: dict[str, bytes | str], **changes: object) -> RealRun:
    """A run of a pair for every picture, which is a file or a link to something else, with plain ones among them."""
    inputs = folder / "in"
    inputs.mkdir()
    (inputs / "s.png").write_bytes(odd.save(odd.noise(), "PNG"))
    lines = []
    for number, (name, content) in enumerate(pictures.items()):
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
    """Pair id -> `succeeded` or the kind of its error, of a whole run that had a word for everything."""
    began = time.monotonic()
    done = finished(run)
    assert time.monotonic() - began < most_seconds
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return judged(run)


def judged(run: RealRun) -> dict[str, str]:
    """The same of a run that has ended: every pair is taken or a bad image, and the plain ones are taken."""
    found = {pair_id: kind or status for pair_id, (status, kind) in rows(run).items()}
    assert set(found.values()) == {"succeeded", "bad_image"}
    assert {kind for pair_id, kind in found.items() if pair_id.startswith("plain")} == {"succeeded"}
    return found


def figures(found: dict[str, str]) -> str:
    counted = Counter(found.values())
    return f"{counted['succeeded']} taken, {counted['bad_image']} refused"


@pytest.mark.parametrize("runner", ["local", "inline"])
def test_hundreds_of_odd_files(tmp_path: Path, survived: Survived, runner: str) -> None:
    """Truncated, bits wrong, disguised: each is taken or is a bad image; its neighbours never notice."""
    pictures: dict[str, bytes | str] = {**odd.disguised(), **dict(odd.damaged(seed=3, each=15))}
    run = run_of(tmp_path, pictures, more=("--runner", runner))

    survived("odd", f"{figures(outcomes(run, most_seconds=240))} ({runner})")


def test_what_is_no_file(tmp_path: Path, survived: Survived) -> None:
    """Pipes, devices, sockets, folders and what the kernel makes up as it is read: a bad image each, at once."""
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


def test_pictures_that_cost_time_or_memory(tmp_path: Path, survived: Survived) -> None:
    """What took minutes or gigabytes each is taken or a bad image, all in the time of a few; the others are taken."""
    began = time.monotonic()

    found = outcomes(run_of(tmp_path, {kind: make() for kind, make in odd.COSTLY.items()}), most_seconds=200)

    survived("costly", f"{figures(found)}, {time.monotonic() - began:.0f} s")


def test_decoders_that_are_killed(tmp_path: Path, survived: Survived) -> None:
    """Kill -9 of the decoding processes, every few seconds of a run, costs no pair."""
    large = odd.save(odd.noise((2000, 1500)), "PNG")
    pictures: dict[str, bytes | str] = {**{f"picture {number}": large for number in range(80)}, "empty": b""}
    run, kills = run_of(tmp_path, pictures, stub="seconds=0.1"), 0

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

"""Whole runs on the file systems of disks, memory sticks, networks and user space.

Each test needs the right to mount and its own programs, and is skipped without them.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import storage
from flows.output.garbage import find_garbage
from tests.faults.stub_run import StubRun, finished, made, start, wait_until_made
from tests.faults.workload import check, check_complete, prepared

Survived = Callable[[str, str], None]
PAIRS = 40

OF_A_FILE = {
    "ext4": "mkfs.ext4 -q -F {image}; mount -o loop {image} {at}",
    "xfs": "mkfs.xfs -q -f {image}; mount -o loop {image} {at}",
    "btrfs": "mkfs.btrfs -q -f {image}; mount -o loop {image} {at}",
    "ntfs": "mkfs.ntfs -q -F -f {image} && ntfs-3g {image} {at}",
    "exfat": "mkfs.exfat {image} && mount.exfat-fuse $(losetup -f --show {image}) {at}",
    "overlay": "mount -t tmpfs t {folder}/layers && mkdir {folder}/layers/a {folder}/layers/b {folder}/layers/c && "
    "mount -t overlay -o lowerdir={folder}/layers/a,upperdir={folder}/layers/b,workdir={folder}/layers/c o {at}",
    "tmpfs": "mount -t tmpfs t {at}",
    "bindfs": "bindfs {folder}/layers {at}",
    "mergerfs": "mergerfs {folder}/layers:{folder} {at}",
    "no inodes": "mount -t tmpfs -o nr_inodes=40 t {at}",
    "full": "mount -t tmpfs -o size=400k t {at}",
}
"""The shell command that creates and mounts each file system."""
WHOLE = [name for name in OF_A_FILE if name not in ("no inodes", "full")]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts the file system of a name."""
    at, image = tmp_path / "at", tmp_path / "image"

    def mount(name: str) -> Path:
        at.mkdir()
        (tmp_path / "layers").mkdir()
        with image.open("wb") as file:
            file.truncate(400_000_000)  # sparse
        command = OF_A_FILE[name].format(image=image, at=at, folder=tmp_path)
        done = subprocess.run(["sh", "-c", f"set -e; {command}"], capture_output=True, text=True, check=False)
        if not os.path.ismount(at):
            pytest.skip(f"cannot be mounted here: {done.stderr.strip() or name}"[:200])
        return at

    yield mount
    subprocess.run(["umount", str(at)], check=False, capture_output=True)
    subprocess.run(["umount", str(tmp_path / "layers")], check=False, capture_output=True)
    loops = subprocess.run(
        ["losetup", "-n", "-O", "NAME", "-j", str(image)], check=False, capture_output=True, text=True
    )
    for loop in loops.stdout.split():
        subprocess.run(["losetup", "-d", loop], check=False)
    shutil.rmtree(tmp_path / "layers", ignore_errors=True)


@pytest.mark.parametrize("name", WHOLE)
def test_a_run_survives_kills_on_each_file_system(
    name: str, mounted: Callable[[str], Path], tmp_path: Path, survived: Survived
) -> None:
    """A run is killed twice, and refused while another runs; in the end every pair succeeded and has one record."""
    run = prepared(str(mounted(name)), str(tmp_path), PAIRS, seconds=0.05)
    for number in (5, 20):
        killed = start(run)
        wait_until_made(run, number, killed)
        killed.kill()
        killed.join()
        check(run)
    last = start(run)
    wait_until_made(run, 25, last)
    busy = finished(run)
    last.join(120)

    assert (busy, last.exitcode) == (75, 0)
    check_complete(run, PAIRS)
    litter = find_garbage(run.output, -60)
    assert all(one.reason == "a file whose writer died" for one in litter)
    limits = [line for line in Path(f"{run.log}.txt").read_text().splitlines() if "has its limits" in line]
    survived("FS", f"{name}: made {len(made(run))}, {len(litter)} files of litter, {len(limits)} lines of limits")


@pytest.mark.parametrize("name", ["full", "no inodes"])
def test_a_run_on_a_full_disk_ends_and_continues_later(
    name: str, mounted: Callable[[str], Path], tmp_path: Path, survived: Survived
) -> None:
    """A full disk ends a run with exit code 4 and advice, without partial files; with space again it is completed."""
    place = mounted(name)
    run = _into(place, prepared(str(tmp_path), str(tmp_path), 60))
    code = finished(run)
    said = Path(f"{run.log}.txt").read_text()
    kept = check(run)
    assert "_SUCCESS" not in storage.names(run.output)
    subprocess.run(["mount", "-o", "remount,size=100m,nr_inodes=10000", str(place)], check=True)

    assert code == 4
    assert "No space left on device; make room there, of bytes or of inodes" in said.splitlines()[-1]
    assert finished(run) == 0
    check_complete(run, 60)
    survived("F22", f"{name}: exit 4, {kept} kept, then 60/60")


def test_a_read_only_disk_ends_a_run_that_continues_later(
    mounted: Callable[[str], Path], tmp_path: Path, survived: Survived
) -> None:
    """A disk that becomes read-only, as after an error, ends a run with exit code 4 and one line; nothing is lost."""
    place = mounted("tmpfs")
    run = _into(place, prepared(str(tmp_path), str(tmp_path), PAIRS, seconds=0.1))
    process = start(run)
    wait_until_made(run, 5, process)
    deadline = time.monotonic() + 30
    while subprocess.run(["mount", "-o", "remount,ro", str(place)], check=False, capture_output=True).returncode != 0:
        assert time.monotonic() < deadline  # busy, while a file is open for writing
    process.join(120)
    kept = check(run)
    said = Path(f"{run.log}.txt").read_text().splitlines()[-1]
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)

    assert process.exitcode == 4
    assert "Read-only file system; it is mounted for reading alone" in said
    assert finished(run) == 0
    check_complete(run, PAIRS)
    survived("FS", f"read-only: exit 4, {kept} kept, then {PAIRS}/{PAIRS}")


def _into(place: Path, run: StubRun) -> StubRun:
    """Return the run with its output in another place than its images."""
    return StubRun(run.manifest, storage.join(str(place), "out"), run.log, seconds=run.seconds)

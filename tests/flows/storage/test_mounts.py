"""flows.storage.mounts: file systems that refuse links, locks, fsync or renames, and those that fail.

A library between Python and the system refuses the calls that a test names, below the test's own folder.
"""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import storage
from flows.errors import StorageError, Unavailable
from flows.storage import mounts
from tests.flows import refusing_file_system

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library that refuses calls."""
    return refusing_file_system.built_in(tmp_path_factory.mktemp("refusing"))


@pytest.fixture
def python(library: Path, tmp_path: Path) -> Python:
    """Return a function that runs code, whose `folder` refuses calls as its environment, which it may change, says."""

    def run(code: str, **refused: int) -> "subprocess.CompletedProcess[str]":
        numbers = {f"REFUSE_{name.upper()}": str(number) for name, number in refused.items()}
        environment = os.environ | numbers | {"LD_PRELOAD": str(library), "REFUSE_BELOW": str(tmp_path)}
        opening = f"import errno, os, sys, threading\nfrom flows import storage\nfolder = {str(tmp_path)!r}\n"
        command = [sys.executable, "-c", opening + textwrap.dedent(code)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)

    return run


RACE = """
import time
replace = os.replace

def slowly(*arguments, **folders):
    time.sleep(0.02)  # so that all who looked before the first has moved its file would move theirs too
    replace(*arguments, **folders)

os.replace = slowly

def create(folder, number):
    barrier.wait()
    if storage.create(f"{folder}/a.txt", b"%d" % number):
        winners.append(b"%d" % number)

for case in CASES:
    os.environ |= {f"REFUSE_{name}": str(getattr(errno, code)) for name, code in case.items()}
    place = f"{folder}/{'-'.join(case.values())}"
    barrier, winners = threading.Barrier(8), []
    threads = [threading.Thread(target=create, args=(place, number)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert winners == [storage.read(f"{place}/a.txt")], (case, winners)
    assert os.listdir(place) == ["a.txt"], (case, os.listdir(place))
    data, version = storage.read_with_version(f"{place}/a.txt")
    assert storage.swap(f"{place}/a.txt", version, b"swapped")
    assert not storage.swap(f"{place}/a.txt", version, b"too late")
    assert storage.create(f"{place}/a.txt", b"too late") is False
    assert storage.read(f"{place}/a.txt") == b"swapped"
    print("fine")
"""


@pytest.mark.parametrize(
    ("cases", "promised"),
    [
        ([{"LINK": code} for code in ("EPERM", "EACCES", "EXDEV", "EINVAL", "ENOSYS", "ENOTSUP", "EMLINK")], []),
        ([{"LINK": "EPERM", "RENAME2": code} for code in ("EINVAL", "ENOSYS")], [mounts.NO_EXCLUSIVE]),
        (
            [{"LINK": "EPERM", "RENAME2": "EINVAL", "FLOCK": code} for code in ("ENOSYS", "ENOLCK", "ENOTSUP")],
            [mounts.NO_EXCLUSIVE, mounts.NO_LOCKS],
        ),
        ([{"FSYNC": code} for code in ("EINVAL", "ENOSYS", "EBADF", "ENOTSUP")], [mounts.NO_FLUSH]),
    ],
    ids=["no links", "no exclusive renames either", "no locks either", "no fsync"],
)
def test_each_missing_operation_has_a_fallback(
    python: Python, cases: list[dict[str, str]], promised: list[str]
) -> None:
    """One of eight writers wins, the file is whole, no other file is left, and `shortfalls` has the weaker promises."""
    ended = python(f"CASES = {cases}\n{RACE}\nprint(storage.shortfalls(folder))")

    assert ended.stdout.splitlines() == ["fine"] * len(cases) + [str(sorted(promised))], ended.stderr


@pytest.mark.parametrize("call", ["fsync", "link", "flock", "replace"])
@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("EIO", "the disk, or the way to it, is faulty"),
        ("ENOSPC", "make room there, of bytes or of inodes"),
        ("EDQUOT", "the quota of this user or folder is used up"),
        ("EROFS", "it is mounted for reading alone"),
        ("ESTALE", "its server no longer knows the folder"),
    ],
)
def test_a_failing_disk_is_an_error_and_has_no_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: str, hint: str
) -> None:
    """A faulty or full disk raises an error with advice in one sentence, and nothing of the write remains."""
    address = str(tmp_path / "a.txt")
    storage.create(address, b"old")
    version = storage.read_with_version(address)[1]

    def fail(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(fcntl if call == "flock" else os, call, fail)
    act = (storage.create, str(tmp_path / "b.txt")) if call == "link" else (storage.swap, address, version)
    with pytest.raises(StorageError) as caught:
        act[0](*act[1:], b"new")

    assert caught.value.retryable
    assert f"{os.strerror(getattr(errno, code))}; {hint}" in str(caught.value)
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"old"


HOLDS_THE_LOCK = """
import os, sys
from flows.storage import mounts
folder = os.open(sys.argv[1], os.O_RDONLY)
with mounts.locked(folder):
    print("locked", flush=True)
    input()
"""


@contextmanager
def held_by_a_stopped_process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Have a process hold the lock of a folder and be stopped; it releases the lock when it goes on."""
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "locked\n"
            process.send_signal(signal.SIGSTOP)
            process.stdin.write("release\n")
            process.stdin.flush()
            yield process
        finally:
            process.send_signal(signal.SIGCONT)


def test_a_lock_that_a_stopped_process_holds_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A swap does not wait for the holder without limit: the error names the file, the possible cause and the remedy.

    The file is as it was.
    """
    monkeypatch.setattr(mounts, "LOCK_SECONDS", 0.2)
    address = str(tmp_path / "lease.json")
    storage.create(address, b"old")
    version = storage.read_with_version(address)[1]

    expected = r"lease\.json: expected its folder's lock .* may be stopped .*; continue or end that one"
    with held_by_a_stopped_process(tmp_path), pytest.raises(Unavailable, match=expected):
        storage.swap(address, version, b"new")
    assert (tmp_path / "lease.json").read_bytes() == b"old"


def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the holder goes on and releases the lock, a swap that waits for it succeeds."""
    address = str(tmp_path / "lease.json")
    storage.create(address, b"old")
    version = storage.read_with_version(address)[1]
    flock, tries = fcntl.flock, []

    def counted(descriptor: int, operation: int) -> None:
        tries.append(operation)
        if len(tries) == 3:
            process.send_signal(signal.SIGCONT)
            process.wait(60)
        flock(descriptor, operation)

    with held_by_a_stopped_process(tmp_path) as process:
        monkeypatch.setattr(fcntl, "flock", counted)
        assert storage.swap(address, version, b"new") is True
    assert len(tries) == 3


def test_an_interruption_ends_the_wait_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run is being interrupted, it waits for a lock for `HURRIED_SECONDS` at most."""
    address = str(tmp_path / "lease.json")
    storage.create(address, b"old")
    version = storage.read_with_version(address)[1]

    monkeypatch.setattr("flows.storage.retries.HURRIED_SECONDS", 0.1)
    monkeypatch.setattr(mounts, "LOCK_SECONDS", 3600.0)

    with (
        held_by_a_stopped_process(tmp_path),
        storage.hurried(KeyboardInterrupt()),
        pytest.raises(Unavailable, match="held by another process"),
    ):
        storage.swap(address, version, b"new")


def test_replacing_an_open_file_is_retried_until_it_is_closed(python: Python, tmp_path: Path) -> None:
    """SMB refuses to rename over an open file until it is closed, so the rename is retried for some seconds."""
    ended = python("storage.replace(f'{folder}/a.txt', b'new')", rename=errno.EBUSY, times=3)

    assert (ended.returncode, (tmp_path / "a.txt").read_bytes()) == (0, b"new"), ended.stderr


def test_a_file_system_that_cannot_rename_is_refused(python: Python, tmp_path: Path) -> None:
    """Without renames no file can be written atomically: the error advises another output, and no file is left."""
    ended = python("storage.replace(f'{folder}/a.txt', b'new')", rename=errno.ENOSYS)

    assert "this file system cannot do what a run needs: choose an output on another one" in ended.stderr
    assert os.listdir(tmp_path) == []


def test_a_link_whose_response_was_lost_counts_as_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS may link a file, lose the response and refuse the repeated call: `create` still returns True."""
    link = os.link

    def twice(*arguments: str, **folders: int) -> None:
        link(*arguments, **folders)
        link(*arguments, **folders)

    monkeypatch.setattr(os, "link", twice)

    assert storage.create(str(tmp_path / "a.txt"), b"data") is True
    assert storage.create(str(tmp_path / "a.txt"), b"data") is False
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_writer_killed_without_links_leaves_the_whole_file_or_none(python: Python, tmp_path: Path) -> None:
    """A writer killed before its last step has created no file, and its lock is released, so that another can write."""
    refused = {"link": errno.EPERM, "rename2": errno.EINVAL}
    killed = python(
        """
        import signal
        os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        storage.create(f"{folder}/a.txt", b"half done")
        """,
        **refused,
    )
    left = [name for name in os.listdir(tmp_path) if not name.startswith(".tmp-")]
    after = python("print(storage.create(f'{folder}/a.txt', b'whole'), storage.names(folder))", **refused)

    assert (killed.returncode, left) == (-signal.SIGKILL, [])
    assert after.stdout == "True ['a.txt']\n", after.stderr


def test_a_file_system_that_does_everything_has_no_shortfalls(tmp_path: Path) -> None:
    """There are no shortfalls for a disk that refused nothing, for S3 before any probe, and for a missing folder."""
    storage.create(str(tmp_path / "a.txt"), b"data")

    assert storage.shortfalls(str(tmp_path)) == []
    assert storage.shortfalls("s3://bucket/out") == []
    assert storage.shortfalls(str(tmp_path / "none")) == []

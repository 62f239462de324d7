"""flows.storage.local: crashes, unusual files, full disks and permissions."""

import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import storage
from flows.errors import Forbidden, NotAFile, NotAllowed, NotFound, StorageError, TooLarge
from flows.storage.files import ABANDONED_SECONDS

NOBODY = 65534


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python process with this code."""
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block without root's right to read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except PermissionError:
        pytest.skip("root that cannot become anybody else")
    try:
        yield
    finally:
        os.seteuid(0)


def test_creating_the_same_bytes_again_is_still_false(tmp_path: Path) -> None:
    """`create` returns whether it made the file, whatever the file's bytes are."""
    address = str(tmp_path / "a.txt")
    storage.create(address, b"same")

    assert storage.create(address, b"same") is False


def test_the_identity_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    """A copy with another name and time has the identity of the original."""
    first, copy = tmp_path / "a.bin", tmp_path / "copy.bin"
    first.write_bytes(b"data" * 100_000)
    copy.write_bytes(first.read_bytes())
    os.utime(copy, (1, 1))

    assert storage.identity(str(first)) == f"sha256:{hashlib.sha256(first.read_bytes()).hexdigest()}"
    assert storage.identity(str(copy)) == storage.identity(str(first))


def test_files_being_written_are_not_listed(tmp_path: Path) -> None:
    """A temporary file of a killed process is not listed; other hidden files are."""
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"whole")

    assert storage.names(str(tmp_path)) == [".hidden"]


def test_writing_leaves_only_the_file(tmp_path: Path) -> None:
    """After `create`, a `create` that returned False, and `replace`, the folder has only the one file."""
    address = str(tmp_path / "a.txt")
    storage.create(address, b"1")
    storage.create(address, b"2")
    storage.replace(address, b"3")

    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_and_its_folder_are_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes are flushed before the file gets its name, and the folder is flushed afterwards."""
    flushed: list[tuple[str, int, bool]] = []
    flush = os.fsync

    def record(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        kind, size = ("folder", 0) if stat.S_ISDIR(facts.st_mode) else ("file", facts.st_size)
        flushed.append((kind, size, (tmp_path / "a.txt").exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    storage.create(str(tmp_path / "a.txt"), b"data")

    assert flushed == [("file", 4, False), ("folder", 0, True)]


def test_a_failed_write_removes_its_temporary_file(tmp_path: Path) -> None:
    """A write that raises an error removes its temporary file."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        storage.replace(str(tmp_path / "folder"), b"data")

    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """If the disk has room for only a part of the new file, the old one stays whole and no temporary file remains."""
    address = tmp_path / "a.txt"
    address.write_bytes(b"old")
    code = (
        "import resource, sys\n"
        "from flows import storage\n"
        "from flows.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "for write in (storage.replace, storage.create):\n"
        "    try:\n"
        "        write(sys.argv[1], bytes(100_000))\n"
        "    except StorageError as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    output, _ = start(code, str(address)).communicate(timeout=30)

    assert output.count(f"Unavailable {address}: File too large") == 2
    assert address.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_crash_before_the_link_leaves_only_a_temporary_file(tmp_path: Path) -> None:
    """A process killed after writing its bytes, but before linking them, created no file; another process can."""
    address = tmp_path / "a.txt"
    code = (
        "import os, signal, sys\n"
        "from flows import storage\n"
        "os.link = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "storage.create(sys.argv[1], b'half done')\n"
    )
    process = start(code, str(address))
    process.communicate(timeout=30)
    left = os.listdir(tmp_path)

    assert process.returncode == -signal.SIGKILL
    assert len(left) == 1 and left[0].startswith(".tmp-")
    assert storage.names(str(tmp_path)) == []
    assert storage.identity(str(address)) is None
    assert storage.create(str(address), b"whole") is True


def test_a_killed_writer_never_leaves_a_part_of_a_file(tmp_path: Path) -> None:
    """Whenever a process that replaces a large file is killed, the file is one of its whole versions."""
    address = tmp_path / "a.bin"
    versions = [bytes([number]) * 3_000_000 for number in (1, 2)]
    code = (
        "import sys\n"
        "from flows import storage\n"
        "while True:\n"
        "    for number in (1, 2):\n"
        "        storage.replace(sys.argv[1], bytes([number]) * 3_000_000)\n"
        "        print(number, flush=True)\n"
    )
    found = []
    for delay in (0.0, 0.003, 0.007):
        process = start(code, str(address))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=30)
        found.append(address.read_bytes())

    assert all(data in versions for data in found)


def test_readers_see_the_old_or_the_new_file_while_it_is_replaced(tmp_path: Path) -> None:
    """While a thread replaces a file, another reads only whole versions and never misses the file."""
    address = str(tmp_path / "a.bin")
    versions = [bytes([number]) * 500_000 for number in (1, 2)]
    storage.create(address, versions[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for version in versions:
                storage.replace(address, version)

    writer = threading.Thread(target=write)
    writer.start()
    seen = [storage.read(address) for _ in range(200)]
    stop.set()
    writer.join()

    assert {data in versions for data in seen} == {True}


def test_a_file_without_permission_is_forbidden(tmp_path: Path) -> None:
    """Reading, listing, writing or removing a file without permission raises Forbidden, not NotFound."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "a.txt").write_bytes(b"secret")
    closed.chmod(0)
    address = str(closed / "a.txt")
    raised = []
    with unprivileged():
        for act in (
            lambda: storage.read(address),
            lambda: storage.identity(address),
            lambda: storage.names(str(closed)),
            lambda: storage.create(address, b"data"),
            lambda: storage.replace(address, b"data"),
            lambda: storage.remove(address),
        ):
            try:
                act()
            except Forbidden as error:
                raised.append(str(error))
    closed.chmod(0o700)

    read = [f"{at}: this user may not read it; change its rights" for at in (address, address, closed)]
    written = f"{address}: this user may not write there; change the folder's rights, or name another place"
    assert raised == [*read, written, written, written]
    assert (closed / "a.txt").read_bytes() == b"secret"


@pytest.mark.parametrize("act", ["read", "replace", "remove"])
def test_a_folder_in_the_place_of_a_file_is_an_error(tmp_path: Path, act: str) -> None:
    """If there is a folder in place of a file, the message says so, and the error is not retryable."""
    arguments = (b"data",) if act == "replace" else ()

    with pytest.raises(StorageError, match=f"{tmp_path}: expected a file, found a folder") as caught:
        getattr(storage, act)(str(tmp_path), *arguments)
    assert not caught.value.retryable


def test_create_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """Creating a file where a folder exists is an error, not "already there": a later read would fail."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(StorageError) as caught:
        storage.create(str(tmp_path / "folder"), b"data")
    assert not caught.value.retryable


@pytest.mark.parametrize("below", ["b.txt", "b/c.txt"])
@pytest.mark.parametrize("act", ["create", "replace"])
def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path, act: str, below: str) -> None:
    """Writing below a file is an error that names the file and is not retryable."""
    (tmp_path / "a").write_bytes(b"data")

    with pytest.raises(StorageError, match=f"^{tmp_path}/a: expected a folder, found a file; name another") as caught:
        getattr(storage, act)(str(tmp_path / "a" / below), b"data")
    assert not caught.value.retryable
    assert (tmp_path / "a").read_bytes() == b"data"


@pytest.mark.parametrize("name", ["file/below.png", "x" * 300, "loop"], ids=["below", "endless", "loop"])
def test_an_address_that_no_file_can_have_has_no_identity(tmp_path: Path, name: str) -> None:
    """The identity is None below a file, for a name that is too long, and for a link to itself."""
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    assert storage.identity(str(tmp_path / name)) is None


def test_a_name_that_is_too_long_is_to_be_shortened(tmp_path: Path) -> None:
    """The message advises to shorten the name, as nothing else helps."""
    with pytest.raises(NotFound, match=r"there cannot be such a file \(File name too long\); shorten the name$"):
        storage.read(str(tmp_path / ("x" * 300)))


def not_files(folder: Path) -> dict[str, str]:
    """Create one of each kind of thing that is not a file; return address -> what messages call it."""
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket.png"))
    kinds = {"pipe.png": "a pipe", "folder.png": "a folder", "link.png": "a device", "socket.png": "a socket"}
    return {str(folder / name): kind for name, kind in kinds.items()} | {"/dev/null": "a device"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("look", [storage.identity, storage.read, storage.read_with_version])
def test_pipes_devices_sockets_and_folders_are_refused_at_once(tmp_path: Path, look: Callable[[str], object]) -> None:
    """Each is refused by name, without waiting for a pipe that nobody writes to, or reading an endless device."""
    for address, kind in not_files(tmp_path).items():
        with pytest.raises(NotAFile) as caught:
            look(address)
        assert str(caught.value) == f"{address}: expected a file, found {kind}"


def test_pipes_devices_sockets_and_folders_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused by their type before they are opened, as opening a device may have an effect."""
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *how: opened.append(how))

    for address in not_files(tmp_path):
        with pytest.raises(NotAFile):
            storage.read(address)

    assert opened == []


@pytest.mark.timeout(20)
def test_a_pipe_that_replaces_a_file_before_opening_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The type is checked again on the open file, so that a pipe that took its place neither blocks nor is read."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file.png").write_bytes(b"data")
    facts = os.stat(tmp_path / "file.png")
    monkeypatch.setattr(os, "stat", lambda *_, **__: facts)

    with pytest.raises(NotAFile, match="found a pipe"):
        storage.read(str(tmp_path / "pipe.png"))


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    """A sparse file of 40 GB is neither read nor hashed; its identity changes with its size and its time."""
    sparse = tmp_path / "sparse.png"
    sparse.touch()
    os.truncate(sparse, 40 << 30)
    began = time.monotonic()

    with pytest.raises(TooLarge, match=r"at most 1000 bytes, found 42949672960$"):
        storage.read(str(sparse), 1000)
    identities = [storage.identity(str(sparse))]
    os.utime(sparse, (1, 1))
    identities.append(storage.identity(str(sparse)))
    os.truncate(sparse, (40 << 30) - 1)
    os.utime(sparse, (1, 1))
    identities.append(storage.identity(str(sparse)))

    assert None not in identities
    assert len(set(identities)) == 3
    assert time.monotonic() - began < 5


def test_a_file_too_large_to_be_hashed_is_fetched_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its identity is the one that it has for a plan, so that it does not count as replaced since."""
    monkeypatch.setattr("flows.storage.local.HASHED_BYTES", 4)
    (tmp_path / "large.png").write_bytes(b"12345")
    found = storage.fetch(str(tmp_path / "large.png"), "")

    assert found.identity == storage.identity(str(tmp_path / "large.png"))
    assert found.identity.startswith("unread:5:")
    assert found.sha256 == hashlib.sha256(b"12345").hexdigest()


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was within the limit when it was opened, and is not any more, is refused, and not cut off there."""
    growing, fstat = tmp_path / "growing.csv", os.fstat
    growing.write_bytes(b"12345")

    def grown(descriptor: int) -> os.stat_result:
        facts = fstat(descriptor)
        with growing.open("ab") as file:
            file.write(b"6789")
        return facts

    monkeypatch.setattr(os, "fstat", grown)

    with pytest.raises(TooLarge, match="expected at most 10 bytes, found more"):
        storage.read(str(growing), 10)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc")
def test_files_generated_by_the_kernel_are_empty() -> None:
    """Files of /proc have size 0 and might be endless or block, so they are taken for empty and not read."""
    assert storage.read("/proc/cpuinfo") == b""
    assert storage.identity("/proc/cpuinfo") == f"sha256:{hashlib.sha256().hexdigest()}"


def test_every_function_refuses_invalid_addresses(tmp_path: Path) -> None:
    """Every function raises NotAllowed for a chain of addresses or another scheme."""
    for address in ("https://example.org/a.png", f"simplecache::{tmp_path}/a", "file:///etc/passwd"):
        for act, arguments in (
            (storage.read, ()),
            (storage.create, (b"data",)),
            (storage.replace, (b"data",)),
            (storage.remove, ()),
            (storage.names, ()),
            (storage.identity, ()),
        ):
            with pytest.raises(NotAllowed, match="expected a local path or s3://bucket/key"):
                act(address, *arguments)


def test_a_link_is_a_second_name_of_the_same_file(tmp_path: Path) -> None:
    """`link` replaces any existing target, also one that is that link already, and leaves no temporary file."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")

    for _ in range(2):
        assert storage.link(str(tmp_path / "a"), str(tmp_path / "b")) is True
        assert (tmp_path / "b").samefile(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_copies_and_links_respect_the_readable_places(tmp_path: Path) -> None:
    """A source that is a link out of the readable places is neither copied nor linked, to local folders or to S3."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "a").symlink_to(tmp_path / "secret")
    source, places = str(tmp_path / "in" / "a"), (str(tmp_path / "in"),)

    for bring, target in ((storage.copy, str(tmp_path / "b")), (storage.link, str(tmp_path / "b"))):
        with pytest.raises(NotAllowed):
            bring(source, target, places)
    with pytest.raises(NotAllowed):
        storage.copy(source, "s3://bucket/b", places)
    assert not (tmp_path / "b").exists()


def test_a_sweep_removes_old_temporary_files_only(tmp_path: Path) -> None:
    """The writer of a temporary file is dead after a day; all other files, and folders that were not named, stay."""
    old, young, below = (tmp_path / f".tmp-{digit * 32}" for digit in "abc")
    others = [tmp_path / name for name in (".tmp-lock", ".tmp-of-my-own", "image.png")]
    below = tmp_path / "below" / below.name
    below.parent.mkdir()
    for path in (old, young, below, *others):
        path.write_bytes(b"half")
    for path in (old, below, *others):
        os.utime(path, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    storage.sweep([str(tmp_path), str(tmp_path / "absent"), "s3://bucket/folder"])

    assert not old.exists()
    assert all(path.exists() for path in (young, below, *others))


def test_a_sweep_leaves_what_it_may_not_remove(tmp_path: Path) -> None:
    """A temporary file in a folder that this process may not write into is left there without an error, and a file in
    the place of a folder is none either.
    """
    left = tmp_path / f".tmp-{'a' * 32}"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    with storage.guarded(str(tmp_path), places=("/elsewhere",)):
        storage.sweep([str(left), str(tmp_path)])

    assert left.exists()

"""flows.storage.places and .folders: nothing is written or read where it may not be, whatever is swapped meanwhile."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flows import storage
from flows.errors import NotAllowed, NotFound, StorageError
from flows.storage import places


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder that may be written into, beside one that may not: `outside`, with a file."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_bytes(b"theirs")
    return tmp_path / "inside"


WRITES: dict[str, Callable[[str], object]] = {
    "create": lambda folder: storage.create(f"{folder}/new.txt", b"ours"),
    "replace": lambda folder: storage.replace(f"{folder}/a.txt", b"ours"),
    "swap": lambda folder: storage.swap(f"{folder}/a.txt", storage.read_with_version(f"{folder}/a.txt")[1], b"ours"),
    "remove": lambda folder: storage.remove(f"{folder}/a.txt"),
    "deep": lambda folder: storage.create(f"{folder}/b/c/new.txt", b"ours"),
}


def theirs(inside: Path) -> list[tuple[str, bytes | None]]:
    """All that is outside."""
    found = sorted((inside.parent / "outside").rglob("*"))
    return [(one.name, one.read_bytes() if one.is_file() else None) for one in found]


@pytest.mark.parametrize("way", WRITES)
def test_a_link_leads_no_write_outside(inside: Path, way: str) -> None:
    """Whatever is done behind a link to elsewhere is refused with what is allowed, and makes no folder there."""
    (inside / "images").symlink_to(inside.parent / "outside")

    with (
        storage.guarded(str(inside), (str(inside),)),
        pytest.raises(NotAllowed, match=f"link to elsewhere; only what lies in {inside} may be written here"),
    ):
        WRITES[way](str(inside / "images"))
    assert theirs(inside) == [("a.txt", b"theirs")]


@pytest.mark.parametrize("way", WRITES)
def test_without_limits_links_are_followed(inside: Path, way: str) -> None:
    """A person may keep a run's images on another disk; a link that stays inside is no matter either."""
    (inside / "images").symlink_to(inside.parent / "outside")
    WRITES[way](str(inside / "images"))
    changed = theirs(inside)
    (inside.parent / "outside").rename(inside / "elsewhere")
    (inside / "images").unlink()
    (inside / "images").symlink_to(inside / "elsewhere")
    (inside / "elsewhere" / "a.txt").write_bytes(b"theirs")
    with storage.guarded(str(inside), (str(inside),)), suppress(NotFound):
        WRITES[way](str(inside / "images"))

    assert changed != [("a.txt", b"theirs")]


def test_a_guard_is_of_one_folder_and_for_its_time(inside: Path) -> None:
    """What is written elsewhere has limits of its own, two guards hold side by side, and afterwards none does."""
    elsewhere = str(inside.parent / "outside" / "new.txt")
    with storage.guarded(str(inside), ()), storage.guarded(str(inside), (str(inside),)):
        storage.create(elsewhere, b"ours")
        with pytest.raises(NotAllowed, match="nothing may be written here"):
            storage.create(str(inside / "a.txt"), b"ours")
    with storage.guarded(str(inside), None):
        storage.create(str(inside / "a.txt"), b"ours")

    assert places._guards == []


def test_places_are_folders_by_whatever_name(inside: Path) -> None:
    """A place that is reached by a link of the machine's own is the folder it leads to; the root is all of it."""
    (inside.parent / "way").symlink_to(inside)

    for allowed in (str(inside.parent / "way"), "/", f"{inside}/"):
        with storage.guarded(str(inside), ("s3://bucket", allowed)):
            storage.replace(str(inside / "a.txt"), b"ours")
    with storage.guarded(str(inside), (f"{inside}-2", "s3://bucket")), pytest.raises(NotAllowed):
        storage.replace(str(inside / "a.txt"), b"more")


@contextmanager
def swapping(folder: Path, *targets: Path) -> Iterator[None]:
    """A thread that has a folder lead to one place and to another, as fast as it can."""
    ended, link = threading.Event(), folder.with_name("link")
    folder.symlink_to(targets[0])

    def swap() -> None:
        while not ended.is_set():
            for target in targets:
                link.symlink_to(target)
                os.replace(link, folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_nothing_lands_outside_while_a_folder_is_swapped_for_a_link(inside: Path) -> None:
    """Of hundreds of writes during the swapping each lands inside or is refused; some of each kind."""
    (inside / "real").mkdir()
    ends = []
    with (
        swapping(inside / "images", inside / "real", inside.parent / "outside"),
        storage.guarded(str(inside), (str(inside),)),
    ):
        while len(ends) < 300 or (len(set(ends)) < 2 and len(ends) < 3000):
            number = len(ends)
            try:
                storage.replace(f"{inside}/images/{number % 7}/{number}.txt", b"ours")
                ends.append("written")
            except StorageError as error:
                ends.append(type(error).__name__)

    assert {"written", "NotAllowed"} <= set(ends)
    assert theirs(inside) == [("a.txt", b"theirs")]


def test_nothing_is_read_outside_while_a_folder_is_swapped_for_a_link(inside: Path) -> None:
    """A file is judged once it is open: what is read, or told apart by its content, is what lies inside."""
    (inside / "real").mkdir()
    (inside / "real" / "a.txt").write_bytes(b"ours")
    ours = storage.identity(str(inside / "real" / "a.txt"))
    address, within, seen = f"{inside}/images/a.txt", (str(inside),), set()
    refused = 0
    with swapping(inside / "images", inside / "real", inside.parent / "outside"):
        for _ in range(1500):
            try:
                seen |= {storage.read(address, within=within), storage.identity(address, within)}
            except NotAllowed:
                refused += 1
            except NotFound:
                pass

    assert seen - {None} == {b"ours", ours}
    assert refused > 0


@pytest.mark.parametrize("has_proc", [True, False])
def test_a_picture_behind_a_link_is_refused_with_what_is_allowed(
    inside: Path, monkeypatch: pytest.MonkeyPatch, has_proc: bool
) -> None:
    """The check also works without /proc, where a descriptor's path is unknown; a file inside is read."""
    if not has_proc:
        monkeypatch.setattr(os, "readlink", _no_proc(os.readlink))
    (inside / "a.txt").write_bytes(b"ours")
    (inside / "link.txt").symlink_to(inside.parent / "outside" / "a.txt")
    within = (str(inside),)

    assert storage.read(f"{inside}/a.txt", within=within) == b"ours"
    for act in (lambda: storage.read(f"{inside}/link.txt", within=within), _identity(f"{inside}/link.txt", within)):
        with pytest.raises(NotAllowed, match=f"only what lies in {inside} may be read here"):
            act()


def test_without_proc_a_name_that_leads_elsewhere_by_now_is_refused(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without /proc, the path must still lead to the file that is open."""
    monkeypatch.setattr(os, "readlink", _no_proc(os.readlink))
    (inside / "a.txt").write_bytes(b"ours")

    with (
        open(inside.parent / "outside" / "a.txt", "rb") as file,
        pytest.raises(StorageError, match=r"a\.txt: was replaced while it was being opened"),
    ):
        places.check_read(file.fileno(), str(inside / "a.txt"), (str(inside),))


def test_a_folder_that_is_missing_for_good_is_told_in_words(inside: Path) -> None:
    """A link to nowhere, or a folder that is removed all the time, is no "no such file" of the file to be made."""
    (inside / "images").symlink_to(inside / "nowhere")

    with pytest.raises(NotFound, match="its folder was removed, or is a link to nowhere"):
        storage.create(str(inside / "images" / "a.txt"), b"ours")


def test_hundreds_of_missing_folders_are_made(inside: Path) -> None:
    """Folders as deep as an address can be are created without running out of file descriptors."""
    deep = "/".join([str(inside), *["d"] * 400, "a.txt"])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    storage.create(deep, b"ours")
    assert storage.read(deep) == b"ours"
    assert before == (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)


def _identity(address: str, within: tuple[str, ...]) -> Callable[[], object]:
    return lambda: storage.identity(address, within)


def _no_proc(readlink: Callable[[str], str]) -> Callable[..., str]:
    def without(path: str, **keywords: int) -> str:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(path)
        return readlink(path, **keywords)

    return without

"""flows.storage.places and folders: reads and writes stay in the allowed places, even if links are swapped."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flows import storage
from flows.errors import NotAllowed, NotFound, StorageError
from flows.storage import places


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder that may be written to, beside the folder `outside`, which may not and has a file."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_bytes(b"files_outside")
    return tmp_path / "inside"


WRITES: dict[str, Callable[[str], object]] = {
    "create": lambda folder: storage.create(f"{folder}/new.txt", b"ours"),
    "replace": lambda folder: storage.replace(f"{folder}/a.txt", b"ours"),
    "swap": lambda folder: storage.swap(f"{folder}/a.txt", storage.read_with_version(f"{folder}/a.txt")[1], b"ours"),
    "remove": lambda folder: storage.remove(f"{folder}/a.txt"),
    "deep": lambda folder: storage.create(f"{folder}/b/c/new.txt", b"ours"),
}


def files_outside(inside: Path) -> list[tuple[str, bytes | None]]:
    """Return all that is in the folder `outside`."""
    found = sorted((inside.parent / "outside").rglob("*"))
    return [(one.name, one.read_bytes() if one.is_file() else None) for one in found]


@pytest.mark.parametrize("way", WRITES)
def test_a_write_through_a_link_to_the_outside_is_refused(inside: Path, way: str) -> None:
    """Writes below a link to another folder raise NotAllowed with the allowed places, and create nothing there."""
    (inside / "images").symlink_to(inside.parent / "outside")

    with (
        storage.guarded(str(inside), (str(inside),)),
        pytest.raises(NotAllowed, match=f"link to elsewhere; only what lies in {inside} may be written here"),
    ):
        WRITES[way](str(inside / "images"))
    assert files_outside(inside) == [("a.txt", b"files_outside")]


@pytest.mark.parametrize("way", WRITES)
def test_links_are_followed_without_limits_or_inside_them(inside: Path, way: str) -> None:
    """Without limits, a run's images may be on another disk; with limits, a link may lead to a folder inside them."""
    (inside / "images").symlink_to(inside.parent / "outside")
    WRITES[way](str(inside / "images"))
    changed = files_outside(inside)
    (inside.parent / "outside").rename(inside / "elsewhere")
    (inside / "images").unlink()
    (inside / "images").symlink_to(inside / "elsewhere")
    (inside / "elsewhere" / "a.txt").write_bytes(b"files_outside")
    with storage.guarded(str(inside), (str(inside),)), suppress(NotFound):
        WRITES[way](str(inside / "images"))

    assert changed != [("a.txt", b"files_outside")]


def test_a_guard_applies_to_its_folder_while_it_lasts(inside: Path) -> None:
    """Writes elsewhere are not affected, two guards apply at once, and none remains afterwards."""
    elsewhere = str(inside.parent / "outside" / "new.txt")
    with storage.guarded(str(inside), ()), storage.guarded(str(inside), (str(inside),)):
        storage.create(elsewhere, b"ours")
        with pytest.raises(NotAllowed, match="nothing may be written here"):
            storage.create(str(inside / "a.txt"), b"ours")
    with storage.guarded(str(inside), None):
        storage.create(str(inside / "a.txt"), b"ours")

    assert places._guards == []


def test_allowed_places_may_be_links(inside: Path) -> None:
    """A place that is a link allows the folder it leads to, and `/` any folder; a longer name does not match."""
    (inside.parent / "way").symlink_to(inside)

    for allowed in (str(inside.parent / "way"), "/", f"{inside}/"):
        with storage.guarded(str(inside), ("s3://bucket", allowed)):
            storage.replace(str(inside / "a.txt"), b"ours")
    with storage.guarded(str(inside), (f"{inside}-2", "s3://bucket")), pytest.raises(NotAllowed):
        storage.replace(str(inside / "a.txt"), b"more")


@contextmanager
def swapping(folder: Path, *targets: Path) -> Iterator[None]:
    """Make a folder lead to one target and then another, as fast as a thread can, while the block lasts."""
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


def test_no_write_lands_outside_while_a_link_is_swapped(inside: Path) -> None:
    """Of hundreds of writes during the swapping, each lands inside or is refused, and both happen."""
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
    assert files_outside(inside) == [("a.txt", b"files_outside")]


def test_no_read_is_from_outside_while_a_link_is_swapped(inside: Path) -> None:
    """Files are checked once they are open, so that bytes and identities are only those of the file inside."""
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


def test_the_file_that_was_checked_is_linked(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a link to the outside takes a file's place after its check, the file that was checked is linked all the
    same.
    """
    (inside / "a.txt").write_bytes(b"ours")
    (inside / "link").symlink_to(inside.parent / "outside" / "a.txt")
    link = os.link

    def swapping_link(*arguments: Any, **options: Any) -> None:
        os.rename(inside / "a.txt", inside / "kept.txt")
        os.rename(inside / "link", inside / "a.txt")
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", swapping_link)

    assert storage.link(f"{inside}/a.txt", f"{inside}/b.txt", (str(inside),))
    assert (inside / "b.txt").read_bytes() == b"ours"


@pytest.mark.parametrize("has_proc", [True, False])
def test_reading_through_a_link_to_the_outside_is_refused(
    inside: Path, monkeypatch: pytest.MonkeyPatch, has_proc: bool
) -> None:
    """The message has the allowed places; the check works without /proc too, and a file inside is read."""
    if not has_proc:
        monkeypatch.setattr(os, "readlink", _no_proc(os.readlink))
    (inside / "a.txt").write_bytes(b"ours")
    (inside / "link.txt").symlink_to(inside.parent / "outside" / "a.txt")
    within = (str(inside),)

    assert storage.read(f"{inside}/a.txt", within=within) == b"ours"
    for act in (lambda: storage.read(f"{inside}/link.txt", within=within), _identity(f"{inside}/link.txt", within)):
        with pytest.raises(NotAllowed, match=f"only what lies in {inside} may be read here"):
            act()


def test_without_proc_a_replaced_file_is_refused(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, the path must still lead to the file that is open."""
    monkeypatch.setattr(os, "readlink", _no_proc(os.readlink))
    (inside / "a.txt").write_bytes(b"ours")

    with (
        open(inside.parent / "outside" / "a.txt", "rb") as file,
        pytest.raises(StorageError, match=r"a\.txt: was replaced while it was being opened"),
    ):
        places.check_read(file.fileno(), str(inside / "a.txt"), (str(inside),))


def test_a_folder_that_cannot_be_created_is_explained(inside: Path) -> None:
    """If the file's folder is a link to nowhere, the message says so, and not that the new file does not exist."""
    (inside / "images").symlink_to(inside / "nowhere")

    with pytest.raises(NotFound, match="its folder was removed, or is a link to nowhere"):
        storage.create(str(inside / "images" / "a.txt"), b"ours")


def test_hundreds_of_missing_folders_are_created(inside: Path) -> None:
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

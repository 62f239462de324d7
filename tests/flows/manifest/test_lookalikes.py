"""flows.manifest.lookalikes: the hint on which existing file a cell may have meant."""

import os
from pathlib import Path

import pytest

from flows import storage
from flows.manifest import lookalikes
from flows.manifest.lookalikes import hint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images, beside another one."""
    for name in ("base/c.jpg", "base/sub/s.jpg", "base/e\u0301.png", "base/it's me.png", "base/a b.png", "other/o.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path / "base"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("\u200bc.jpg", "c.jpg"),
        ("c.jpg\u00a0", "c.jpg"),
        ("\ufeffc\u00ad.jpg", "c.jpg"),
        ("\u201cc.jpg\u201d", "c.jpg"),
        ("'c.jpg'", "c.jpg"),
        ('"c.jpg"', "c.jpg"),
        ("sub\\s.jpg", "sub/s.jpg"),
        ("\u00e9.png", "e\\u0301.png"),
        ("it\u2019s me.png", "it's me.png"),
        ("a\u00a0b.png", "a b.png"),
        ("C.JPG", "c.jpg"),
        ("IT\u2019S ME.PNG", "it's me.png"),
    ],
)
def test_the_file_that_was_meant_is_named(folder: Path, written: str, meant: str) -> None:
    """A file whose name differs only by invisible characters, quotes or backslashes is shown by the hint, in ASCII."""
    told = hint(f"{folder}/{written}")

    assert f"{meant}' meant" in told or f'{meant}" meant' in told
    assert told.isascii()


@pytest.mark.parametrize("written", ["gone.jpg", "\u200bgone.jpg", "\u732b.png"])
def test_there_is_no_hint_without_a_match(folder: Path, written: str) -> None:
    """A name that matches no file has no hint."""
    assert hint(f"{folder}/{written}") == ""


@pytest.mark.parametrize("written", ["none/c.jpg", "none/at/all/\u00e9.png"])
def test_a_missing_folder_is_named(folder: Path, written: str) -> None:
    """If a folder of the path is missing, as after a move, the first such folder is named."""
    assert hint(f"{folder}/{written}") == f"; there is no folder {folder}/none"


def test_there_is_no_hint_if_two_files_match(folder: Path) -> None:
    """If two files match, it is unknown which one the cell meant, so there is no hint."""
    (folder / "\u00adc.jpg").write_bytes(b"x")

    assert hint(f"{folder}/\u200bc.jpg") == hint(f"{folder}/C.JPG") == ""


def test_a_file_in_the_right_case_is_preferred(folder: Path) -> None:
    """Of two files that differ only in case, the one that the cell has in its own case is meant."""
    (folder / "C.jpg").write_bytes(b"x")

    assert f"{folder}/C.jpg" in hint(f"{folder}/\u200bC.jpg")


def test_a_folder_is_listed_once_for_many_missing_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names in a folder are read again only after it has changed."""
    listed = []
    monkeypatch.setattr(os, "scandir", lambda place, scandir=os.scandir: listed.append(place) or scandir(place))

    hints = [hint(f"{folder}/gone-{number}.jpg") for number in range(5)]

    assert (hints, len(listed)) == ([""] * 5, 1)


def test_a_folder_of_very_many_files_is_not_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a folder would take seconds and much memory in each worker, so it is left once it proves to be large."""
    monkeypatch.setattr(lookalikes, "MOST_SEARCHED", len(list(folder.iterdir())))
    assert f"{folder}/c.jpg" in hint(f"{folder}/C.JPG")

    (folder / "one more.jpg").write_bytes(b"x")
    assert hint(f"{folder}/C.JPG") == ""


def test_what_is_no_file_is_not_suggested(folder: Path) -> None:
    """A folder, or a link to nothing, is not what a cell meant, even if its name is alike, or the same."""
    (folder / "album").mkdir()
    (folder / "link.jpg").symlink_to("gone.jpg")

    assert [hint(f"{folder}/{name}") for name in ("ALBUM", "link.jpg", "LINK.jpg")] == [""] * 3


def test_a_usual_name_on_s3_is_not_looked_for(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No prefix of S3, which may hold millions of objects, is listed for a missing object of a usual name."""
    monkeypatch.setattr(storage, "names", lambda place: pytest.fail(f"listed {place}"))

    assert hint(f"{s3_bucket}/in/gone.jpg") == ""


@pytest.mark.parametrize("written", ["..\\other\\o.png", "link\\o.png"])
def test_no_hint_names_files_outside_the_cells_folder(folder: Path, written: str) -> None:
    """Files outside the folder of the cell are not named, neither through `..` nor through a link."""
    (folder / "link").symlink_to(folder.parent / "other")

    assert hint(f"{folder}/{written}") == "; '\\' separates no folders here, '/' does"


def test_the_hint_also_finds_objects_on_s3(s3_bucket: str) -> None:
    """The same holds for S3 objects: the matching one is named, and none through `..`."""
    storage.create(f"{s3_bucket}/in/sub/c.jpg", b"x")

    assert f"{s3_bucket}/in/sub/c.jpg" in hint(f"{s3_bucket}/in/sub\\\u200bc.jpg")
    assert hint(f"{s3_bucket}/in/..\\in\\sub\\c.jpg") == "; '\\' separates no folders here, '/' does"

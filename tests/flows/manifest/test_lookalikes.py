"""flows.manifest.lookalikes: the one file that a cell may have meant."""

from pathlib import Path

import pytest

from flows import storage
from flows.manifest.lookalikes import hint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures, and a neighbour."""
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
    ],
)
def test_the_file_that_was_meant_is_named(folder: Path, written: str, meant: str) -> None:
    """Without what is not seen, was curled or is a backslash, one file matches: both are shown in plain letters."""
    told = hint(f"{folder}/{written}")

    assert f"{meant}' meant" in told or f'{meant}" meant' in told
    assert told.isascii()


@pytest.mark.parametrize("written", ["gone.jpg", "C.JPG", "\u200bgone.jpg", "\u732b.png", "none/\u00e9.png"])
def test_nothing_is_guessed(folder: Path, written: str) -> None:
    """A name without anything odd, and one that matches nothing, have no hint."""
    assert hint(f"{folder}/{written}") == ""


def test_of_two_that_match_none_is_named(folder: Path) -> None:
    """Where it cannot be told which was meant, nothing is said."""
    (folder / "\u00adc.jpg").write_bytes(b"x")

    assert hint(f"{folder}/\u200bc.jpg") == ""


@pytest.mark.parametrize("written", ["..\\other\\o.png", "link\\o.png"])
def test_a_backslash_leads_nowhere_else(folder: Path, written: str) -> None:
    """What lies outside of the cell's folder is not told of, neither by dots nor by a link."""
    (folder / "link").symlink_to(folder.parent / "other")

    assert hint(f"{folder}/{written}") == "; '\\' separates no folders here, '/' does"


def test_objects_are_found_alike(s3_bucket: str) -> None:
    """The same on S3."""
    storage.create(f"{s3_bucket}/in/sub/c.jpg", b"x")

    assert f"{s3_bucket}/in/sub/c.jpg" in hint(f"{s3_bucket}/in/sub\\\u200bc.jpg")
    assert hint(f"{s3_bucket}/in/..\\in\\sub\\c.jpg") == "; '\\' separates no folders here, '/' does"

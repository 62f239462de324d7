"""flows.cli.pairs: `nst pairs` writes a manifest to stdout or a file, and says on stderr what it did and left out."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import storage
from flows.cli import app
from flows.manifest.stdin import standard_input


def nst(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=given)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder of two contents and one other file, and a folder of two styles."""
    for name in ("in/a/x.jpg", "in/b.jpg", "in/notes.txt", "styles/s.png", "styles/é.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    standard_input.cache_clear()
    return tmp_path


def test_validate_accepts_the_manifest_on_stdout(folder: Path) -> None:
    """The manifest on stdout is UTF-8 with absolute addresses, and `nst validate -` accepts it."""
    made = nst("pairs", "in", "styles")

    assert made.exit_code == 0
    lines = made.stdout_bytes.decode().splitlines()
    assert lines[:2] == ["id,content,style,folder", f"a__x--s.png,{folder}/in/a/x.jpg,{folder}/styles/s.png,a"]
    assert len(lines) == 5
    assert made.stderr.splitlines() == [
        "left out of in: 1 not an image by its name: notes.txt",
        "4 rows, of 2 contents and 2 styles",
    ]
    checked = nst("validate", "-", given=made.stdout_bytes)
    assert checked.exit_code == 0
    assert checked.stdout.startswith("standard-input: 4 rows are valid and their files exist; 0 cannot be stylized\n")


def test_addresses_are_relative_to_the_manifest(folder: Path) -> None:
    """Addresses below the folder of the manifest are relative to it; the others are absolute."""
    assert nst("pairs", "in", "styles", "-o", "in/m.csv", "--limit", "1", "--set", "steps=3").exit_code == 0
    assert (folder / "in" / "m.csv").read_text().splitlines() == [
        "id,content,style,folder,steps",
        f"a__x--s.png,a/x.jpg,{folder}/styles/s.png,a,3",
    ]
    assert nst("validate", "in/m.csv").exit_code == 0
    assert sorted(path.name for path in (folder / "in").iterdir()) == ["a", "b.jpg", "m.csv", "notes.txt"]


@pytest.mark.parametrize("target", ["in/a/x.jpg", "styles/s.png", "link/a/x.jpg"])
def test_no_local_image_is_overwritten(folder: Path, target: str) -> None:
    """A content or style given as the file of the manifest, also through a link, is refused and not changed."""
    (folder / "link").symlink_to("in")
    done = nst("pairs", "in", "styles", "-o", target)

    assert done.exit_code == 2
    assert f"{target}: expected a place for the manifest, found one of its images" in done.stderr
    assert (folder / target).read_bytes() == b"x"


def test_no_image_on_s3_is_overwritten(folder: Path, s3_bucket: str) -> None:
    """A content on S3 is not overwritten either; an object of the same name in another folder may be written."""
    storage.replace(f"{s3_bucket}/in/c.jpg", b"x")

    assert nst("pairs", f"{s3_bucket}/in", "styles", "-o", f"{s3_bucket}/in/c.jpg").exit_code == 2
    assert storage.read(f"{s3_bucket}/in/c.jpg") == b"x"
    assert nst("pairs", f"{s3_bucket}/in", "styles", "-o", f"{s3_bucket}/c.jpg").exit_code == 0


def test_outputs_of_runs_are_left_out_and_named(folder: Path) -> None:
    """Files in the output of a run among the contents are left out, and stderr says how many."""
    for name in ("_nst/latest_run", "images/cat-01234567.png"):
        storage.replace(str(folder / "in" / "out" / name), b"x")

    assert (
        "left out of in: 1 in the output of a run: out/images/cat-01234567.png" in nst("pairs", "in", "styles").stderr
    )


def test_the_manifest_may_be_written_to_s3(folder: Path, s3_bucket: str) -> None:
    """A manifest on S3 is written with the addresses of its folder relative to it."""
    storage.replace(f"{s3_bucket}/in/c.jpg", b"x")
    made = nst("pairs", f"{s3_bucket}/in", "styles/s.png", "-o", f"{s3_bucket}/in/m.csv", "--how", "zip")

    assert made.exit_code == 0, made.stderr
    assert storage.read(f"{s3_bucket}/in/m.csv").decode().splitlines()[1] == f"c--s.png,c.jpg,{folder}/styles/s.png,"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "styles", "--set", "stpes=3"), "there is no option 'stpes'"),
        (("in", "styles", "--how", "zip", "--seed", "1"), "go with --how sample"),
        (("in", "absent"), "found nothing of that name"),
        (("in", "styles", "--how", "sample"), "--per-content"),
    ],
)
def test_wrong_arguments_give_exit_code_2(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    """Wrong arguments end with exit code 2 and a message, and write no manifest."""
    outcome = nst("pairs", *arguments, "-o", "m.csv")

    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert not (folder / "m.csv").exists()


def test_the_limits_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places and options outside the limits are refused; a manifest of too many rows is written with advice."""
    limits = folder / "limits.toml"
    limits.write_text(
        f'read = ["{folder}/in", "{folder}/styles"]\nwrite = ["{folder}/in"]\n'
        "max_rows = 3\n[max_options]\nsize_px = 600\n"
    )
    monkeypatch.setenv("NST_LIMITS", str(limits))

    assert nst("pairs", ".", "styles").exit_code == 2
    assert nst("pairs", "in", "styles", "-o", "m.csv").exit_code == 2
    bounded = nst("pairs", "in", "styles", "--set", "size_px=601")
    assert (bounded.exit_code, bounded.stdout) == (2, "")
    assert "size_px=...: expected at most 600 here, got 601" in bounded.stderr
    assert nst("pairs", "in", "styles", "-o", "in/m.csv").stderr.splitlines()[-1] == (
        "a run takes 3 rows at most here: cut the manifest with `nst split`"
    )


def test_too_many_rows_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than `MOST_ROWS` are refused before the first is written; with a --limit they are written."""
    monkeypatch.setattr("flows.cli.pairs.MOST_ROWS", 3)
    outcome = nst("pairs", "in", "styles")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "expected at most 3 rows, found 4: set a --limit" in outcome.stderr
    assert nst("pairs", "in", "styles", "--limit", "3").exit_code == 0

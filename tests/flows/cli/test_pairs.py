"""`nst pairs`: a manifest on stdout or in a file, and on stderr what was made and left out."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import storage
from flows.cli import app
from flows.manifest.stdin import standard_input


def nst(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=given)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in/a/x.jpg", "in/b.jpg", "in/notes.txt", "styles/s.png", "styles/é.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    standard_input.cache_clear()
    return tmp_path


def test_a_manifest_on_stdout_is_one_for_validate(pictures: Path) -> None:
    """UTF-8 whatever the terminal takes, addresses in full; read from standard input as it was written."""
    made = nst("pairs", "in", "styles")

    assert made.exit_code == 0
    lines = made.stdout_bytes.decode().splitlines()
    assert lines[:2] == ["id,content,style,folder", f"a__x--s.png,{pictures}/in/a/x.jpg,{pictures}/styles/s.png,a"]
    assert len(lines) == 5
    assert made.stderr.splitlines() == [
        "left out of in: 1 not a picture by its name: notes.txt",
        "4 rows, of 2 contents and 2 styles",
    ]
    checked = nst("validate", "-", given=made.stdout_bytes)
    assert checked.exit_code == 0
    assert checked.stdout.startswith("standard-input: 4 rows are valid and their files exist; 0 cannot be stylized\n")


def test_a_manifest_in_a_file(pictures: Path) -> None:
    """Addresses of what lies below its folder are relative to it; the others are written in full."""
    assert nst("pairs", "in", "styles", "-o", "in/m.csv", "--limit", "1", "--set", "steps=3").exit_code == 0
    assert (pictures / "in" / "m.csv").read_text().splitlines() == [
        "id,content,style,folder,steps",
        f"a__x--s.png,a/x.jpg,{pictures}/styles/s.png,a,3",
    ]
    assert nst("validate", "in/m.csv").exit_code == 0
    assert sorted(path.name for path in (pictures / "in").iterdir()) == ["a", "b.jpg", "m.csv", "notes.txt"]


@pytest.mark.parametrize("target", ["in/a/x.jpg", "styles/s.png", "link/a/x.jpg"])
def test_no_picture_becomes_the_manifest(pictures: Path, target: str) -> None:
    """A content or a style that is named as the manifest's file, whatever leads there, is refused and stays."""
    (pictures / "link").symlink_to("in")
    done = nst("pairs", "in", "styles", "-o", target)

    assert done.exit_code == 2
    assert f"{target}: expected a place for the manifest, found one of its pictures" in done.stderr
    assert (pictures / target).read_bytes() == b"x"


def test_no_object_becomes_the_manifest(pictures: Path, s3_bucket: str) -> None:
    """Nor does one on S3; one of that name in another folder may."""
    storage.replace(f"{s3_bucket}/in/c.jpg", b"x")

    assert nst("pairs", f"{s3_bucket}/in", "styles", "-o", f"{s3_bucket}/in/c.jpg").exit_code == 2
    assert storage.read(f"{s3_bucket}/in/c.jpg") == b"x"
    assert nst("pairs", f"{s3_bucket}/in", "styles", "-o", f"{s3_bucket}/c.jpg").exit_code == 0


def test_what_runs_have_made_is_said_to_be_left_out(pictures: Path) -> None:
    """Outputs among the photographs are counted, as what is no picture is."""
    for name in ("_nst/latest_run", "images/cat-01234567.png"):
        storage.replace(str(pictures / "in" / "out" / name), b"x")

    assert (
        "left out of in: 1 in the output of a run: out/images/cat-01234567.png" in nst("pairs", "in", "styles").stderr
    )


def test_a_manifest_on_s3(pictures: Path, s3_bucket: str) -> None:
    """It is one object, whole."""
    storage.replace(f"{s3_bucket}/in/c.jpg", b"x")
    made = nst("pairs", f"{s3_bucket}/in", "styles/s.png", "-o", f"{s3_bucket}/in/m.csv", "--how", "zip")

    assert made.exit_code == 0, made.stderr
    assert storage.read(f"{s3_bucket}/in/m.csv").decode().splitlines()[1] == f"c--s.png,c.jpg,{pictures}/styles/s.png,"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "styles", "--set", "stpes=3"), "there is no option 'stpes'"),
        (("in", "styles", "--how", "zip", "--seed", "1"), "go with --how sample"),
        (("in", "absent"), "found nothing of that name"),
        (("in", "styles", "--how", "sample"), "--per-content"),
    ],
)
def test_what_cannot_be_made_is_code_2(pictures: Path, arguments: tuple[str, ...], message: str) -> None:
    """Nothing is written then."""
    outcome = nst("pairs", *arguments, "-o", "m.csv")

    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert not (pictures / "m.csv").exists()


def test_the_operators_limits(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be read, written and asked for holds here too; a manifest of more rows than a run takes is told of."""
    limits = pictures / "limits.toml"
    limits.write_text(
        f'read = ["{pictures}/in", "{pictures}/styles"]\nwrite = ["{pictures}/in"]\n'
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


def test_far_too_many_rows_are_refused(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first is written; with a limit they are made."""
    monkeypatch.setattr("flows.cli.pairs.MOST_ROWS", 3)
    outcome = nst("pairs", "in", "styles")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "expected at most 3 rows, found 4: set a --limit" in outcome.stderr
    assert nst("pairs", "in", "styles", "--limit", "3").exit_code == 0

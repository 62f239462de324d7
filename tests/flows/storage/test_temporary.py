"""flows.storage.temporary: errors of commands whose temporary folder is full or missing name that folder."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import ExitCode, app
from flows.errors import StorageError
from flows.export import Layout, Request, export
from flows.manifest.stdin import standard_input
from flows.storage.temporary import temporary_file
from tests.flows.outputs import Output

MANY = 500


@pytest.fixture
def folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with enough images for a manifest of some kilobytes."""
    for n in range(MANY):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{n}.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    standard_input.cache_clear()
    return tmp_path


@contextmanager
def no_room() -> Iterator[None]:
    """Limit files to a thousand bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def output(folder: Path) -> Output:
    """Return an output with one finished pair."""
    made = Output(str(folder / "out"), "id,content,style\ncat,c.png,s.png\n", "/in/pairs.csv")
    made.done("cat")
    return made


def test_a_full_temporary_folder_is_named(folder_of_images: Path, tmp_path: Path) -> None:
    """The message says what to do, and neither a manifest nor a shard is left behind."""
    asked = Request(output(tmp_path).address, str(tmp_path / "data"), Layout.WEBDATASET)
    words = f"the temporary folder {tempfile.gettempdir()}: File too large; .*; TMPDIR names another one"
    with no_room(), pytest.raises(StorageError, match=words):
        export(asked)
    with no_room():
        made = CliRunner().invoke(app, ["pairs", "in", "in", "-o", "m.csv"])

    assert made.exit_code == ExitCode.NOTHING_DONE
    assert f"the temporary folder {tempfile.gettempdir()}: File too large" in made.stderr
    assert not (tmp_path / "m.csv").exists()
    assert list((tmp_path / "data").glob("*.tar")) == []


def test_a_missing_temporary_folder_is_named(
    folder_of_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both `nst pairs` and an export into shards name the temporary folder."""
    asked = Request(output(tmp_path).address, str(tmp_path / "data"), Layout.WEBDATASET)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    words = f"the temporary folder {tmp_path}/gone: its folder was removed, .*; TMPDIR names another one"
    with pytest.raises(StorageError, match=words):
        export(asked)
    made = CliRunner().invoke(app, ["pairs", "in", "in", "-o", "m.csv"])

    assert made.exit_code == ExitCode.NOTHING_DONE
    assert "TMPDIR names another one" in made.stderr


def test_an_error_on_closing_a_temporary_file_names_the_folder(tmp_path: Path) -> None:
    """The last bytes may be written only when the file is closed, so that error names the folder too."""
    with pytest.raises(StorageError, match="the temporary folder"), no_room(), temporary_file() as file:
        file.write(b"x" * 2000)

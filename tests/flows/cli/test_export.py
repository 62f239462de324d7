"""flows.cli.export: `nst export`."""

import json
from pathlib import Path

import pytest

from flows.cli import ExitCode
from flows.export.destination import EXPORT
from flows.output import lease
from tests.flows.commands import nst, output_of_a_run
from tests.flows.outputs import Output


@pytest.fixture
def out() -> Output:
    """An output with two pairs that succeeded."""
    made = Output(str(Path("out").absolute()), "id,content,style\ncat,c.png,s.png\ndog,d.png,s.png\n", "/in/pairs.csv")
    made.done("cat")
    made.done("dog")
    return made


def test_an_export_counts_new_and_present_images(out: Output) -> None:
    """An export reports how many images it copied; a second export copies none and says so."""
    first, second = nst("export", "out", "data"), nst("export", "out", "data")
    folder = Path("data").absolute()

    assert (first.exit_code, first.stdout) == (0, f"{folder}: 2 images, 2 new, 0 there already\n")
    assert (second.exit_code, second.stdout) == (0, f"{folder}: 2 images, 0 new, 2 there already\n")
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        *("SHA256SUMS", "cat.png", "dog.png", "metadata.csv")
    ]


def test_images_of_an_earlier_state_are_counted(out: Output) -> None:
    """A row whose image is gone keeps the exported one, and the message says how many such images there are."""
    nst("export", "out", "data")
    (image,) = Path("out/images").glob("dog-*")
    image.unlink()
    result = nst("export", "out", "data", "--delete")

    assert result.stdout == f"{Path('data').absolute()}: 2 images, 0 new, 1 there already, 1 of an earlier state\n"
    assert Path("data/dog.png").is_file()


def test_every_layout_can_be_requested(out: Output) -> None:
    """The options choose between shards, a tree, own names and hard links."""
    for arguments in (
        ["shards", "--layout", "webdataset", "--shard-mb", "1"],
        ["tree", "--layout", "tree"],
        ["named", "--name", "{style}/{content}.png", "--link"],
    ):
        assert nst("export", "out", *arguments).exit_code == 0

    assert Path("shards/shard-000000.tar").is_file()
    assert Path("tree/cat.png").is_file()
    assert Path("named/s/d.png").stat().st_nlink == 2


def test_an_export_prints_its_counts_as_json(out: Output) -> None:
    """--json prints one JSON document with the counts."""
    result = nst("export", "out", "data", "--json")

    assert json.loads(result.stdout) == {
        "destination": str(Path("data").absolute()),
        "pictures": 2,
        "new": 2,
        "replaced": 0,
        "removed": 0,
        "earlier": 0,
        "left_out": 0,
        "there": 0,
    }


def test_a_damaged_image_is_left_out_and_named(out: Output) -> None:
    """A damaged image is left out and named by its row, and the exit code is 3."""
    (image,) = Path("out/images").glob("dog-*")
    image.write_bytes(b"damaged")
    result = nst("export", "out", "data", "--quiet")

    assert (result.exit_code, result.stdout) == (ExitCode.SOME_FAILED, "")
    assert result.stderr.startswith(f"line 3 dog: left out: {image.absolute()}: is not what was made")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out", "out/data"], "lies in the output"),
        (["none", "data"], "no run has been made into this output"),
        (["out", "data", "--name", "{stile}"], "was 'style' meant?"),
        (["out", "data", "--name", "{style}"], "would both be 's.png'"),
        (["out", "data", "--layout", "webdataset", "--link"], "--link: expected"),
        (["out", "https://a/b"], "expected a local path or s3://bucket/key"),
    ],
)
def test_an_impossible_export_is_refused_in_one_line(out: Output, arguments: list[str], message: str) -> None:
    """An export that cannot be made ends with exit code 2 and one line, and writes nothing."""
    result = nst("export", *arguments)

    assert result.exit_code == ExitCode.UNUSABLE
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("data").exists()


def test_an_export_keeps_to_the_limits(out: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that may not be read is not exported, and nothing is written where that is not allowed."""
    Path("limits.toml").write_text(f"read = ['{Path.cwd()}/in']\nwrite = ['{Path.cwd()}/good']\n")
    monkeypatch.setenv("NST_LIMITS", "limits.toml")
    output_of_a_run("good/out", failures=False)

    assert "may be read here" in nst("export", "out", "good/data").stderr
    assert "may be written here" in nst("export", "good/out", "data").stderr
    assert not Path("data").exists()
    assert not Path("good/data").exists()


def test_a_destination_in_use_gives_exit_code_75(out: Output) -> None:
    """An export to a destination that another export is writing ends with exit code 75, as for a run."""
    with lease.held(str(Path("data").absolute()), by=EXPORT):
        outcome = nst("export", "out", "data")

    assert outcome.exit_code == ExitCode.INTERRUPTED
    assert "another export is writing here" in outcome.stderr

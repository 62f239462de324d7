"""flows.cli.ladder: what `nst ladder` refuses, and its default output; the whole command is tested end to end."""

import re
from pathlib import Path

import pytest
from click.testing import Result

from flows.cli import ExitCode
from flows.cli.ladder import default_output
from flows.manifest.ladder import Rung, ladder_manifest
from flows.output import lease
from tests.flows.commands import nst, output_of_a_run


@pytest.mark.parametrize("varied", ["strength=7", "nothing=1", "strength"])
def test_a_wrong_vary_option_is_refused(varied: str) -> None:
    """A --vary that is not a valid list of values of an option ends the command with one line and writes nothing."""
    done = nst("ladder", "cat.png", "waves.png", "--vary", varied, "--output", "out")

    assert done.exit_code == 2
    assert done.stderr.startswith("nst: --vary")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("flag", "value", "varied", "name"),
    [("--style-weight", "3", "style_weight=5,9", "style_weight"), ("--size-px", "64", "size=48,96", "size_px")],
)
def test_an_option_that_is_given_and_varied_is_refused(flag: str, value: str, varied: str, name: str) -> None:
    """An option with one value for the whole ladder cannot be varied: both ways to give it are named, and nothing is
    written.
    """
    done = nst("ladder", "cat.png", "waves.png", flag, value, "--vary", varied, "--output", "out")

    assert done.exit_code == 2
    assert done.stderr == f"nst: --vary: {name} is there, and so is {flag}: give one of the two\n"
    assert not Path("out").exists()


def laddered(*arguments: str, values: str = "0.2,0.5") -> Result:
    varied = ("--vary", f"strength={values}", "--backbone", "stub", "--output", "out")
    return nst("ladder", "cat.png", "waves.png", *varied, *arguments)


def test_a_foreign_ladder_csv_is_kept() -> None:
    """A `ladder.csv` in a folder that is not an output is not replaced: the command refuses that folder."""
    Path("out").mkdir()
    Path("out/ladder.csv").write_text("rung,height\n")
    done = laddered()

    assert done.exit_code == ExitCode.UNUSABLE
    assert done.stderr.startswith(f"nst: {Path('out/ladder.csv').absolute()}: expected none, or one in the output of a")
    assert Path("out/ladder.csv").read_text() == "rung,height\n"
    assert [path.name for path in Path("out").iterdir()] == ["ladder.csv"]


def test_a_ladder_without_a_run_is_started_again() -> None:
    """If an output holds only the manifest of a ladder of the same images, a ladder of other values replaces it."""
    Path("out").mkdir()
    Path("out/ladder.csv").write_text(
        f"id,content,style\nx,{Path('cat.png').absolute()},{Path('waves.png').absolute()}\n"
    )
    done = laddered("--backbone", "stub")

    assert done.exit_code in (ExitCode.OK, ExitCode.SOME_FAILED), done.stderr
    assert len(Path("out/ladder.csv").read_text().splitlines()) == 3


def test_a_ladder_refuses_a_folder_with_a_foreign_table() -> None:
    """A folder with a results.csv that no run wrote is refused before the ladder writes anything there."""
    Path("out").mkdir()
    Path("out/results.csv").write_text("mine")
    done = laddered("--backbone", "stub")

    assert done.exit_code == ExitCode.UNUSABLE
    assert "found results.csv, which no run wrote here" in done.stderr
    assert [path.name for path in Path("out").iterdir()] == ["results.csv"]


def test_an_impossible_ladder_keeps_the_earlier_manifest() -> None:
    """A ladder on a device that does not exist is refused before the output's manifest is replaced."""
    output_of_a_run("out", failures=False)
    Path("out/ladder.csv").write_text("id,content,style\n")
    done = laddered("--device", "cuda:77")

    assert done.exit_code == ExitCode.UNUSABLE, done.stderr
    assert "cuda:77" in done.stderr
    assert Path("out/ladder.csv").read_text() == "id,content,style\n"


def test_a_ladder_in_progress_keeps_its_manifest() -> None:
    """A second ladder into an output that is in use ends with exit code 75 and does not replace the manifest."""
    output_of_a_run("out", failures=False)
    Path("out/ladder.csv").write_text("id,content,style\n")
    with lease.held(str(Path("out").absolute())):
        done = laddered("--device", "cpu")

    assert done.exit_code == ExitCode.INTERRUPTED
    assert Path("out/ladder.csv").read_text() == "id,content,style\n"


def test_images_of_the_same_name_have_separate_outputs() -> None:
    """For `summer/cat.jpg` and `winter/cat.jpg` the second default output has a suffix, the same one every time."""
    summer, winter = ({"content": f"/in/{season}/cat.jpg", "style": "/in/waves.png"} for season in ("summer", "winter"))
    first = default_output(summer)
    Path(first).mkdir(parents=True)
    (Path(first) / "ladder.csv").write_bytes(ladder_manifest([Rung("a", {"strength": "0.2"})], summer, {}))

    assert first == str(Path("runs/ladder-cat-waves").absolute()) == default_output(summer)
    assert re.fullmatch(rf"{first}-[0-9a-f]{{8}}", default_output(winter))
    assert default_output(winter) == default_output(winter) != default_output(winter | {"style": "/other/waves.png"})


@pytest.mark.parametrize("data", [b"", b"rung,height\n1,2\n", b'a,b\n"' + b"x" * 200_000])
def test_a_folder_with_an_unreadable_ladder_is_not_the_default(data: bytes) -> None:
    """A folder whose `ladder.csv` is not a ladder's manifest is not chosen as the default output."""
    row = {"content": "/in/cat.jpg", "style": "/in/waves.png"}
    first = default_output(row)
    Path(first).mkdir(parents=True)
    (Path(first) / "ladder.csv").write_bytes(data)

    assert default_output(row).startswith(f"{first}-")

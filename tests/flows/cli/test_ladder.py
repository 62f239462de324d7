"""nst ladder: what is refused; the command itself is tried end to end."""

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
def test_what_cannot_be_varied_is_refused(varied: str) -> None:
    """In one line, before anything is written."""
    done = nst("ladder", "cat.png", "waves.png", "--vary", varied, "--output", "out")

    assert done.exit_code == 2
    assert done.stderr.startswith("nst: --vary")
    assert not Path("out").exists()


def laddered(*arguments: str, values: str = "0.2,0.5") -> Result:
    varied = ("--vary", f"strength={values}", "--backbone", "stub", "--output", "out")
    return nst("ladder", "cat.png", "waves.png", *varied, *arguments)


def test_a_file_where_no_run_was_made_is_left_alone() -> None:
    """A `ladder.csv` of somebody else, in a folder that is no output."""
    Path("out").mkdir()
    Path("out/ladder.csv").write_text("rung,height\n")
    done = laddered()

    assert done.exit_code == ExitCode.UNUSABLE
    assert done.stderr.startswith(f"nst: {Path('out/ladder.csv').absolute()}: expected none, or one in the output of a")
    assert Path("out/ladder.csv").read_text() == "rung,height\n"
    assert [path.name for path in Path("out").iterdir()] == ["ladder.csv"]


def test_a_ladder_whose_first_try_ended_early_is_begun_anew() -> None:
    """Its manifest is there, and no run yet: the same two pictures with other values go into the same folder."""
    Path("out").mkdir()
    Path("out/ladder.csv").write_text(
        f"id,content,style\nx,{Path('cat.png').absolute()},{Path('waves.png').absolute()}\n"
    )
    done = laddered("--backbone", "stub")

    assert done.exit_code in (ExitCode.OK, ExitCode.SOME_FAILED), done.stderr
    assert len(Path("out/ladder.csv").read_text().splitlines()) == 3


def test_a_ladder_goes_into_no_folder_with_tables_of_somebody_else() -> None:
    """It is refused before anything of it is written there."""
    Path("out").mkdir()
    Path("out/results.csv").write_text("mine")
    done = laddered("--backbone", "stub")

    assert done.exit_code == ExitCode.UNUSABLE
    assert "found results.csv, which no run wrote here" in done.stderr
    assert [path.name for path in Path("out").iterdir()] == ["results.csv"]


def test_a_ladder_that_cannot_be_done_leaves_the_one_before() -> None:
    """A device that there is not is refused before the manifest of the output's ladder is replaced."""
    output_of_a_run("out", failures=False)
    Path("out/ladder.csv").write_text("id,content,style\n")
    done = laddered("--device", "cuda:77")

    assert done.exit_code == ExitCode.UNUSABLE, done.stderr
    assert "cuda:77" in done.stderr
    assert Path("out/ladder.csv").read_text() == "id,content,style\n"


def test_a_ladder_under_way_keeps_its_manifest() -> None:
    """Another one into the same output is told who is there, and replaces nothing."""
    output_of_a_run("out", failures=False)
    Path("out/ladder.csv").write_text("id,content,style\n")
    with lease.held(str(Path("out").absolute())):
        done = laddered("--device", "cpu")

    assert done.exit_code == ExitCode.INTERRUPTED
    assert Path("out/ladder.csv").read_text() == "id,content,style\n"


def test_pictures_of_one_name_have_ladders_of_their_own() -> None:
    """`summer/cat.jpg` and `winter/cat.jpg`: the second one's folder says more, and is the same every time."""
    summer, winter = ({"content": f"/in/{season}/cat.jpg", "style": "/in/waves.png"} for season in ("summer", "winter"))
    first = default_output(summer)
    Path(first).mkdir(parents=True)
    (Path(first) / "ladder.csv").write_bytes(ladder_manifest([Rung("a", {"strength": "0.2"})], summer, {}))

    assert first == str(Path("runs/ladder-cat-waves").absolute()) == default_output(summer)
    assert re.fullmatch(rf"{first}-[0-9a-f]{{8}}", default_output(winter))
    assert default_output(winter) == default_output(winter) != default_output(winter | {"style": "/other/waves.png"})


@pytest.mark.parametrize("data", [b"", b"rung,height\n1,2\n", b'a,b\n"' + b"x" * 200_000])
def test_what_is_no_ladder_is_none_of_these_pictures(data: bytes) -> None:
    """The folder of a `ladder.csv` that cannot be told is nobody's default."""
    pictures = {"content": "/in/cat.jpg", "style": "/in/waves.png"}
    first = default_output(pictures)
    Path(first).mkdir(parents=True)
    (Path(first) / "ladder.csv").write_bytes(data)

    assert default_output(pictures).startswith(f"{first}-")

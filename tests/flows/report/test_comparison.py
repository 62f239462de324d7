"""flows.report.comparison: the page that compares runs of the same pairs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import cli, storage
from flows.errors import OutputError
from flows.report.comparison import link, matched, write_comparison
from flows.report.gather import gather
from nst_core.options import StylizeOptions
from tests.flows.outputs import Output, drawing, studio


def run_of(folder: Path, name: str, manifest: str, **run: Any) -> Output:
    """Make a run of a manifest that lies next to its images."""
    for image in ("cat.png", "waves.png", "night.png"):
        (folder / image).write_bytes(drawing(image))
    return Output(str(folder / name), manifest, str(folder / f"{name}.csv"), **run)


def written(outputs: list[Output], address: str) -> tuple[str, Any]:
    assert write_comparison([output.address for output in outputs], address) == address
    page = storage.read(address).decode()
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return page, json.loads(text)


@pytest.fixture
def light_and_strong(tmp_path: Path) -> list[Output]:
    """Two runs of the same two pairs with different style weights; one pair failed in the second run."""
    manifest = "id,content,style\none,cat.png,waves.png\ntwo,cat.png,night.png\n"
    light = run_of(tmp_path, "light", manifest, options=StylizeOptions(size_px=64, style_weight=10))
    strong = run_of(tmp_path, "strong", manifest, options=StylizeOptions(size_px=64, style_weight=90))
    light.done("one", total_loss=1.0, content_loss=0.5, style_loss=0.04, seconds=1.0)
    light.done("two", total_loss=2.0, content_loss=0.7, style_loss=0.05, seconds=1.0)
    strong.done("one", total_loss=3.0, content_loss=0.8, style_loss=0.01, seconds=2.0)
    strong.failed("two", error="the device ran out of memory")
    return [light, strong]


def test_common_pairs_are_shown_side_by_side(light_and_strong: list[Output], tmp_path: Path) -> None:
    """Each common pair has, for each run, its losses and the link to its image, or its status and error."""
    _, data = written(light_and_strong, str(tmp_path / "page" / "compared.html"))

    one, two = data["rows"]
    assert [run["style_loss"] for run in one["runs"]] == [0.04, 0.01]
    assert [run["full"] for run in one["runs"]] == [
        f"../{name}/images/one-01234567.png" for name in ("light", "strong")
    ]
    assert (two["runs"][1]["status"], two["runs"][1]["error"]) == ("failed", "the device ran out of memory")
    assert data["names"] == ["light", "strong"]


def test_only_settings_that_differ_are_listed(light_and_strong: list[Output], tmp_path: Path) -> None:
    """The page lists the settings of the runs where they differ, and no others."""
    page, _ = written(light_and_strong, str(tmp_path / "compared.html"))
    rows = re.findall(r'<tr><td class="soft">([a-z_A-Z0-9 ]+)</td><td>([^<]*)</td><td>([^<]*)</td></tr>', page)

    assert ("style_weight", "10.0", "90.0") in rows
    assert "size_px" not in [name for name, _, _ in rows]


def test_totals_of_different_weights_come_with_a_warning(light_and_strong: list[Output], tmp_path: Path) -> None:
    """Totals with different weights cannot be compared, and the page says so; with the same weights it does not."""
    manifest = "id,content,style\none,cat.png,waves.png\n"
    again = run_of(tmp_path, "again", manifest, options=StylizeOptions(size_px=64, style_weight=10, steps=9))
    again.done("one", total_loss=1.5)

    other, _ = written(light_and_strong, str(tmp_path / "a.html"))
    same, _ = written([light_and_strong[0], again], str(tmp_path / "b.html"))

    assert "the totals are of different objectives" in other
    assert "the totals are of different objectives" not in same


@pytest.mark.parametrize(
    ("option", "incomparable"),
    [
        ({"style_weight": 11}, ["total_loss"]),
        ({"style_layers": ("relu1_1", "relu2_1")}, ["total_loss", "style_loss"]),
        ({"style_layer_weights": (1, 1, 1, 1, 3)}, ["total_loss", "style_loss"]),
        ({"content_layers": ("relu3_1",)}, ["total_loss", "content_loss"]),
        ({"pooling": "average"}, ["total_loss", "content_loss", "style_loss"]),
        (
            {"colors": "luminance"},
            ["total_loss", "content_loss", "style_loss", "content_distance", "style_distance"],
        ),
        ({"style_scale": 0.5}, ["total_loss", "style_loss", "style_distance"]),
        ({"steps": 9}, []),
    ],
)
def test_options_that_change_the_objective_come_with_a_warning(
    light_and_strong: list[Output], tmp_path: Path, option: dict[str, Any], incomparable: list[str]
) -> None:
    """Losses with other layers, pooling, colours or style scale are marked as incomparable; those with other steps are
    not.
    """
    options = StylizeOptions(**{"size_px": 64, "style_weight": 10, **option})
    other = run_of(tmp_path, "other", "id,content,style\none,cat.png,waves.png\n", options=options)
    other.done("one", total_loss=1.5)

    page, data = written([light_and_strong[0], other], str(tmp_path / "a.html"))

    assert data["incomparable"] == incomparable
    assert ("the totals are of different objectives" in page) == bool(incomparable)
    others = ", ".join(incomparable[1:]).replace("_", " ")
    assert (f"The same is true of {others}." in page) == (len(incomparable) > 1)


def test_pairs_with_generated_ids_are_matched_by_their_files(tmp_path: Path) -> None:
    """Generated ids depend on the row's options, so pairs with the same content and style are matched."""
    first = run_of(tmp_path, "first", "content,style,steps\ncat.png,waves.png,20\n")
    second = run_of(tmp_path, "second", "content,style,steps\ncat.png,waves.png,40\n")

    (match,) = matched([gather(first.address), gather(second.address)])

    assert [pair is not None for pair in match.pairs] == [True, True]
    assert len({pair.pair_id for pair in match.pairs if pair}) == 2


def test_runs_without_a_common_pair_are_refused(tmp_path: Path) -> None:
    """If the runs have no common pair, the error says that there is nothing to compare."""
    first = run_of(tmp_path, "first", "id,content,style\na,cat.png,waves.png\n")
    second = run_of(tmp_path, "second", "id,content,style\nb,cat.png,night.png\n")

    with pytest.raises(OutputError, match="nothing to compare"):
        write_comparison([first.address, second.address], str(tmp_path / "page.html"))


def test_cells_are_text_and_never_markup(tmp_path: Path) -> None:
    """As in the page of one run, cells are escaped and never become markup."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    page, _ = written([studio(tmp_path / "a"), studio(tmp_path / "b")], str(tmp_path / "page.html"))

    assert page.count("</script>") == 3
    assert "<script>document" not in page


def test_outputs_on_disk_can_be_compared_in_a_page_on_s3(light_and_strong: list[Output], s3_bucket: str) -> None:
    """The thumbnails are inside the page, and images that no link can reach have no link."""
    page, data = written(light_and_strong, f"{s3_bucket}/pages/compared.html")

    assert page.count("data:image/webp") == 1 + 2 + 3
    assert all("full" not in run for row in data["rows"] for run in row["runs"])
    assert link(f"{s3_bucket}/out", "images/a.png", f"{s3_bucket}/pages/p.html") == "../out/images/a.png"
    assert link("s3://elsewhere/out", "images/a.png", f"{s3_bucket}/pages/p.html") is None


def test_the_command_compares_two_outputs_or_more(
    light_and_strong: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nst report A B` writes comparison.html in the working folder, or the file that `--output` names."""
    monkeypatch.chdir(tmp_path)
    addresses = [output.address for output in light_and_strong]

    outcome = CliRunner().invoke(cli.app, ["report", *addresses])
    told = CliRunner().invoke(cli.app, ["report", *addresses, "--output", "told.html"])

    assert (outcome.exit_code, outcome.stdout) == (0, f"{tmp_path}/comparison.html\n")
    assert (told.exit_code, told.stdout) == (0, f"{tmp_path}/told.html\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["light", "light"],
        ["light", "--output", "x.html"],
        ["light", "strong", "--output", "strong/images/x.html"],
    ],
)
def test_senseless_arguments_are_refused(
    light_and_strong: list[Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """The same output twice, `--output` with a single output, and a page among an output's images are refused."""
    monkeypatch.chdir(tmp_path)

    assert CliRunner().invoke(cli.app, ["report", *arguments]).exit_code == cli.ExitCode.UNUSABLE
    assert list(tmp_path.rglob("x.html")) == []

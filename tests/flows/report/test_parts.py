"""flows.report: what a page is made of: rows, curves, outliers, bins, commands, small pictures."""

import io
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows import cli, storage
from flows.errors import NotAllowed, OutputError, Unavailable
from flows.limits import Limits, limits_in_force
from flows.report.commands import retry_command, run_command
from flows.report.gather import gather
from flows.report.histograms import histogram
from flows.report.outliers import FEWEST, find_outliers
from flows.report.run_page import write_report
from flows.report.scatter import MOST_POINTS, scatter
from flows.report.sheet import write_sheet
from flows.report.thumbnails import Thumbnail, Wanted, encoded, small_picture, small_pictures
from nst_core.options import StylizeOptions
from tests.flows.builders import run_record
from tests.flows.outputs import OPTIONS, Output, drawing, studio

NO_LIMITS = Limits()


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return studio(tmp_path)


# ---------------------------------------------------------------- rows and curves


def test_every_row_of_the_manifest_is_gathered(output: Output) -> None:
    """A run has all rows of its manifest, in order, each with what became of it."""
    run = gather(output.address)

    assert [pair.status for pair in run.pairs] == ["succeeded"] * 9 + ["failed", "rejected"]
    assert [bool(pair.output) for pair in run.pairs] == [True] * 9 + [False, False]


def test_originals_of_a_rejected_row_are_not_addresses(output: Output) -> None:
    """What a rejected row names is never read: nobody vouches for it."""
    rejected = gather(output.address).pairs[-1]

    assert (rejected.content, rejected.style) == (None, None)


def test_an_output_without_a_run_is_an_error(tmp_path: Path) -> None:
    """A folder that no run was made into has no page."""
    with pytest.raises(OutputError, match="no run has been made"):
        gather(str(tmp_path))


def test_a_curve_is_the_history_that_the_record_kept(output: Output) -> None:
    """Samples come as the record has them, the coarsest size first; a pair without a history has no curve."""
    output.history("pair-1", [3.0, 2.0, 1.0, 4.0], levels=[2, 1, 0, 0])

    first, second = gather(output.address).pairs[:2]

    assert [(sample.level, sample.total_loss) for sample in first.curve] == [(2, 3.0), (1, 2.0), (0, 1.0), (0, 4.0)]
    assert second.curve == ()


# ---------------------------------------------------------------- outliers and bins


def test_a_loss_far_from_the_others_is_an_outlier(output: Output) -> None:
    """Of nine pairs the one whose total is forty times the others' is marked, with the number that says so."""
    found = find_outliers(gather(output.address).pairs)

    assert list(found) == [10]
    assert any(reason.startswith("total loss 40 is ") and "above the median" in reason for reason in found[10])


def test_a_loss_that_did_not_fall_is_an_outlier(tmp_path: Path) -> None:
    """A pair that ends no better than it began is marked, however few pairs there are."""
    output = Output(str(tmp_path / "out"), "id,content,style\na,a.png,b.png\n", str(tmp_path / "p.csv"))
    output.done("a", total_loss=2.0, initial_total_loss=2.0)

    (reasons,) = find_outliers(gather(output.address).pairs).values()

    assert reasons == ("total loss 2 is not below the 2 it started from",)


def test_few_pairs_have_no_outliers(tmp_path: Path) -> None:
    """Among fewer pairs than the rule takes, none stands apart, whatever its loss."""
    lines = "".join(f"p{n},a.png,b{n}.png\n" for n in range(FEWEST - 1))
    output = Output(str(tmp_path / "out"), f"id,content,style\n{lines}", str(tmp_path / "p.csv"))
    for n in range(FEWEST - 1):
        output.done(f"p{n}", total_loss=1000.0 if n == 0 else 1.0 + n / 100, initial_total_loss=5000.0, style_loss=1.0)

    assert find_outliers(gather(output.address).pairs) == {}


@pytest.mark.parametrize(
    ("option", "odd", "usual"),
    [
        ("style_weight", "300", "30"),
        ("style_layers", "relu1_1", "relu1_1 relu2_1"),
        ("colors", "luminance", "style"),
        ("style_scale", "0.5", "1"),
    ],
)
def test_pairs_of_other_objectives_are_not_compared(tmp_path: Path, option: str, odd: str, usual: str) -> None:
    """A pair with another objective, such as another style weight, has another total loss, and is no outlier for it."""
    lines = "".join(f"p{n},a.png,b{n}.png,{odd if n == 0 else usual}\n" for n in range(10))
    output = Output(str(tmp_path / "out"), f"id,content,style,{option}\n{lines}", str(tmp_path / "p.csv"))
    for n in range(10):
        output.done(f"p{n}", total_loss=1000.0 if n == 0 else 1.0 + n / 100, initial_total_loss=5000.0, style_loss=1.0)

    assert find_outliers(gather(output.address).pairs) == {}


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0] * 5, [0.001, 0.1, 5.0, 900.0], [0.0, 0.5, 90.0]])
def test_every_value_is_in_a_bin(values: list[float]) -> None:
    """Counts of a histogram add up, its bins meet each other, and its ends are the least and the largest value."""
    made = histogram("loss", "Loss", values)

    assert made is not None
    assert sum(one.count for one in made.bins) == len(values)
    assert [one.high for one in made.bins[:-1]] == [one.low for one in made.bins[1:]]
    assert (made.bins[0].low, made.bins[-1].high) == (min(values), max(values))


def test_equal_values_make_no_histogram() -> None:
    """Where all are alike there is nothing to see."""
    assert histogram("loss", "Loss", [0.0, 0.0, 0.0]) is None


# ---------------------------------------------------------------- commands


def test_the_command_of_a_run_is_one_that_the_shell_and_nst_understand(tmp_path: Path) -> None:
    """Every option and setting that was not the default is in it, quoted, and the command takes them all."""
    options = StylizeOptions(size_px=96, steps=5, enlarge=True, style_layers=("relu1_1", "relu2_1"))
    folder = tmp_path / "it's here"
    folder.mkdir()
    settings = {"device": "cpu", "backbone": "vgg19", "weights": None, "precision": "fp32", "pairs_per_task": 256}
    run = Output(
        str(folder / "out"), "content,style\na.png,b.png\n", str(folder / "p.csv"), options=options, settings=settings
    ).run

    program, command, *words = shlex.split(run_command(run, str(folder / "out")))

    assert (program, command, words[0], words[words.index("--output") + 1]) == (
        *("nst", "run", str(folder / "p.csv"), str(folder / "out")),
    )
    assert words[words.index("--style-layers") + 1] == "relu1_1 relu2_1"
    assert words[words.index("--precision") + 1] == "fp32"
    assert "--enlarge" in words
    assert "--pairs-per-task" not in words
    assert not {"--backbone", "--weights"} & set(words)
    # Each option is known: what the command then misses is the manifest's file.
    outcome = CliRunner().invoke(cli.app, [command, *words])
    assert "no manifest" in outcome.output, outcome.output


def test_what_was_for_one_start_alone_is_in_no_command() -> None:
    """Whoever copies it does not take the output from a run at work, wait for one, or debug; a cluster stays chosen."""
    once = {"take_over": True, "wait_for_output_seconds": 60.0, "runner": "inline", "precision": "fp32"}

    plain, on_ray = (
        run_command(run_record({}, manifest_uri="/p.csv", options=StylizeOptions(), settings=settings), "/out")
        for settings in (once, {"runner": "ray"})
    )
    assert plain == "nst run /p.csv --output /out --precision fp32"
    assert on_ray == "nst run /p.csv --output /out --runner ray"


def test_what_came_on_standard_input_is_run_again_from_its_copy(tmp_path: Path) -> None:
    """The command goes to the folder that relative addresses start from, and may be given more options at its end."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    output = Output(str(folder / "out"), "content,style\na.png,b.png\n", str(folder / "standard-input"))
    command = run_command(output.run, output.address)
    printing = f'nst() {{ pwd; echo "$@"; cat; }}; {command} --only b'
    said = subprocess.run(["sh", "-c", printing], capture_output=True, text=True, check=True, cwd="/").stdout

    assert said.startswith(f"{folder}\nrun - --output {output.address} ")
    assert said.endswith(" --only b\ncontent,style\na.png,b.png\n")


def test_what_came_on_standard_input_is_fetched_from_s3() -> None:
    """Of an output on S3 the copy is piped in."""
    run = run_record({}, manifest_uri="/data/standard-input")

    assert run_command(run, "s3://bucket/my out").startswith(
        f"cd /data && aws s3 cp 's3://bucket/my out/_nst/runs/{run.run_id}/manifest.csv' - | nst run - --output "
    )


def test_an_address_is_quoted_for_the_shell() -> None:
    """A name cannot end the command and start another."""
    assert shlex.split(retry_command("/out/$(touch x); rm")) == ["nst", "retry", "/out/$(touch x); rm"]


# ---------------------------------------------------------------- small pictures


def test_a_small_picture_keeps_its_shape(tmp_path: Path) -> None:
    """The long edge is as wanted, the other in proportion; a picture that is small already stays as it is."""
    for name, size in (("wide.jpg", (900, 300)), ("small.png", (40, 20))):
        (tmp_path / name).write_bytes(drawing(name, size, "JPEG" if name.endswith("jpg") else "PNG"))

    sizes = [small_picture(Wanted(str(tmp_path / name), 90), NO_LIMITS).size for name in ("wide.jpg", "small.png")]

    assert sizes == [(90, 30), (40, 20)]


def test_a_large_photograph_is_not_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a JPEG eight times too large, no more is decoded than the thumbnail takes."""
    (tmp_path / "large.jpg").write_bytes(drawing("large", (4000, 3000), "JPEG"))
    decoded: list[tuple[int, int]] = []
    shrink = Image.Image.thumbnail

    def noted(picture: Image.Image, *arguments: object, **options: object) -> None:
        decoded.append(picture.size)
        shrink(picture, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "thumbnail", noted)

    assert small_picture(Wanted(str(tmp_path / "large.jpg"), 200), NO_LIMITS).size == (200, 150)
    assert decoded == [(1000, 750)]


def test_an_upright_photograph_stays_upright(tmp_path: Path) -> None:
    """The orientation that a camera notes is heeded."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40), "red").save(tmp_path / "turned.jpg", exif=exif)

    assert small_picture(Wanted(str(tmp_path / "turned.jpg"), 40), NO_LIMITS).size == (20, 40)


def test_a_picture_of_more_pixels_than_are_allowed_is_not_shown(tmp_path: Path) -> None:
    """The operator's limit holds for pages too, on whose machine the same bomb would burst; of just so many it is."""
    (tmp_path / "cat.png").write_bytes(drawing("cat", (64, 48)))
    wanted = {"cat": Wanted(str(tmp_path / "cat.png"), 32)}
    shown = [
        small_pictures(wanted, lambda key, _: key, Limits(max_image_pixels=pixels))["cat"].missing
        for pixels in (64 * 48, 64 * 48 - 1)
    ]

    assert shown == ["", "not a readable picture"]


def test_pages_and_sheets_show_what_lies_where_only_outputs_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pastiches are read where may be written, though content and style images are not."""
    for name in ("in/cat.png", "in/waves.png"):
        storage.replace(str(tmp_path / name), drawing(name))
    output = Output(str(tmp_path / "runs"), "id,content,style\none,cat.png,waves.png\n", str(tmp_path / "in/pairs.csv"))
    output.done("one")
    made = [[Path(write_report(output.address)).read_bytes(), Path(write_sheet(output.address)).read_bytes()]]
    (tmp_path / "limits.toml").write_text(f'read = ["{tmp_path}/in"]\nwrite = ["{tmp_path}/runs"]\n')
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))
    made += [[Path(write_report(output.address)).read_bytes(), Path(write_sheet(output.address)).read_bytes()]]

    assert made[0] == made[1]
    with pytest.raises(NotAllowed):
        small_picture(Wanted(storage.join(output.address, "images", "one-01234567.png"), 32), limits_in_force())


def test_what_cannot_be_read_costs_its_own_thumbnail(tmp_path: Path) -> None:
    """A missing file, a text file and one that the limits keep closed give reasons; the others are there."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "good.png").write_bytes(drawing("good"))
    (tmp_path / "open" / "text.png").write_bytes(b"no picture")
    (tmp_path / "closed.png").write_bytes(drawing("closed"))
    wanted = {name: Wanted(str(tmp_path / "open" / name), 32) for name in ("good.png", "text.png", "gone.png")}
    wanted["closed.png"] = Wanted(str(tmp_path / "closed.png"), 32)

    shown = small_pictures(wanted, lambda key, _: f"kept {key}", Limits(read=(str(tmp_path / "open"),)))

    assert (shown["good.png"].source, shown["good.png"].width, shown["good.png"].height) == ("kept good.png", 32, 24)
    assert {name: one.missing for name, one in shown.items() if not one.source} == {
        "text.png": "not a readable picture",
        "gone.png": "the file is not there any more",
        "closed.png": "the operator's limits keep it closed",
    }


def test_an_error_of_our_own_storage_is_told(tmp_path: Path) -> None:
    """That the page's own files cannot be written is no matter of one picture: it ends the report."""
    (tmp_path / "good.png").write_bytes(drawing("good"))

    def full(_key: str, _thumbnail: Thumbnail) -> str:
        raise Unavailable("no space left")

    with pytest.raises(Unavailable):
        small_pictures({"good": Wanted(str(tmp_path / "good.png"), 32)}, full, NO_LIMITS)


def test_a_thumbnail_is_a_webp() -> None:
    """Its bytes are what its address says."""
    thumbnail = encoded(Image.open(io.BytesIO(drawing("one"))))

    with Image.open(io.BytesIO(thumbnail.data)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (64, 48))
    assert thumbnail.as_uri().startswith("data:image/webp;base64,")


def test_the_options_of_a_run_do_not_repeat_in_every_command(output: Output) -> None:
    """Only what differs from the defaults is written."""
    words = shlex.split(run_command(output.run, output.address))

    assert words[5:] == ["--size-px", str(OPTIONS.size_px), "--steps", str(OPTIONS.steps), "--device", "cpu"]


# ---------------------------------------------------------------- the plane of two numbers


def test_points_lie_between_the_ends() -> None:
    """Low and high of each axis are its ends; where values differ by more than four times it is logarithmic."""
    found = scatter(("Content", "Style"), [(2, "a", 0.1, 5.0), (3, "b", 1.0, 6.0), (4, "c", 10.0, 7.0)])

    assert found is not None
    assert (found.across.is_logarithmic, found.up.is_logarithmic) == (True, False)
    assert [(round(one.x, 6), round(one.y, 6)) for one in found.points] == [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]
    assert [(one.row, one.pair_id) for one in found.points] == [(2, "a"), (3, "b"), (4, "c")]


def test_nothing_to_see_is_no_plane() -> None:
    """Values that are all alike, and none at all."""
    assert scatter(("x", "y"), [(2, "a", 1.0, 5.0), (3, "b", 1.0, 6.0)]) is None
    assert scatter(("x", "y"), []) is None


def test_a_plane_of_many_shows_some() -> None:
    """Evenly chosen, so that a page stays quick."""
    found = scatter(("x", "y"), [(row, str(row), row + 1.0, row + 1.0) for row in range(3 * MOST_POINTS)])

    assert found is not None
    assert len(found.points) == MOST_POINTS
    assert [one.row for one in found.points[:3]] == [0, 3, 6]

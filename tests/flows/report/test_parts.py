"""flows.report: the parts of a page: rows, curves, outliers, histograms, commands, thumbnails, scatter plots."""

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
    """A run has all rows of its manifest in order, each with its status."""
    run = gather(output.address)

    assert [pair.status for pair in run.pairs] == ["succeeded"] * 9 + ["failed", "rejected"]
    assert [bool(pair.output) for pair in run.pairs] == [True] * 9 + [False, False]


def test_a_rejected_row_has_no_originals(output: Output) -> None:
    """The addresses in a rejected row are unchecked, so they are never read."""
    rejected = gather(output.address).pairs[-1]

    assert (rejected.content, rejected.style) == (None, None)


def test_an_output_without_a_run_is_an_error(tmp_path: Path) -> None:
    """A folder without a run has no page, and gathering its rows is an error."""
    with pytest.raises(OutputError, match="no run has been made"):
        gather(str(tmp_path))


def test_a_curve_is_the_history_of_the_record(output: Output) -> None:
    """Samples have the order of the record, the coarsest level first; a pair without a history has no curve."""
    output.history("pair-1", [3.0, 2.0, 1.0, 4.0], levels=[2, 1, 0, 0])

    first, second = gather(output.address).pairs[:2]

    assert [(sample.level, sample.total_loss) for sample in first.curve] == [(2, 3.0), (1, 2.0), (0, 1.0), (0, 4.0)]
    assert second.curve == ()


# ---------------------------------------------------------------- outliers and histograms


def test_a_loss_far_from_the_others_is_an_outlier(output: Output) -> None:
    """Of nine pairs, the one whose total is about forty times the others' is an outlier, with the reason in numbers."""
    found = find_outliers(gather(output.address).pairs)

    assert list(found) == [10]
    assert any(reason.startswith("total loss 40 is ") and "above the median" in reason for reason in found[10])


def test_a_loss_that_did_not_fall_is_an_outlier(tmp_path: Path) -> None:
    """A pair whose loss ends no lower than it began is an outlier, however few pairs there are."""
    output = Output(str(tmp_path / "out"), "id,content,style\na,a.png,b.png\n", str(tmp_path / "p.csv"))
    output.done("a", total_loss=2.0, initial_total_loss=2.0)

    (reasons,) = find_outliers(gather(output.address).pairs).values()

    assert reasons == ("total loss 2 is not below the 2 it started from",)


def test_few_pairs_have_no_outliers(tmp_path: Path) -> None:
    """Among fewer pairs than the rule requires, none is an outlier, whatever its loss."""
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
def test_outliers_are_found_among_pairs_of_the_same_objective(
    tmp_path: Path, option: str, odd: str, usual: str
) -> None:
    """A pair with another objective, such as another style weight, is no outlier because of its other total loss."""
    lines = "".join(f"p{n},a.png,b{n}.png,{odd if n == 0 else usual}\n" for n in range(10))
    output = Output(str(tmp_path / "out"), f"id,content,style,{option}\n{lines}", str(tmp_path / "p.csv"))
    for n in range(10):
        output.done(f"p{n}", total_loss=1000.0 if n == 0 else 1.0 + n / 100, initial_total_loss=5000.0, style_loss=1.0)

    assert find_outliers(gather(output.address).pairs) == {}


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0] * 5, [0.001, 0.1, 5.0, 900.0], [0.0, 0.5, 90.0]])
def test_every_value_is_in_a_bin(values: list[float]) -> None:
    """The counts of a histogram add up to all values, its bins adjoin, and its ends are the smallest and the largest
    value.
    """
    made = histogram("loss", "Loss", values)

    assert made is not None
    assert sum(one.count for one in made.bins) == len(values)
    assert [one.high for one in made.bins[:-1]] == [one.low for one in made.bins[1:]]
    assert (made.bins[0].low, made.bins[-1].high) == (min(values), max(values))


def test_equal_values_make_no_histogram() -> None:
    """Values that are all equal have no histogram."""
    assert histogram("loss", "Loss", [0.0, 0.0, 0.0]) is None


# ---------------------------------------------------------------- commands


def test_the_command_of_a_run_is_understood_by_shell_and_nst(tmp_path: Path) -> None:
    """The command has every option and setting that is not the default, quoted, and nst accepts all of them."""
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
    # Every option is known, so the command gets as far as the missing manifest.
    outcome = CliRunner().invoke(cli.app, [command, *words])
    assert "no manifest" in outcome.output, outcome.output


def test_settings_for_a_single_start_are_left_out_of_the_command() -> None:
    """Who copies the command does not take over an output, wait for one or debug; the choice of a cluster is kept."""
    once = {"take_over": True, "wait_for_output_seconds": 60.0, "runner": "inline", "precision": "fp32"}

    plain, on_ray = (
        run_command(run_record({}, manifest_uri="/p.csv", options=StylizeOptions(), settings=settings), "/out")
        for settings in (once, {"runner": "ray"})
    )
    assert plain == "nst run /p.csv --output /out --precision fp32"
    assert on_ray == "nst run /p.csv --output /out --runner ray"


def test_the_command_reads_a_manifest_from_stdin_from_its_copy(tmp_path: Path) -> None:
    """The command changes to the folder that relative addresses start from, and options can be added at its end."""
    folder = tmp_path / "it's here"
    folder.mkdir()
    output = Output(str(folder / "out"), "content,style\na.png,b.png\n", str(folder / "standard-input"))
    command = run_command(output.run, output.address)
    printing = f'nst() {{ pwd; echo "$@"; cat; }}; {command} --only b'
    said = subprocess.run(["sh", "-c", printing], capture_output=True, text=True, check=True, cwd="/").stdout

    assert said.startswith(f"{folder}\nrun - --output {output.address} ")
    assert said.endswith(" --only b\ncontent,style\na.png,b.png\n")


def test_the_command_pipes_a_manifest_copy_from_s3() -> None:
    """If a manifest came on standard input, and the output lies on S3, its copy is downloaded and piped in."""
    run = run_record({}, manifest_uri="/data/standard-input")

    assert run_command(run, "s3://bucket/my out").startswith(
        f"cd /data && aws s3 cp 's3://bucket/my out/_nst/runs/{run.run_id}/manifest.csv' - | nst run - --output "
    )


def test_an_address_is_quoted_for_the_shell() -> None:
    """An address in a command cannot end the command and start another one."""
    assert shlex.split(retry_command("/out/$(touch x); rm")) == ["nst", "retry", "/out/$(touch x); rm"]


# ---------------------------------------------------------------- thumbnails


def test_a_thumbnail_keeps_the_shape_of_its_image(tmp_path: Path) -> None:
    """The long edge is as wanted, the other in proportion; an image that is already small keeps its size."""
    for name, size in (("wide.jpg", (900, 300)), ("small.png", (40, 20))):
        (tmp_path / name).write_bytes(drawing(name, size, "JPEG" if name.endswith("jpg") else "PNG"))

    sizes = [small_picture(Wanted(str(tmp_path / name), 90), NO_LIMITS).size for name in ("wide.jpg", "small.png")]

    assert sizes == [(90, 30), (40, 20)]


def test_a_large_photograph_is_not_decoded_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG twenty times too large is decoded at a quarter of its size."""
    (tmp_path / "large.jpg").write_bytes(drawing("large", (4000, 3000), "JPEG"))
    decoded: list[tuple[int, int]] = []
    shrink = Image.Image.thumbnail

    def noted(image: Image.Image, *arguments: object, **options: object) -> None:
        decoded.append(image.size)
        shrink(image, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "thumbnail", noted)

    assert small_picture(Wanted(str(tmp_path / "large.jpg"), 200), NO_LIMITS).size == (200, 150)
    assert decoded == [(1000, 750)]


def test_a_thumbnail_is_turned_upright(tmp_path: Path) -> None:
    """The orientation tag of a camera is applied."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40), "red").save(tmp_path / "turned.jpg", exif=exif)

    assert small_picture(Wanted(str(tmp_path / "turned.jpg"), 40), NO_LIMITS).size == (20, 40)


def test_an_image_with_more_pixels_than_allowed_is_not_shown(tmp_path: Path) -> None:
    """The operator's limit on pixels applies to pages too, so that no decompression bomb is decoded for them."""
    (tmp_path / "cat.png").write_bytes(drawing("cat", (64, 48)))
    wanted = {"cat": Wanted(str(tmp_path / "cat.png"), 32)}
    shown = [
        small_pictures(wanted, lambda key, _: key, Limits(max_image_pixels=pixels))["cat"].missing
        for pixels in (64 * 48, 64 * 48 - 1)
    ]

    assert shown == ["", "not a readable image"]


def test_pages_and_sheets_show_pastiches_below_writable_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits allow to read pastiches where runs may write, although content and style images may not be read there."""
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


def test_an_unreadable_image_costs_only_its_own_thumbnail(tmp_path: Path) -> None:
    """A missing file, a text file and a forbidden file are replaced by reasons; the other thumbnails are made."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "good.png").write_bytes(drawing("good"))
    (tmp_path / "open" / "text.png").write_bytes(b"not an image")
    (tmp_path / "closed.png").write_bytes(drawing("closed"))
    wanted = {name: Wanted(str(tmp_path / "open" / name), 32) for name in ("good.png", "text.png", "gone.png")}
    wanted["closed.png"] = Wanted(str(tmp_path / "closed.png"), 32)

    shown = small_pictures(wanted, lambda key, _: f"kept {key}", Limits(read=(str(tmp_path / "open"),)))

    assert (shown["good.png"].source, shown["good.png"].width, shown["good.png"].height) == ("kept good.png", 32, 24)
    assert {name: one.missing for name, one in shown.items() if not one.source} == {
        "text.png": "not a readable image",
        "gone.png": "the file is not there",
        "closed.png": "the operator's limits keep it closed",
    }


def test_a_thumbnail_that_cannot_be_stored_ends_the_report(tmp_path: Path) -> None:
    """That the page's own files cannot be written is not the fault of one image, so the error is raised."""
    (tmp_path / "good.png").write_bytes(drawing("good"))

    def full(_key: str, _thumbnail: Thumbnail) -> str:
        raise Unavailable("no space left")

    with pytest.raises(Unavailable):
        small_pictures({"good": Wanted(str(tmp_path / "good.png"), 32)}, full, NO_LIMITS)


def test_a_thumbnail_is_a_webp() -> None:
    """The data URI of a thumbnail says WebP, and its bytes are WebP."""
    thumbnail = encoded(Image.open(io.BytesIO(drawing("one"))))

    with Image.open(io.BytesIO(thumbnail.data)) as image:
        assert (image.format, image.size) == ("WEBP", (64, 48))
    assert thumbnail.as_uri().startswith("data:image/webp;base64,")


def test_the_command_leaves_out_defaults(output: Output) -> None:
    """Only options and settings that differ from the defaults are in the command."""
    words = shlex.split(run_command(output.run, output.address))

    assert words[5:] == ["--size-px", str(OPTIONS.size_px), "--steps", str(OPTIONS.steps), "--device", "cpu"]


# ---------------------------------------------------------------- scatter plots


def test_points_lie_between_the_ends_of_the_axes() -> None:
    """Each axis runs from the lowest to the highest value, on a logarithmic scale if these differ by more than four
    times.
    """
    found = scatter(("Content", "Style"), [(2, "a", 0.1, 5.0), (3, "b", 1.0, 6.0), (4, "c", 10.0, 7.0)])

    assert found is not None
    assert (found.across.is_logarithmic, found.up.is_logarithmic) == (True, False)
    assert [(round(one.x, 6), round(one.y, 6)) for one in found.points] == [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]
    assert [(one.row, one.pair_id) for one in found.points] == [(2, "a"), (3, "b"), (4, "c")]


def test_equal_or_missing_values_make_no_scatter_plot() -> None:
    """Without values, or if the values of one axis are all equal, there is no scatter plot."""
    assert scatter(("x", "y"), [(2, "a", 1.0, 5.0), (3, "b", 1.0, 6.0)]) is None
    assert scatter(("x", "y"), []) is None


def test_a_scatter_plot_of_many_pairs_shows_some() -> None:
    """Points are chosen evenly, so that a page stays fast."""
    found = scatter(("x", "y"), [(row, str(row), row + 1.0, row + 1.0) for row in range(3 * MOST_POINTS)])

    assert found is not None
    assert len(found.points) == MOST_POINTS
    assert [one.row for one in found.points[:3]] == [0, 3, 6]

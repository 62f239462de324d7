"""flows.report.sheet, flows.report.cells: the contact sheet."""

import io
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows import cli, storage
from flows.errors import TookTooLong, WorkerDied
from flows.report.cells import SHEET_PX, Cell, drawn
from flows.report.gather import gather
from flows.report.sheet import _grid, _is_full, _strips, write_sheet
from tests.flows.outputs import Output, drawing, studio


def crossed(folder: Path, contents: int, styles: int, size: tuple[int, int] = (64, 48)) -> Output:
    """A run of every content with every style, all done."""
    for n in range(contents):
        (folder / f"content{n}.png").write_bytes(drawing(f"content {n}", size))
    for n in range(styles):
        (folder / f"style{n}.png").write_bytes(drawing(f"style {n}", (48, 48)))
    pairs = [(c, s) for c in range(contents) for s in range(styles)]
    lines = "".join(f"p{c}-{s},content{c}.png,style{s}.png\n" for c, s in pairs)
    output = Output(str(folder / "out"), f"id,content,style\n{lines}", str(folder / "pairs.csv"))
    for c, s in pairs:
        output.done(f"p{c}-{s}", size)
    return output


def colours(picture: Image.Image) -> set[object]:
    found = picture.getcolors(picture.width * picture.height)
    assert found is not None
    return {colour for _, colour in found}


def middle(data: bytes) -> object:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.getpixel((picture.width // 2 - 2, picture.height // 2 - 2))


def test_contents_and_styles_make_a_grid(tmp_path: Path) -> None:
    """One row per content, one column per style, with a head of each, and every picture in the PNG."""
    output = crossed(tmp_path, 2, 3)

    table = _grid(gather(output.address))
    sheet = Image.open(write_sheet(output.address))

    assert [len(row) for row in table] == [4, 4, 4]
    assert [cell.label for cell in table[0]] == ["", "style0", "style1", "style2"]
    assert [row[0].label for row in table] == ["", "content0", "content1"]
    assert sheet.format == "PNG"
    shown = [middle(storage.read(cell.address)) for row in table for cell in row if cell.address]
    assert len(set(shown)) == 2 + 3 + 6
    assert set(shown) <= colours(sheet)


def test_a_sparse_run_is_shown_in_strips(tmp_path: Path) -> None:
    """Where a grid would be mostly empty, each pair is content, style and pastiche."""
    pairs = [("a", "x"), ("b", "y"), ("c", "z")]
    lines = "".join(f"{content}-{style},{content}.png,{style}.png\n" for content, style in pairs)
    output = Output(str(tmp_path / "out"), f"id,content,style\n{lines}", str(tmp_path / "pairs.csv"))
    for content, style in pairs:
        output.done(f"{content}-{style}")
    run = gather(output.address)

    assert not _is_full(run)
    assert [[cell.label for cell in row] for row in _strips(run)] == [
        ["a", "x", "a-x"],
        ["b", "y", "b-y"],
        ["c", "z", "c-z"],
    ]


def test_a_pair_without_a_picture_says_why(tmp_path: Path) -> None:
    """A failed pair is a cell with its status; a pair that nobody asked for is empty."""
    output = studio(tmp_path)
    table = _grid(gather(output.address))

    words = {cell.words for row in table for cell in row if cell.words}
    assert words == {"failed"}


@pytest.mark.parametrize("error", [TookTooLong("held up"), WorkerDied("killed twice")])
def test_a_picture_whose_decoder_dies_costs_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As on a page: the sheet is made of the others."""

    def dead(*_: object) -> None:
        raise error

    output = studio(tmp_path)
    monkeypatch.setattr("flows.report.thumbnails.decode", dead)

    assert storage.size(write_sheet(output.address)) > 0


def test_large_sheets_keep_to_a_slide(tmp_path: Path) -> None:
    """However many pairs, a sheet is not larger than a 4K slide; a single pair is no postage stamp."""
    many = [[Cell(None, words="none")] * 30 for _ in range(30)]

    assert max(drawn(many).size) <= SHEET_PX
    assert drawn([[Cell(None, words="none")]]).width >= 320


def test_what_does_not_fit_is_said_to_be_left_out(tmp_path: Path) -> None:
    """A sheet of thousands would show nothing: the first hundreds are on it, and below how many there are in all."""
    lines = "".join(f"p{n},a{n}.png,b{n}.png\n" for n in range(500))
    output = Output(str(tmp_path / "out"), f"id,content,style\n{lines}", str(tmp_path / "pairs.csv"))
    for n in range(500):
        output.done(f"p{n}")

    table = _strips(gather(output.address))
    sheet = Image.open(write_sheet(output.address))

    assert (len(table), len(table[0])) == (36, 36)
    assert max(sheet.size) <= SHEET_PX
    foot = sheet.crop((0, sheet.height - 50, sheet.width, sheet.height))
    assert len(colours(foot)) > 1


def test_a_run_without_pictures_has_no_sheet(tmp_path: Path) -> None:
    """Nothing finished, nothing shown, and one line that says so."""
    output = Output(str(tmp_path / "out"), "id,content,style\na,a.png,b.png\n", str(tmp_path / "pairs.csv"))

    outcome = CliRunner().invoke(cli.app, ["sheet", output.address])

    assert outcome.exit_code == cli.ExitCode.UNUSABLE
    assert "expected finished pairs" in outcome.output


def test_a_stub_is_called_one(tmp_path: Path) -> None:
    """A sheet of made-up pictures has a band that no slide overlooks."""
    output = crossed(tmp_path, 1, 1)
    plain = Image.open(write_sheet(output.address))
    made_up = drawn(_grid(gather(output.address)), warning="STUB: made up, not stylized")

    assert (0xFF, 0xD4, 0) in colours(made_up)
    assert (0xFF, 0xD4, 0) not in colours(plain)


def test_the_command_writes_where_it_is_told(tmp_path: Path, s3_bucket: str) -> None:
    """--output takes a path or an S3 address, and the command prints it."""
    output = crossed(tmp_path, 1, 2)

    for place in (str(tmp_path / "slides" / "sheet.png"), f"{s3_bucket}/slides/sheet.png"):
        outcome = CliRunner().invoke(cli.app, ["sheet", output.address, "--output", place, "--layout", "grid"])
        assert (outcome.exit_code, outcome.stdout) == (0, f"{place}\n")
        assert storage.read(place).startswith(b"\x89PNG")


@pytest.mark.parametrize("place", ["images/p0-0-01234567.png", "timelines/sheet.png", "_nst/deep/sheet.png"])
def test_a_sheet_is_not_written_among_what_runs_have_made(tmp_path: Path, place: str) -> None:
    """A picture that is named as the sheet's place stays; the output itself takes a sheet of any name."""
    output = crossed(tmp_path, 1, 1)
    before = {entry.name: storage.read(f"{output.address}/{entry.name}") for entry in storage.tree(output.address)}
    (tmp_path / "link").symlink_to("out")

    for target in (f"{output.address}/{place}", f"{tmp_path}/link/{place}"):
        outcome = CliRunner().invoke(cli.app, ["sheet", output.address, "--output", target])
        assert outcome.exit_code == cli.ExitCode.UNUSABLE
        assert f"found a place in {place.partition('/')[0]} of the output" in outcome.stderr
    assert {
        entry.name: storage.read(f"{output.address}/{entry.name}") for entry in storage.tree(output.address)
    } == before
    assert CliRunner().invoke(cli.app, ["sheet", output.address, "-o", f"{output.address}/images.png"]).exit_code == 0

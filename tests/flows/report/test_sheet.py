"""flows.report.sheet and flows.report.cells: the contact sheet."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows import cli, storage
from flows.decoding.decoder_pool import decode
from flows.decoding.decoder_process import WantedPicture
from flows.errors import TookTooLong, WorkerDied
from flows.report.cells import SHEET_PX, Cell, Table, drawn
from flows.report.gather import gather
from flows.report.sheet import MOST_SIDE, _grid, _is_full, _strips, write_sheet
from tests.flows.outputs import Output, drawing, studio


def crossed(folder: Path, contents: int, styles: int, size: tuple[int, int] = (64, 48)) -> Output:
    """Make a run of every content with every style, all finished."""
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


def colours(image: Image.Image) -> set[object]:
    found = image.getcolors(image.width * image.height)
    assert found is not None
    return {colour for _, colour in found}


def middle(data: bytes) -> object:
    with Image.open(io.BytesIO(data)) as image:
        return image.getpixel((image.width // 2 - 2, image.height // 2 - 2))


def test_contents_and_styles_make_a_grid(tmp_path: Path) -> None:
    """The sheet has a row per content, a column per style, a header for each, and every image."""
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
    """If most cells of a grid would be empty, each pair is a strip of content, style and pastiche."""
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


def test_a_cell_without_an_image_has_the_pair_s_status(tmp_path: Path) -> None:
    """The cell of a failed pair shows its status, and that of a combination that is not in the manifest is empty."""
    output = studio(tmp_path)
    table = _grid(gather(output.address))

    words = {cell.words for row in table for cell in row if cell.words}
    assert words == {"failed"}


@pytest.mark.parametrize("error", [TookTooLong("held up"), WorkerDied("killed twice")])
def test_an_image_whose_decoder_dies_costs_only_its_own_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The sheet shows all the other images."""

    def dies_once(data: bytes, name: str, wanted: WantedPicture) -> Any:
        if name == "content0.png":
            raise error
        return decode(data, name, wanted)

    output = crossed(tmp_path, 2, 1)
    monkeypatch.setattr("flows.report.thumbnails.decode", dies_once)
    sheet = Image.open(write_sheet(output.address))

    addresses = [cell.address for row in _grid(gather(output.address)) for cell in row if cell.address]
    shown = {address for address in addresses if middle(storage.read(address)) in colours(sheet)}
    assert set(addresses) - shown == {str(tmp_path / "content0.png")}
    assert len(shown) == 1 + 1 + 2


def test_sheets_are_neither_too_large_nor_too_small() -> None:
    """However many pairs there are, a sheet is not larger than a 4K slide, and a single cell is not tiny."""
    many = [[Cell(None, words="none")] * MOST_SIDE for _ in range(MOST_SIDE)]

    assert max(drawn(many).size) <= SHEET_PX
    assert drawn([[Cell(None, words="none")]]).width >= 320


def test_a_foot_line_counts_the_pairs_that_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sheet has so many rows and columns at most; below them stands how many of all pairs it shows."""
    lines = "".join(f"p{n},a{n}.png,b{n}.png\n" for n in range(20))
    output = Output(str(tmp_path / "out"), f"id,content,style\n{lines}", str(tmp_path / "pairs.csv"))
    for n in range(20):
        output.done(f"p{n}")

    feet: list[str] = []

    def noted(table: Table, **options: Any) -> Image.Image:
        feet.append(options["foot"])
        return drawn(table, **options)

    monkeypatch.setattr("flows.report.sheet.MOST_SIDE", 6)
    monkeypatch.setattr("flows.report.sheet.drawn", noted)
    table = _strips(gather(output.address))
    write_sheet(output.address)

    assert (len(table), len(table[0])) == (6, 6)
    assert feet == ["12 of 20 pairs"]
    blank = [[Cell(None)]]
    assert colours(drawn(blank, foot=feet[0])) > colours(drawn(blank))


def test_a_run_without_finished_pairs_has_no_sheet(tmp_path: Path) -> None:
    """The command says that it expected finished pairs."""
    output = Output(str(tmp_path / "out"), "id,content,style\na,a.png,b.png\n", str(tmp_path / "pairs.csv"))

    outcome = CliRunner().invoke(cli.app, ["sheet", output.address])

    assert outcome.exit_code == cli.ExitCode.UNUSABLE
    assert "expected finished pairs" in outcome.output


def test_a_sheet_of_stub_results_has_a_warning(tmp_path: Path) -> None:
    """A sheet of made-up images has a band with a warning in a colour of its own."""
    output = crossed(tmp_path, 1, 1)
    plain = Image.open(write_sheet(output.address))
    made_up = drawn(_grid(gather(output.address)), warning="STUB: made up, not stylized")

    assert (0xFF, 0xD4, 0) in colours(made_up)
    assert (0xFF, 0xD4, 0) not in colours(plain)


def test_the_command_writes_to_the_given_address(tmp_path: Path, s3_bucket: str) -> None:
    """`--output` takes a path or an S3 address, and the command prints it."""
    output = crossed(tmp_path, 1, 2)

    for place in (str(tmp_path / "slides" / "sheet.png"), f"{s3_bucket}/slides/sheet.png"):
        outcome = CliRunner().invoke(cli.app, ["sheet", output.address, "--output", place, "--layout", "grid"])
        assert (outcome.exit_code, outcome.stdout) == (0, f"{place}\n")
        assert storage.read(place).startswith(b"\x89PNG")


@pytest.mark.parametrize("place", ["images/p0-0-01234567.png", "timelines/sheet.png", "_nst/deep/sheet.png"])
def test_a_sheet_never_overwrites_files_of_a_run(tmp_path: Path, place: str) -> None:
    """A place in an output's own folders is refused, also behind a link; the output's top folder takes a sheet of any
    name.
    """
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

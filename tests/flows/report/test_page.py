"""The content of report.html, for outputs on disk and on S3."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import cli, storage
from flows.report.run_page import write_report
from tests.flows.outputs import Output, drawing, studio


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return studio(tmp_path)


def written(output: str, **options: Any) -> str:
    address = write_report(output, **options)

    assert address == storage.join(output, "report.html")
    return storage.read(address).decode()


def block(page: str, name: str) -> Any:
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    return json.loads(text)


def test_the_page_needs_no_other_files(output: Output) -> None:
    """The page refers to no network address and to no other file, except for the stylized images at full size."""
    page = written(output.address)

    assert re.findall(r"<(?:link|script|img|iframe)[^>]*\b(?:src|href)=[\"']?(?!data:|[\"'])", page) == []
    assert re.findall(r"url\(|@import|https?://(?!www\.w3\.org|example\.com)", page) == []
    assert all(row["full"].startswith("images/") for row in block(page, "data")["rows"] if "full" in row)
    sources = [one[0] for one in block(page, "pictures").values() if isinstance(one, list)]
    assert len(sources) == 2 + 2 + 9
    assert all(source.startswith("data:image/webp;base64,") for source in sources)


def test_every_row_is_in_the_page_with_its_numbers(output: Output) -> None:
    """The rows are those of the table; an image that several pairs share is in the page once."""
    rows = block(written(output.address), "data")["rows"]

    assert [row["status"] for row in rows] == ["succeeded"] * 9 + ["failed", "rejected"]
    assert (rows[0]["total_loss"], rows[0]["size"], rows[0]["c"], rows[2]["c"]) == (1.02, [64, 48], "c0", "c0")
    assert rows[9]["error"] == "gone.png: no such file <b>here</b>"
    assert [row["id"] for row in rows if "outlier" in row] == ["far"]


def test_cells_are_text_and_never_markup(output: Output) -> None:
    """A cell with a script and an error with a tag are escaped, and end no block that contains them."""
    page = written(output.address)

    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert "<b>here</b>" not in page
    assert "&lt;b&gt;here&lt;/b&gt;" in page
    assert page.count("</script>") == 3
    assert block(page, "data")["rows"][8]["extra"]["note"].startswith("<script>")


def test_only_the_page_s_own_script_may_run(output: Output) -> None:
    """The page's policy allows its script by hash, and forbids all other scripts and all requests."""
    page = written(output.address)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)

    assert "default-src &#39;none&#39;" in policy
    assert re.search(r"script-src &#39;sha256-[A-Za-z0-9+/]{43}=&#39;", policy)
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_failed_and_rejected_rows_come_with_commands(output: Output) -> None:
    """The page has the commands that retry the failed rows and run the manifest again."""
    page = written(output.address)

    assert f"nst retry {output.address}" in page
    assert f"nst run {output.manifest.uri} --output {output.address} --size-px 64 --steps 20" in page


def test_a_page_with_stub_results_says_so(output: Output, tmp_path: Path) -> None:
    """Made-up images are never shown without the word STUB, and those of a real backbone never with it."""
    (tmp_path / "made-up").mkdir()
    made_up = studio(tmp_path / "made-up", backbone="stub")
    made_up.done("lost", backbone="stub", total_loss=1.1)

    assert '<div class="stub"' not in written(output.address)
    assert "<title>STUB: " in written(made_up.address)
    assert "<strong>STUB</strong>" in written(made_up.address)


def test_thumbnails_of_many_pairs_are_files(output: Output) -> None:
    """Above the threshold thumbnails are files in the output, and are not made again for the same images."""
    page = written(output.address, most_embedded=10, rows_a_page=4)
    folder = Path(output.address, "_nst", "thumbs")
    before = {one.name: one.stat().st_mtime_ns for one in folder.iterdir()}

    sources = [one[0] for one in block(page, "pictures").values() if isinstance(one, list)]
    assert len(sources) == len(before) == 13
    assert all(Path(output.address, source).is_file() for source in sources)
    assert block(page, "data")["rowsAPage"] == 4
    assert written(output.address, most_embedded=10, rows_a_page=4) == page
    assert {one.name: one.stat().st_mtime_ns for one in folder.iterdir()} == before


def test_a_page_can_be_written_on_s3(s3_bucket: str) -> None:
    """The page of an output on S3 is read from and written to S3."""
    storage.replace(f"{s3_bucket}/in/cat.png", drawing("cat"))
    storage.replace(f"{s3_bucket}/in/waves.jpg", drawing("waves", (48, 64), "JPEG"))
    manifest = "id,content,style\none,cat.png,waves.jpg\n"
    output = Output(f"{s3_bucket}/out", manifest, f"{s3_bucket}/in/pairs.csv")
    output.done("one", total_loss=1.0)

    page = written(output.address)

    assert [one[1:] for one in block(page, "pictures").values()] == [[64, 48], [48, 64], [64, 48]]


def test_a_missing_original_is_replaced_by_the_reason(output: Output, tmp_path: Path) -> None:
    """A page can be made long after the run: it shows a reason in place of an image that has been removed."""
    (tmp_path / "cat.png").unlink()

    images = block(written(output.address), "pictures")

    assert [key for key, one in images.items() if one == "the file is not there"] == ["c0", "c2"]


def test_a_changed_original_is_replaced_by_the_reason(output: Output, tmp_path: Path) -> None:
    """Another image under the same name is not shown as the original of a pastiche."""
    (tmp_path / "cat.png").write_bytes(drawing("another"))

    images = block(written(output.address), "pictures")

    assert [key for key, one in images.items() if one == "the file is another one by now"] == ["c0"]


def test_the_page_names_settings_versions_and_weights(output: Output) -> None:
    """Options, engine version, hash of the weights, run and manifest are in the page."""
    page = written(output.address)

    for fact in ("ab" * 32, "0.1.0", "size_px 64, steps 20", output.run.run_id, output.manifest.uri):
        assert fact in page


def test_the_command_prints_the_page_s_address(output: Output) -> None:
    """`nst report OUT` writes the page and prints its address."""
    outcome = CliRunner().invoke(cli.app, ["report", output.address])

    assert (outcome.exit_code, outcome.stdout) == (0, f"{output.address}/report.html\n")
    assert Path(output.address, "report.html").is_file()


@pytest.mark.parametrize("command", ["report", "sheet"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, command: str) -> None:
    """The command says that the folder has no run, and writes nothing."""
    outcome = CliRunner().invoke(cli.app, [command, str(tmp_path)])

    assert outcome.exit_code == cli.ExitCode.UNUSABLE
    assert "no run has been made into this output" in outcome.output
    assert list(tmp_path.iterdir()) == []


def test_limits_can_forbid_writing_the_page(output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the operator's limits do not allow writing, no page is written."""
    limits = tmp_path / "limits.toml"
    limits.write_text(f'write = ["{tmp_path}/elsewhere"]\n')
    monkeypatch.setenv("NST_LIMITS", str(limits))

    outcome = CliRunner().invoke(cli.app, ["report", output.address])

    assert outcome.exit_code == cli.ExitCode.UNUSABLE
    assert not Path(output.address, "report.html").exists()

"""`nst ladder` as a subprocess: one pair over a grid of settings."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.pictures import gradient, stripes

Nst = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


def test_a_ladder_makes_a_sheet_and_a_manifest_row_per_setting(nst: Nst, tmp_path: Path) -> None:
    """Each combination of settings gets an image on the sheet, and a manifest row that is printed and in the output."""
    out = tmp_path / "out"
    gradient(64, 48, 1).save(tmp_path / "cat.png")
    stripes(64, 48, 2).save(tmp_path / "waves.png")
    varied = ("--vary", "strength=0.2,0.5,0.8", "--vary", "colors=style,match")

    done = nst("ladder", "cat.png", "waves.png", *varied, "--backbone", "stub", "--output", out)

    assert done.returncode == 0, done.stderr
    rows = (out / "ladder.csv").read_text().splitlines()
    assert len(rows) == 7
    assert rows[1] == f"strength-0.2_colors-style,{tmp_path}/cat.png,{tmp_path}/waves.png,0.2,style"
    assert done.stdout.splitlines()[-7:] == rows
    assert f"the sheet is {out / 'ladder.png'}" in done.stdout
    assert len(list((out / "images").iterdir())) == 6
    with Image.open(out / "ladder.png") as sheet:
        assert sheet.height > sheet.width  # two columns, four rows

"""flows.manifest.rows_of_python: a DataFrame or a list of dicts is written as a CSV manifest into the output."""

import os
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from flows import storage
from flows.errors import ManifestError, NotAllowed, NotFound
from flows.limits import Limits
from flows.manifest import load_manifest
from flows.manifest.cells import cell_of
from flows.manifest.rows_of_python import csv_of, save_rows
from nst_core.options import StylizeOptions


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("a", "a"),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        (True, "true"),
        (np.bool_(False), "false"),
        (7, "7"),
        (np.int64(2**63 - 1), "9223372036854775807"),
        (512.0, "512"),
        (0.1, "0.1"),
        (np.float64(0.25), "0.25"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (np.float32("nan"), ""),
        (np.datetime64("NaT"), ""),
        (Decimal("NaN"), ""),
        (Decimal("1.500"), "1.5"),
        (Decimal("sNaN"), ""),
        (Decimal(1000), "1000"),
        (Decimal("1E+3"), "1000"),
        (Decimal(12345678901234567890123456789012345678), "12345678901234567890123456789012345678"),
        (PurePosixPath("/a/b.jpg"), "/a/b.jpg"),
    ],
)
def test_a_value_becomes_a_cell(value: Any, cell: str) -> None:
    """Missing values become empty cells, and whole numbers have no fraction."""
    assert cell_of(value) == cell


def test_a_frame_and_a_list_of_rows_are_the_same_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both become the same file in the output, in which addresses relative to the current folder are absolute."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"content": "in/a.jpg", "style": "s3://b/s.png", "size_px": 64, "note": 'x, "y"'},
        {"content": PurePosixPath("/in/b.jpg"), "style": "s.png", "style_2": "t.png", "steps": 3},
    ]
    kept = save_rows(pd.DataFrame(rows, index=[7, 9]), f"{tmp_path}/out", Limits())
    _, manifest = load_manifest(kept, StylizeOptions(), Limits())

    assert storage.read(kept).decode() == (
        "content,style,size_px,note,style_2,steps\n"
        f'{tmp_path}/in/a.jpg,s3://b/s.png,64,"x, ""y""",,\n'
        f"/in/b.jpg,{tmp_path}/s.png,,,{tmp_path}/t.png,3\n"
    )
    assert save_rows(rows, f"{tmp_path}/out", Limits()) == kept
    assert os.listdir(tmp_path / "out" / "_nst" / "given") == [os.path.basename(kept)]
    assert [pair.options.size_px for pair in manifest.pairs] == [64, 512]


def test_invalid_addresses_are_left_to_the_parser(tmp_path: Path) -> None:
    """An invalid address is written unchanged, so that the manifest's parser rejects its row."""
    kept = save_rows([{"content": "http://x/a.jpg", "style": ""}], str(tmp_path), Limits())
    _, manifest = load_manifest(kept, StylizeOptions(), Limits())

    assert [error.column for error in manifest.rejected[0].errors] == ["content", "style"]


@pytest.mark.parametrize("rows", [7, [("a", "b")], {"content": ["a"]}, b"content,style\n"])
def test_other_types_than_tables_are_refused(rows: Any) -> None:
    """The message says which types are accepted."""
    with pytest.raises(ManifestError, match="expected a manifest's address, a pandas DataFrame or a list of rows"):
        csv_of(rows)


@pytest.mark.parametrize("value", [[0.7, 0.3], (1, 2), b"a.jpg", np.array([1, 2]), {"a": 1}, pd.Series([1])])
def test_a_value_that_is_a_collection_is_refused(value: Any) -> None:
    """The message has the row as numbered in the CSV, the column and the type; Python's repr would be no file name."""
    rows = [{"content": "a", "style": "b"}, {"content": "a", "style": "c", "style_blend": value}]
    kind = type(value).__name__

    with pytest.raises(
        ManifestError, match=f"^row 3, column 'style_blend': expected a text or a number, found {kind};"
    ):
        csv_of(rows)


def test_a_column_may_be_named_by_a_number() -> None:
    """A column whose name is a number, such as a year, becomes a column of text."""
    rows = [{"content": "/a", "style": "/b", 2026: "x"}]

    assert csv_of(rows) == csv_of(pd.DataFrame(rows)) == b"content,style,2026\n/a,/b,x\n"


def test_a_frame_of_another_library_is_named_with_its_library() -> None:
    """The message says `a pyarrow Table`, as other libraries too have types with such names."""
    with pytest.raises(ManifestError, match=r"\(dictionaries\), found a pyarrow Table$"):
        csv_of(pa.table({"content": ["a"], "style": ["b"]}))


def test_an_index_with_a_name_is_a_column() -> None:
    """An index that `set_index` made becomes columns again; one that is also a column becomes one column."""
    rows = [{"id": "cat", "content": "/a", "style": "/b"}]
    frame = pd.DataFrame(rows)
    plain = b"id,content,style\ncat,/a,/b\n"

    assert csv_of(frame.set_index("id")) == csv_of(frame.set_index("id", drop=False)) == csv_of(frame) == plain
    assert csv_of(frame.set_index(["id", "content"])) == plain


def test_rows_are_written_only_where_the_limits_allow(tmp_path: Path) -> None:
    """The operator's limits on writing apply to the file of the rows, and nothing is created outside of them."""
    with pytest.raises(NotAllowed):
        save_rows([{"content": "a", "style": "b"}], str(tmp_path / "out"), Limits(write=(str(tmp_path / "else"),)))
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A file name in Latin-1, as Python returns it from the system, is refused with its line."""
    name = os.fsdecode(b"caf\xe9.jpg")

    with pytest.raises(ManifestError, match=r"line 3: expected texts, found '\\udce9' in one.*rename it"):
        csv_of([{"content": "a.jpg", "style": "s.jpg"}, {"content": name, "style": "s.jpg"}])


@pytest.mark.parametrize("rows", [[], pd.DataFrame(), pd.DataFrame({"content": [], "style": []})], ids=repr)
def test_an_empty_table_is_refused(tmp_path: Path, rows: Any) -> None:
    """A table without rows raises an error before anything is written."""
    with pytest.raises(ManifestError, match=r"^expected rows, found none$"):
        save_rows(rows, str(tmp_path), Limits())
    assert os.listdir(tmp_path) == []


def test_an_image_object_in_a_cell_is_refused() -> None:
    """An image of any PIL class is refused with its row, its column and what to do."""
    for image in (Image.new("RGB", (1, 1)), PngImageFile.__new__(PngImageFile)):
        with pytest.raises(
            ManifestError,
            match=r"^row 2, column 'content': expected a path, found PIL\.Image\.Image; save it and give its path$",
        ):
            csv_of([{"content": image, "style": "b"}])


@pytest.mark.parametrize("column", ["content", "style", "style_2"])
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_line_break_in_an_address_is_refused(column: str, end: str) -> None:
    """The address of an image may not contain a line break; other cells may."""
    rows = [{"content": "/a", "style": "/b", "style_2": "/c", "note": f"x{end}y"}]
    assert csv_of(rows)

    with pytest.raises(ManifestError, match=f"^row 2, column '{column}': expected one line, found a line break$"):
        csv_of([rows[0] | {column: f"/a{end}"}])


def test_absolute_addresses_need_no_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with absolute addresses can be written if the working folder was removed; relative ones cannot."""
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    rows = [{"content": "/a.png", "style": "s3://b/s.png", "style_2": None}]

    assert csv_of(rows) == b"content,style,style_2\n/a.png,s3://b/s.png,\n"
    with pytest.raises(NotFound, match="the working folder is gone"):
        csv_of([rows[0] | {"style": "s.png"}])

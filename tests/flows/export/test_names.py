"""flows.export.names: templates over a row's columns, and the names that they give to images."""

import os
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.export.layouts import LAYOUT_SPECS, Layout, LayoutSpec
from flows.export.names import MOST_BYTES_OF_A_PART, names_of, parse_template, stem, stems_of
from flows.export.pictures import Picture, Unfinished
from flows.spreadsheets import as_plain_text
from nst_core.errors import OptionsError

COLUMNS = ("pair_id", "row", "content", "style", "total_loss", "note", "my column", "style_2")


def image(row: int = 2, *, ending: str = ".png", folder: str = "", **cells: Any) -> Picture:
    values = dict.fromkeys(COLUMNS) | {"pair_id": f"pair-{row}", "row": row, "content": "in/cat.jpg"}
    values |= {"style": "s3://b/art/waves.v2.png", "total_loss": 0.25, "note": "a note", "my column": "x"} | cells
    return Picture(values, f"/out/images/{values['pair_id']}-01234567{ending}", "ab" * 32, folder)


def names(text: str, *images: Picture, layout: LayoutSpec = LAYOUT_SPECS[Layout.IMAGEFOLDER]) -> list[str]:
    return list(names_of(images or (image(),), parse_template(text, COLUMNS), layout))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{pair_id}", "pair-2.png"),
        ("{id}", "pair-2.png"),
        ("{pair_id}.png", "pair-2.png"),
        ("{pair_id}.PNG", "pair-2.png"),
        ("{style}/{content}.png", "waves.v2/cat.png"),
        ("{row:05d}-{total_loss:.3f}", "00002-0.250.png"),
        ("{my column} {{of}} {note}", "x {of} a note.png"),
        ("v1.{pair_id}", "v1.pair-2.png"),
        ("{style_2}x{pair_id}", "xpair-2.png"),
    ],
)
def test_a_template_is_filled_with_a_row(text: str, name: str) -> None:
    """Images give their file's stem, other columns their value, and numbers may have a format; the file's ending comes
    last.
    """
    assert names(text) == [name]


def test_the_ending_is_that_of_the_file() -> None:
    """A template without an ending takes that of each file; a template whose ending differs from a
    file's is refused.
    """
    both = image(2), image(3, ending=".jpg"), image(4, ending=".tif")

    assert names("{pair_id}", *both) == ["pair-2.png", "pair-3.jpg", "pair-4.tif"]
    assert names("{pair_id}.jpeg", both[1]) == ["pair-3.jpg"]
    with pytest.raises(OptionsError, match=r"line 3 pair-3: is a \.jpg file, the template says \.png"):
        names("{pair_id}.png", *both)


@pytest.mark.parametrize("text", ["{pair_id}", "{pair_id}.jpg", "{style}/{content}.PNG", "v1.{note}"])
@pytest.mark.parametrize("layout", LAYOUT_SPECS.values(), ids=LAYOUT_SPECS)
def test_unfinished_rows_have_the_stems_of_their_later_images(text: str, layout: LayoutSpec) -> None:
    """The stem is the same in whatever format the image will be; a row that cannot be named, as without an id, has
    none.
    """
    kind = ".jpg" if text.endswith(".jpg") else ".png"
    one = image(2, ending=kind, folder="a/B", note="Dog.v2", style="Waves.v2.tif")
    rows = [Unfinished(one.row, one.folder), Unfinished(dict.fromkeys(COLUMNS), "")]
    by = parse_template(text, COLUMNS)
    (name,) = names_of([one], by, layout)

    assert stem(name) in stems_of(rows, by, layout)
    assert stems_of(rows[1:], parse_template("{pair_id}", COLUMNS), layout) == frozenset()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{stile}", r"there is no column 'stile'; was 'style' meant\?"),
        ("{Style-2}", r"was 'style_2' meant\?"),
        ("{zzzz}", "there is no column 'zzzz'; there are 'pair_id', 'row'"),
        ("{style", "expected '}'"),
        ("images", "expected a column in braces"),
        ("{}", "there is no column ''"),
        ("{style!r}", "expected a format like"),
        ("{pair_id.__class__}", "there is no column"),
        ("{row:99999999d}", "expected a format like"),
    ],
)
def test_an_invalid_template_is_refused(text: str, reason: str) -> None:
    """The error for an unknown column suggests the nearest one; only columns and short formats are accepted."""
    with pytest.raises(OptionsError, match=reason):
        names(text)


def test_a_number_format_is_refused_for_text() -> None:
    """The error names the row and the column whose value cannot have the format."""
    with pytest.raises(OptionsError, match="line 2 pair-2: column 'note': a number has the format '03d'"):
        names("{note:03d}")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"note": "a"}, {"note": "a"}),
        ({"note": "A"}, {"note": "a"}),
        ({"note": "e\u0301"}, {"note": "\u00e9"}),
        ({"note": "a:b"}, {"note": "a?b"}),
    ],
    ids=["same", "case", "accents", "replaced"],
)
def test_names_that_some_file_system_takes_for_one_are_refused(first: dict[str, str], second: dict[str, str]) -> None:
    """The error names both rows, also if only some file systems take their names for the same."""
    with pytest.raises(OptionsError, match=r"nothing was written.*line 2 pair-2 and line 3 pair-3 would both be"):
        names("{note}", image(2, **first), image(3, **second))


def test_a_name_may_not_be_both_a_file_and_a_folder() -> None:
    """If a name needs a folder where another image would lie, the error names both rows."""
    with pytest.raises(OptionsError, match=r"line 2 pair-2 would be the file, and line 3 pair-3 lie in the folder"):
        names("{note}", image(2, note="a"), image(3, note="a.png/b"))


@pytest.mark.parametrize("note", ["..", "a/../../b", "/etc/passwd", "a//b", "", "a/", "./a", " .. /a", "../../a"])
def test_no_name_leads_out_of_the_destination(note: str) -> None:
    """A value that climbs out, starts at the root or leaves a part of the name empty is refused, with its row."""
    with pytest.raises(OptionsError, match=r"line 2 pair-2: .* leads out of the destination, or has a part without"):
        names("{note}", image(note=note))


@pytest.mark.parametrize(
    ("note", "name"),
    [
        ("a\\b:c*d", "a_b_c_d.png"),
        ("a/b", "a/b.png"),
        (".hidden/.x", "_hidden/_x.png"),
        ("__pycache__/a", "_pycache__/a.png"),
        ("con/aux.x", "_con/_aux.x.png"),
        ("=1+1", "_1+1.png"),
        ("-rf", "_rf.png"),
        ("cats/a;-b", "cats/a_-b.png"),
        ("-a; =b;c", "_a_ =b_c.png"),
        ("a;b", "a;b.png"),
        ("a \u202eb\n", "a _b_.png"),
        ("end. /x ", "end._/x_.png"),
        ("50%#1?", "50__1_.png"),
        ("\u732b \u00f6", "\u732b \u00f6.png"),
    ],
)
def test_forbidden_characters_become_underscores(note: str, name: str) -> None:
    """Characters and names that a file system, an address, a shell or a reader of datasets cannot have are replaced."""
    assert names("{note}", image(note=note)) == [name]


def test_a_name_that_is_too_long_is_refused() -> None:
    """A name that file systems cannot hold is refused, with its row and the limit."""
    with pytest.raises(OptionsError, match=f"line 2 pair-2: expected a name of at most {MOST_BYTES_OF_A_PART} bytes"):
        names("{note}", image(note="\u732b" * 80))


def test_many_problems_of_a_template_are_counted() -> None:
    """Of a thousand wrong rows the error names the first, and counts the others."""
    with pytest.raises(OptionsError, match=r"; and 996 more$") as caught:
        names("{note}", *(image(row) for row in range(2, 1002)))

    assert len(str(caught.value)) < 600


def test_a_tree_puts_the_contents_folder_before_the_name() -> None:
    """In the tree layout, names start with the folder of the content."""
    assert names("{pair_id}", image(folder="a/b"), layout=LAYOUT_SPECS[Layout.TREE]) == ["a/b/pair-2.png"]
    assert names("{pair_id}", image(folder=""), layout=LAYOUT_SPECS[Layout.TREE]) == ["pair-2.png"]


def test_names_in_shards_have_one_dot() -> None:
    """For WebDataset the ending of a file begins at its first dot."""
    assert names("{style}/{style}", layout=LAYOUT_SPECS[Layout.WEBDATASET]) == ["waves.v2/waves_v2.png"]


@given(st.text(string.printable + "éß\u202e\u732b\\:", max_size=60))
def test_every_name_stays_in_the_destination_and_is_safe(note: str) -> None:
    """Whatever a cell contains, the name stays below the destination, and is no formula, option or hidden file."""
    try:
        (name,) = names("{note}", image(note=note))
    except OptionsError:
        return

    path = os.path.normpath(os.path.join("/dest", name))
    assert path == f"/dest/{name}"
    assert as_plain_text(name) == name
    assert name.isprintable()
    assert not set('\\:*?"<>|#%') & set(name)
    assert not any(part.startswith(".") or part[-1] in ". " for part in name.split("/"))

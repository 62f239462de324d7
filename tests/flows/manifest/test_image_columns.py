"""flows.manifest.image_columns: rows with more pictures than two."""

import pytest

from flows.limits import Limits
from flows.manifest import parse_manifest, within_limits
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions


def parsed(header: str, *rows: str, defaults: StylizeOptions | None = None) -> Manifest:
    text = "\n".join((f"content,style,{header}", *(f"a.jpg,b.jpg,{row}" for row in rows)))
    return parse_manifest(text.encode(), "/data/pairs.csv", defaults or StylizeOptions())


def reason(header: str, row: str, defaults: StylizeOptions | None = None) -> str:
    (rejected,) = parsed(header, row, defaults=defaults).rejected
    return rejected.reason()


def test_addresses_are_those_of_content_and_style() -> None:
    """Relative to the manifest, or on S3; an empty cell is no picture."""
    (pair, plain) = parsed("style_2,style_3,protect,init_image", "c.jpg,s3://bucket/d.jpg,,e.png", ",,,").pairs

    assert pair.others == {"style_2": "/data/c.jpg", "style_3": "s3://bucket/d.jpg", "init_image": "/data/e.png"}
    assert list(pair.pictures) == ["content", "style", "style_2", "style_3", "init_image"]
    assert plain.others == {}


def test_cells_are_in_the_table_as_they_are_written() -> None:
    """The columns of pictures and options ride along, but for those that the table has of itself."""
    manifest = parsed("style_2,style_blend,colors,seed,steps,artist", "c.jpg,0.7 0.3,match,3,20,ann")

    assert manifest.extra_columns == ("style_2", "style_blend", "colors", "artist")
    assert manifest.pairs[0].extra == {"style_2": "c.jpg", "style_blend": "0.7 0.3", "colors": "match", "artist": "ann"}
    assert manifest.pairs[0].options.style_blend == (0.7, 0.3)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("style_3", "c.jpg", "column 'style_3': there is no style_2 before it: fill that column first"),
        ("style_2,style_4", "c.jpg,d.jpg", "column 'style_4': there is no style_3 before it: fill that column first"),
        (
            "style_2,style_blend",
            "c.jpg,1 1 1",
            "column 'style_blend': expected 2 numbers, one per style of the row, got 3",
        ),
        ("style_blend", "1 2", "column 'style_blend': 2 weights for one style: fill style_2 too, or leave this empty"),
        (
            "content_mask",
            "m.png",
            "column 'content_mask': it goes with a style_mask of the same colours: give both or none",
        ),
        (
            "style_mask",
            "m.png",
            "column 'style_mask': it goes with a content_mask of the same colours: give both or none",
        ),
        (
            "style_2,content_mask,style_mask",
            "c.jpg,m.png,n.png",
            "column 'style_mask': masks go with one style, not with a blend",
        ),
        ("init,init_image", "noise,c.png", "column 'init_image': the row says init too: give one of the two"),
        ("style_2", "../../../etc/\tx", "column 'style_2': expected no control characters, got '\\t'"),
        ("strength,style_weight", "0.7,3", "give one of the two"),
    ],
)
def test_what_does_not_go_together_is_refused(header: str, row: str, expected: str) -> None:
    """With the row's column, and what to do."""
    assert expected in reason(header, row)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("size,style_mask", "huge,m.png", {"size", "style_mask"}),
        ("size,init,init_image", "huge,noise,c.png", {"size", "init_image"}),
        ("size,style_3", "huge,c.jpg", {"size", "style_3"}),
        ("size,style_2,style_blend", "huge,c.jpg,1 1 1", {"size", "style_blend"}),
        ("size,style_2,style_blend", "huge,c.jpg,1 1", {"size"}),
        ("style_2,style_blend", "c.jpg,much", {"style_blend"}),
        ("strength,style_weight,style_mask", "0.7,3,m.png", {None, "style_mask"}),
        ("content_mask,style_mask", "m\t.png,n.png", {"content_mask"}),
    ],
)
def test_all_that_is_wrong_with_a_row_is_named_at_once(header: str, row: str, expected: set[str | None]) -> None:
    """Images that cannot be combined are reported even if an option is invalid too, and nothing is reported wrongly."""
    (rejected,) = parsed(header, row).rejected

    assert {error.column for error in rejected.errors} == expected
    assert len(rejected.errors) == len(expected)


def test_a_blend_of_the_run_is_held_to_each_row() -> None:
    """Weights from the command line fit some rows and not others."""
    manifest = parsed("style_2", "c.jpg", "", defaults=StylizeOptions(style_blend=(1.0, 2.0)))

    assert [pair.row for pair in manifest.pairs] == [2]
    assert (
        manifest.rejected[0].reason()
        == "column 'style_blend': 2 weights for one style: fill style_2 too, or leave this empty"
    )


def test_made_ids_tell_rows_apart() -> None:
    """Rows that differ in a further picture alone are two pairs; without one the id is what it always was."""
    manifest = parsed("protect", "m.png", "n.png", "")
    plain = parsed("note", "x")

    assert len({pair.pair_id for pair in manifest.pairs}) == 3
    assert manifest.pairs[2].pair_id == plain.pairs[0].pair_id
    assert "the same pair with the same options is already on line 2" in reason_of_second("m.png", "m.png")


def reason_of_second(*rows: str) -> str:
    (rejected,) = parsed("protect", *rows).rejected
    return rejected.reason()


def test_limits_hold_for_every_picture() -> None:
    """A mask elsewhere than may be read is refused as a content would be."""
    limits = Limits(read=("/data",), write=("/out",))

    (rejected,) = within_limits(parsed("protect", "m.png", "/secret/n.png"), limits).rejected

    assert rejected.row == 3
    assert rejected.reason().startswith("column 'protect': ")

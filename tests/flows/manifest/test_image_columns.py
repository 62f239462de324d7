"""flows.manifest.image_columns: rows with additional images, such as further styles and masks."""

import pytest

from flows.limits import Limits
from flows.manifest import parse_manifest, within_limits
from flows.records.pairs import Manifest
from nst_core.options import StylizeOptions


def parsed(header: str, *rows: str, defaults: StylizeOptions | None = None) -> Manifest:
    """Return the manifest parsed from these columns and rows, after `content` and `style`."""
    text = "\n".join((f"content,style,{header}", *(f"a.jpg,b.jpg,{row}" for row in rows)))
    return parse_manifest(text.encode(), "/data/pairs.csv", defaults or StylizeOptions())


def reason(header: str, row: str, defaults: StylizeOptions | None = None) -> str:
    """Return why a row was rejected."""
    (rejected,) = parsed(header, row, defaults=defaults).rejected
    return rejected.reason()


def test_additional_images_have_addresses_like_content_and_style() -> None:
    """Their addresses are relative to the manifest, or on S3; an empty cell means no image."""
    (pair, plain) = parsed("style_2,style_3,protect,init_image", "c.jpg,s3://bucket/d.jpg,,e.png", ",,,").pairs

    assert pair.others == {"style_2": "/data/c.jpg", "style_3": "s3://bucket/d.jpg", "init_image": "/data/e.png"}
    assert list(pair.pictures) == ["content", "style", "style_2", "style_3", "init_image"]
    assert plain.others == {}


def test_cells_are_copied_to_the_table_as_written() -> None:
    """Columns of images and options are extra columns too, except those that the results table has itself."""
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
def test_images_and_options_that_do_not_combine_are_rejected(header: str, row: str, expected: str) -> None:
    """The reason names the column and says what to do."""
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
def test_all_problems_of_a_row_are_reported_at_once(header: str, row: str, expected: set[str | None]) -> None:
    """Images that cannot be combined are reported even if an option is invalid too, and nothing is reported wrongly."""
    (rejected,) = parsed(header, row).rejected

    assert {error.column for error in rejected.errors} == expected
    assert len(rejected.errors) == len(expected)


def test_the_runs_blend_is_checked_for_each_row() -> None:
    """Weights of the run's options are valid for rows with as many styles, and other rows are rejected."""
    manifest = parsed("style_2", "c.jpg", "", defaults=StylizeOptions(style_blend=(1.0, 2.0)))

    assert [pair.row for pair in manifest.pairs] == [2]
    assert (
        manifest.rejected[0].reason()
        == "column 'style_blend': 2 weights for one style: fill style_2 too, or leave this empty"
    )


def test_made_ids_depend_on_additional_images() -> None:
    """Rows that differ only in an additional image are different pairs; the id of a row without one does not change."""
    manifest = parsed("protect", "m.png", "n.png", "")
    plain = parsed("note", "x")

    assert len({pair.pair_id for pair in manifest.pairs}) == 3
    assert manifest.pairs[2].pair_id == plain.pairs[0].pair_id
    assert "the same pair with the same options is already on line 2" in reason_of_second("m.png", "m.png")


def reason_of_second(*rows: str) -> str:
    """Return why the second of two rows with these masks was rejected."""
    (rejected,) = parsed("protect", *rows).rejected
    return rejected.reason()


def test_the_operators_limits_apply_to_every_image() -> None:
    """A mask outside the readable folders is refused as a content would be."""
    limits = Limits(read=("/data",), write=("/out",))

    (rejected,) = within_limits(parsed("protect", "m.png", "/secret/n.png"), limits).rejected

    assert rejected.row == 3
    assert rejected.reason().startswith("column 'protect': ")

"""flows.manifest.parse: a CSV file becomes pairs and rejected rows, each with its line and the reason."""

import csv
import hashlib
import io
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import ManifestError
from flows.manifest import parse_manifest
from flows.manifest.columns import FIELDS, RESERVED_COLUMNS, RUN_LEVEL_NAMES
from flows.manifest.csv_rows import read_csv
from flows.manifest.rows import ID_PATTERN, MAX_CELL_CHARS
from flows.records.pairs import CellError, Manifest, RejectedRow
from nst_core.options import StylizeOptions

DEFAULTS = StylizeOptions()
BROKEN = Path(__file__).parents[3] / "manifests" / "broken.csv"
HEX = "[0-9a-f]"
SECONDS = 60.0
"""A limit on CPU time, several times what a slow machine needs; a quadratic algorithm takes many minutes."""


def parsed(text: str, uri: str = "/data/pairs.csv", defaults: StylizeOptions = DEFAULTS, **limits: int) -> Manifest:
    """Return the manifest parsed from a text."""
    return parse_manifest(text.encode(), uri, defaults, **limits)


def rejected(text: str) -> RejectedRow:
    """Return the only rejected row of a text."""
    (row,) = parsed(text).rejected
    return row


# ---------------------------------------------------------------- valid manifests


def test_a_manifest_becomes_pairs() -> None:
    """Addresses become absolute, a row's options override the run's, and extra columns are kept in order."""
    data = (
        b"notes,id,content,style,steps,style_weight,artist\n"
        b"first,cat,cat.jpg,../styles/waves.jpg,20,,Hokusai\n"
        b" second ,dog,/photos/dog.jpg,s3://bucket/waves.jpg,,5e1, \n"
    )
    manifest = parse_manifest(data, "/data/in/pairs.csv", StylizeOptions(size_px=96, steps=7))
    cat, dog = manifest.pairs

    assert manifest.uri == "/data/in/pairs.csv"
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest.extra_columns == ("notes", "style_weight", "artist")
    assert manifest.rejected == ()
    assert (cat.row, cat.pair_id) == (2, "cat")
    assert (dog.row, dog.pair_id) == (3, "dog")
    assert (cat.content, cat.style) == ("/data/in/cat.jpg", "/data/styles/waves.jpg")
    assert (dog.content, dog.style) == ("/photos/dog.jpg", "s3://bucket/waves.jpg")
    assert cat.options == StylizeOptions(size_px=96, steps=20).resolved()
    assert dog.options == StylizeOptions(size_px=96, steps=7, style_weight=50).resolved()
    assert cat.extra == {"notes": "first", "style_weight": "", "artist": "Hokusai"}
    assert dog.extra == {"notes": " second ", "style_weight": "5e1", "artist": " "}


def test_cells_stay_text() -> None:
    """Cells such as 007, NA and 1e5 are kept as text: none is taken for a number or a missing value."""
    first, second = parsed("id,content,style,note\n007,007,NA,007\nNA,null,1e5,nan\n").pairs

    assert (first.pair_id, first.content, first.style, first.extra) == (
        "007",
        "/data/007",
        "/data/NA",
        {"note": "007"},
    )
    assert (second.pair_id, second.content, second.extra) == ("NA", "/data/null", {"note": "nan"})


def test_spaces_around_cells_and_names_are_dropped_except_in_extra_columns() -> None:
    """Cells and column names that the parser uses lose the spaces around them; extra columns keep theirs."""
    (pair,) = parsed(" content , style, id ,steps, my note \n a b.jpg , s.jpg , x , 5 , hello \n").pairs

    assert (pair.content, pair.style, pair.pair_id, pair.options.steps) == (
        "/data/a b.jpg",
        "/data/s.jpg",
        "x",
        5,
    )
    assert pair.extra == {" my note ": " hello "}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_spreadsheet_export_is_read(line_end: str) -> None:
    """A byte order mark, any line ending, blank lines, and commas, quotes and line breaks in quoted cells are read."""
    lines = ["content,style,note", '"a,b.jpg",s.jpg,"1, ""2""', '3"', "", "c.jpg,s.jpg,"]
    manifest = parsed("\ufeff" + line_end.join(lines) + line_end)

    assert [(pair.row, pair.content) for pair in manifest.pairs] == [(2, "/data/a,b.jpg"), (5, "/data/c.jpg")]
    assert manifest.pairs[0].extra == {"note": f'1, "2"{line_end}3'}
    assert manifest.rejected == ()


def test_size_is_an_alias_of_size_px() -> None:
    """A column `size` sets size_px, and an error in it names the column as written."""
    manifest = parsed("content,style,size\na,b,96\nc,d,8\n")

    assert manifest.pairs[0].options.size_px == 96
    assert manifest.rejected[0].errors[0].column == "size"


def test_options_are_parsed_from_text() -> None:
    """Numbers, booleans, choices and lists of layers are parsed from text; an empty cell sets nothing."""
    header = "content,style,enlarge,seed,pooling,style_layers,style_layer_weights,optimizer"
    (pair,) = parsed(f'{header}\na,b,yes,7,average,relu1_1 relu2_1,"1, 0.5",\n').pairs

    assert (
        pair.options
        == DEFAULTS.overridden(
            {
                "enlarge": True,
                "seed": 7,
                "pooling": "average",
                "style_layers": ("relu1_1", "relu2_1"),
                "style_layer_weights": (1.0, 0.5),
            }
        ).resolved()
    )


def test_a_row_with_another_recipe_gets_that_recipes_weights() -> None:
    """Options that neither the run nor the row sets come from the row's recipe, not from the run's."""
    (pair,) = parsed("content,style,recipe\na,b,notebook\n", defaults=StylizeOptions(recipe="gatys")).pairs

    assert pair.options == StylizeOptions(recipe="notebook").resolved()


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("style_wieght", "style_weight"),
        ("stye_weight", "style_weight"),
        ("Style Weight", "style_weight"),
        ("styleweight", "style_weight"),
        ("content-weight", "content_weight"),
        ("tv_wieght", "tv_weight"),
        ("Steps", "steps"),
        ("n_steps", "steps"),
        ("step", "steps"),
        ("stpes", "steps"),
        ("size-px", "size_px"),
        ("Size", "size"),
        ("sizes", "size"),
        ("siez", "size"),
        ("seeds", "seed"),
        ("optimiser", "optimizer"),
        ("learning rate", "learning_rate"),
        ("recipie", "recipe"),
        ("style_layer", "style_layers"),
        ("jpeg_qualty", "jpeg_quality"),
        ("output_fromat", "output_format"),
        ("max_second", "max_seconds"),
        ("ID", "id"),
        ("contents", "content"),
        ("Style", "style"),
    ],
)
def test_a_misspelt_column_is_an_error_that_names_the_right_one(name: str, meant: str) -> None:
    """A column that looks like an option, or like content, style or id, is an error that names it."""
    with pytest.raises(ManifestError, match=f"^pairs.csv line 1: column '{name}' looks like '{meant}'; write that, or"):
        parsed(f"content,style,{name}\na,b,1\n")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "notes",
            "artist",
            "team",
            "priority",
            "title",
            "comment",
            "campaign",
            "sku",
            "weight_kg",
            "source",
        ),
        *(
            "date",
            "tags",
            "content_id",
            "style_id",
            "style_name",
            "style_file",
            "content_url",
            "content_title",
        ),
        *("uid", "author", "license", "width_cm", "print_quality", "scale", "mood", "Équipe", "价格"),
    ],
)
def test_columns_unlike_any_option_are_extra_columns(name: str) -> None:
    """A column whose name resembles no option is an extra column, whose cells are kept."""
    manifest = parsed(f"content,style,{name}\na,b,1\n")

    assert manifest.extra_columns == (name,)
    assert manifest.pairs[0].extra == {name: "1"}


@pytest.mark.parametrize("name", [*RUN_LEVEL_NAMES, "Device", " Weights"])
def test_settings_of_the_run_are_refused_as_columns(name: str) -> None:
    """A column named like a setting of the run is refused with a note that it is chosen on the command line."""
    reason = f"column '{name.strip()}': chosen once per run on the command line, not per row"
    with pytest.raises(ManifestError, match=reason):
        parsed(f"content,style,{name}\na,b,cpu\n")


@pytest.mark.parametrize("name", [*(n for n in RESERVED_COLUMNS if n not in RUN_LEVEL_NAMES), "Total Loss"])
def test_columns_of_the_results_table_are_refused(name: str) -> None:
    """A manifest column may not have the name of a column that the results table writes."""
    with pytest.raises(ManifestError, match=f"column '{name}' is written by the results table itself"):
        parsed(f"content,style,{name}\na,b,1\n")


def test_manifest_columns_are_not_reserved() -> None:
    """None of the columns that the parser uses is reserved for the results table."""
    assert not set(RESERVED_COLUMNS) & set(FIELDS)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("content|style|a,b", "found '|' as the separator"),
        ("content|style", "^pairs.csv line 1: expected commas, found '|' as the separator; save it with"),
        ("content;stile", "expected a column 'style', found none: column 'stile' looks like 'style'"),
        ("content;,stile", "expected a column 'content', found none: column 'content;' looks like 'content'"),
        ("content", "^pairs.csv line 1: expected a column 'style', found none; add it to the header$"),
        ("a,b", "expected a column 'content', found none.*expected a column 'style', found none"),
        ("contnet,style", "expected a column 'content', found none: column 'contnet' looks like 'content'"),
        ("content_path,style", "a column 'content', found none: column 'content_path' looks like 'content'"),
        (
            "contnet,Steps",
            "expected a column 'style', found none; add it to the header; column 'Steps' looks like 'steps'",
        ),
        ("content,style,note,note", "column 'note' is there 2 times"),
        ("content,style,content", "column 'content' is there 2 times"),
        ("content,style,", "column 3 has no name; name it or remove it"),
        ("content,style, ,x,", "column 3 has no name.*column 5 has no name"),
        ("content,style,size,size_px", "'size' is another name of 'size_px': keep one of the two"),
        ('content,style,"a\nb"', r"the name of column 3, 'a\\nb', holds a control character"),
        ("c\0o\0n\0t\0e\0n\0t\0,\0s\0", "control character; the file may be UTF-16: save it as UTF-8"),
        ('content,"style', "the header cannot be read: unclosed or stray quote"),
        ("content;style,strength", "'content;style' is a single cell, but holds several names"),
        (
            '"content,style"',
            "'content,style' is a single cell, but holds several names: .* no quotes around a whole row$",
        ),
        (
            "a/cup.JPG,b/waves.png",
            "^pairs.csv line 1: expected a header, found a row with 'a/cup.JPG': write the columns'",
        ),
        (
            "Spring campaign,,\n\ncontent,style,note",
            "line 1: .*the names of the columns are on line 3: remove the lines",
        ),
        ("Spring campaign;;\ncontent;style;note", "line 1: .*the names of the columns are on line 2: remove the lines"),
    ],
)
def test_unusable_headers_are_refused(header: str, message: str) -> None:
    """An unusable header raises an error that says what was expected, what was found and what to do."""
    with pytest.raises(ManifestError, match=message.replace("'|'", "'[|]'")):
        parsed(f"{header}\na,b,c\n")


def test_all_problems_of_the_header_are_reported_at_once() -> None:
    """One message has every problem of the header, so that one round of corrections is enough."""
    with pytest.raises(ManifestError) as caught:
        parsed("contnet,Steps,device,row,x,x,\n1,2,3,4,5,6,7\n")

    for problem in (
        "expected a column 'content'",
        "expected a column 'style'",
        "column 'contnet' looks like 'content'",
        "column 'Steps' looks like 'steps'",
        "column 'device': chosen once per run",
        "column 'row' is written by the results table",
        "column 'x' is there 2 times",
        "column 7 has no name",
    ):
        assert problem in str(caught.value)


def test_a_column_in_capitals_is_named_once() -> None:
    """A missing column that the header has in another spelling is one problem, not two."""
    with pytest.raises(ManifestError) as caught:
        parsed(" Content ,style\na,b\n")

    assert str(caught.value) == (
        "pairs.csv line 1: expected a column 'content', found none: column 'Content' looks like 'content'; write that"
    )


@pytest.mark.parametrize("text", ["content,style\n", "content,style", "content,style\n\n  \n"])
def test_a_manifest_without_rows_is_an_error(text: str) -> None:
    """A header without rows is an error and not a manifest of no pairs, because whatever wrote it must have failed."""
    with pytest.raises(ManifestError, match=r"^pairs.csv: expected rows under the header, found none"):
        parsed(text)


def test_the_limits_on_bytes_and_rows_are_inclusive() -> None:
    """A file with more bytes or rows than the limit is refused; one with exactly as many is read."""
    text = "content,style\na,1\nb,1\n\n"
    limits = {"max_rows": 2, "max_bytes": len(text) + 4}
    assert len(parsed(text, **limits).pairs) == 2

    with pytest.raises(ManifestError, match=r"^pairs.csv line 5: expected 2 rows at most; split the file$"):
        parsed(text + "c,1\n", **limits)
    with pytest.raises(ManifestError, match=r"^pairs.csv: expected at most 27 bytes, found 28; split it$"):
        parsed(text + "c,11\n", **limits)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^pairs.csv: .* found an empty file"),
        ("content,style\n".encode("utf-16")[:-1], "^pairs.csv: .* found a damaged one"),
        (b"content,style\na,caf\xe9\n", "^pairs.csv line 2: .* found byte 0xE9 at byte offset 19"),
    ],
)
@pytest.mark.parametrize("uri", ["/data/pairs.csv", "s3://bucket/in/pairs.csv"])
def test_an_error_names_the_file_by_its_last_part(data: bytes, message: str, uri: str) -> None:
    """Errors on files that are empty or in another encoding name the file by the last part of its address."""
    with pytest.raises(ManifestError, match=message):
        parse_manifest(data, uri, DEFAULTS)


# ---------------------------------------------------------------- rejected rows


@pytest.mark.parametrize(
    ("header", "row", "column", "reason"),
    [
        ("", ",b", "content", "expected a local path or s3://bucket/key, the cell is empty"),
        ("", "a,  ", "style", "expected a local path or s3://bucket/key, the cell is empty"),
        ("", "a", None, "expected 2 cells, found 1"),
        ("", "a,b,c", None, "expected 2 cells, found 3; put quotes around a cell that holds a comma"),
        ("", '"a,b', None, "unclosed or stray quote"),
        ("", 'a,b"', None, "unclosed or stray quote"),
        ("", "a\tb,c", "content", r"expected no control characters, got '\\t'"),
        ("", "a,b\x7f", "style", r"expected no control characters, got '\\x7f'"),
        ("", "a,b\0", "style", "expected text, got a NUL character"),
        (",note", "a,b,\0", "note", "expected text, got a NUL character"),
        (",steps", "a,b,1\t", "steps", r"expected no control characters, got '\\t'"),
        ("", f"{'x' * (MAX_CELL_CHARS + 1)},b", "content", "expected at most 4,096 characters, got 4,097"),
        (",note", f"a,b,{'x' * 5000}", "note", "expected at most 4,096 characters, got 5,000"),
        (
            "",
            "a,http://b/c",
            "style",
            "expected a local path or s3://bucket/key, got an address that starts with 'http:'",
        ),
        (",id", "a,b,-x", "id", "expected 1 to 100 of the characters A-Z a-z 0-9 . _ -, .*, got '-x'"),
        (",id", "a,b,x/y", "id", "got 'x/y'"),
        (",id", "a,b,x.", "id", "no dot last, got 'x.'"),
        (",id", "a,b,ü", "id", "got 'ü'"),
        (",id", f"a,b,{'x' * 101}", "id", r"got 'x{80}\.\.\.'"),
        (",id", "a,b,=x", "id", "got '=x'"),
        (",size_px", "a,b,8", "size_px", "expected a number greater than or equal to 16, got '8'"),
        (",size_px", "a,b,17000", "size_px", "expected a number less than or equal to 16384, got '17000'"),
        (",steps", "a,b,12.5", "steps", "expected a whole number, got '12.5'"),
        (",steps", "a,b,1e3", "steps", "expected a whole number, got '1e3'"),
        (",steps", "a,b,many", "steps", "expected a whole number, got 'many'"),
        (",seed", "a,b,-1", "seed", "expected a number greater than or equal to 0, got '-1'"),
        (",seed", "a,b,9223372036854775808", "seed", "less than or equal to 9223372036854775807, got"),
        (",style_weight", 'a,b,"1,5"', "style_weight", "expected a number, got '1,5'"),
        (",style_weight", "a,b,1e13", "style_weight", "less than or equal to 1e[+]12, got '1e13'"),
        (",style_weight", "a,b,nan", "style_weight", "expected a finite number, got 'nan'"),
        (",style_weight", "a,b,-inf", "style_weight", "expected a finite number, got '-inf'"),
        (",loss_threshold", "a,b,0", "loss_threshold", "expected a number greater than 0, got '0'"),
        (",plateau_tolerance", "a,b,1", "plateau_tolerance", "expected a number less than 1, got '1'"),
        (",enlarge", "a,b,maybe", "enlarge", "expected true or false, got 'maybe'"),
        (
            ",recipe",
            "a,b,cubist",
            "recipe",
            "expected one of relative, moments, gatys, notebook, neural-style, got 'cubist'",
        ),
        (",optimizer", "a,b,sgd", "optimizer", "expected one of lbfgs, adam, got 'sgd'"),
        (",content_layers", "a,b,relu9_1", "content_layers", "no layer 'relu9_1'; layers are"),
        (",content_layers", "a,b,;", "content_layers", "at least one layer is needed"),
        (",style_layer_weights", "a,b,1 x 1 1 1", "style_layer_weights", "expected a number, got 'x'"),
        (",style_layer_weights", "a,b,1 2", None, "style_layer_weights: expected 5 numbers, .*, got 2"),
        (",style_weight,content_weight", "a,b,0,0", None, "both 0: there is nothing to optimise"),
    ],
)
def test_a_bad_row_is_rejected_and_its_neighbours_are_pairs(
    header: str, row: str, column: str | None, reason: str
) -> None:
    """A bad row is rejected with its line, its column and the reason, and the rows around it become pairs."""
    blank = "," * header.count(",")
    manifest = parsed(f"content,style{header}\nx,1{blank}\n\n{row}\ny,2{blank}\n")
    (bad,) = manifest.rejected
    (error,) = bad.errors

    assert [pair.row for pair in manifest.pairs] == [2, 5]
    assert (bad.row, error.column) == (4, column)
    assert re.match(f".*{reason}", error.reason, re.DOTALL)


def test_a_cell_may_be_as_long_as_the_limit() -> None:
    """A cell of exactly 4,096 characters is accepted, not counting the spaces around it."""
    assert len(parsed(f"content,style,note\n {'x' * MAX_CELL_CHARS} ,b,{'y' * MAX_CELL_CHARS}\n").pairs) == 1


def test_all_errors_of_a_row_are_reported() -> None:
    """A row with several bad cells has an error for each of them, with its value, and keeps its cells as written."""
    bad = rejected("style,content,my id,Note,steps,id,recipe\n, gs://x/y ,7,n\0,0,bad id,cubist\n")

    assert bad.errors == (
        CellError("Note", "n\0", "expected text, got a NUL character; save the file as UTF-8 text"),
        CellError(
            "content",
            "gs://x/y",
            "expected a local path or s3://bucket/key, got an address that starts with 'gs:'",
        ),
        CellError("style", "", "expected a local path or s3://bucket/key, the cell is empty"),
        CellError("recipe", "cubist", "expected one of relative, moments, gatys, notebook, neural-style, got 'cubist'"),
        CellError("steps", "0", "expected a number greater than or equal to 1, got '0'"),
        CellError(
            "id",
            "bad id",
            "expected 1 to 100 of the characters A-Z a-z 0-9 . _ -, a letter or digit first and no dot last,"
            " got 'bad id'",
        ),
    )
    assert list(bad.cells.values()) == ["", " gs://x/y ", "7", "n\0", "0", "bad id", "cubist"]
    assert bad.reason().count("column ") == 6


def test_a_row_of_the_wrong_width_keeps_its_cells() -> None:
    """A short row keeps the cells it has, a long one those that have a column; an unreadable one keeps its line."""
    short, long, stray = parsed('content,style,note\na,b\na,b,c,d\na,"b,c\n').rejected

    assert short.cells == {"content": "a", "style": "b"}
    assert long.cells == {"content": "a", "style": "b", "note": "c"}
    assert (stray.cells, stray.errors[0].value) == ({}, 'a,"b,c\n')


def test_an_unclosed_quote_costs_one_row() -> None:
    """Only the row with the unclosed quote is rejected; later rows are read, including those with quotes."""
    manifest = parsed('content,style,note\na,"b,1\nc,d,"two\nlines"\n"e,f,3\n"g",h,"4"\ni,j,5\n')

    assert [(pair.row, pair.content) for pair in manifest.pairs] == [
        (3, "/data/c"),
        (6, "/data/g"),
        (7, "/data/i"),
    ]
    assert [row.row for row in manifest.rejected] == [2, 5]


def test_a_line_break_in_a_path_is_a_stray_quote() -> None:
    """If two stray quotes pair up across lines in a path column, both lines are rejected and none is hidden."""
    manifest = parsed('content,style\na,"b\nc,d"\ne,f\n')

    assert [pair.row for pair in manifest.pairs] == [4]
    assert [row.row for row in manifest.rejected] == [2, 3]


# ---------------------------------------------------------------- ids


def test_the_first_row_keeps_an_id() -> None:
    """Every later row with the same id, compared without case, is rejected with the line of the first."""
    manifest = parsed("id,content,style\nx,a,b\na,a,b\na,c,d\nA,e,f\n")

    assert [(pair.row, pair.pair_id) for pair in manifest.pairs] == [(2, "x"), (3, "a")]
    assert [(row.row, row.reason()) for row in manifest.rejected] == [
        (4, "column 'id': id 'a' is already used on line 3"),
        (5, "column 'id': id 'A' is already used on line 3 as 'a'"),
    ]


def test_a_rejected_row_keeps_its_id() -> None:
    """A duplicate id is reported even if the first row has other errors, so that mending that row breaks no other."""
    first, second = parsed("id,content,style\na,,b\na,c,d\n").rejected

    assert (first.row, second.row) == (2, 3)
    assert second.reason() == "column 'id': id 'a' is already used on line 2"


@pytest.mark.parametrize(
    ("content", "style", "pattern"),
    [
        ("in/cat.jpg", "s3://b/the waves.png", f"cat-the-waves-{HEX}{{6}}"),
        ("chat d'été.jpg", "s.tar.gz", f"chat-d--t--s.tar-{HEX}{{6}}"),
        ("_.x.jpg", "--a", f"x-a-{HEX}{{6}}"),
        ("日本.jpg", "...", f"image-image-{HEX}{{6}}"),
        ("c" * 300, "s" * 300 + ".jpg", f"c{{43}}-s{{43}}-{HEX}{{6}}"),
    ],
)
def test_a_missing_id_is_made_from_the_file_names(content: str, style: str, pattern: str) -> None:
    """A missing id is made from the file names and a digest, with only the characters that an id may have."""
    (pair,) = parsed(f"id,content,style\n,{content},{style}\n").pairs

    assert re.fullmatch(pattern, pair.pair_id)
    assert ID_PATTERN.fullmatch(pair.pair_id)


def test_made_ids_depend_only_on_the_pair_and_its_own_options() -> None:
    """A pair keeps its made id when other rows, notes or the run's options change; its own options change it."""
    text = "content,style,steps,note\na.jpg,b.jpg,5,x\na.jpg,b.jpg,6,x\n"
    first, second = parsed(text).pairs
    other = parsed("style,note,content,size,steps\nb.jpg,y,./a.jpg,,05\n", defaults=StylizeOptions(seed=3)).pairs[0]

    assert first.pair_id == other.pair_id
    assert first.pair_id != second.pair_id
    assert first.pair_id == parsed(text, uri="/elsewhere/pairs.csv").pairs[0].pair_id


def test_the_made_id_of_given_cells_is_always_the_same() -> None:
    """An id that is made in another way would have its pair done again, under another name, in all existing outputs."""
    manifest = parsed("content,style,steps,style_2\na.jpg,in/b.jpg,,\na.jpg,in/b.jpg,5,c.jpg\n")

    assert [pair.pair_id for pair in manifest.pairs] == ["a-b-086964", "a-b-6682b0"]


def test_a_repeated_pair_without_ids_is_rejected() -> None:
    """Of two rows without ids for the same pair and options, the second is rejected with the line of the first."""
    manifest = parsed("content,style,steps,size\na,b,5,96\na,c,5,96\n./a,b, 5 ,096\na,b,5,\n")

    assert [pair.row for pair in manifest.pairs] == [2, 3, 5]
    assert [(row.row, row.reason()) for row in manifest.rejected] == [
        (4, "the same pair with the same options is already on line 2")
    ]


def test_rows_with_different_ids_may_repeat_a_pair() -> None:
    """Rows that have different ids may have the same pair and options."""
    assert len(parsed("id,content,style\nx,a,b\ny,a,b\n,a,b\n").pairs) == 3


def test_overrides_take_precedence_over_a_rows_options() -> None:
    """The overrides of a retry replace those options of each row, leave the others, and change no made id."""
    data = b"content,style,size_px,seed\na.png,b.png,320,7\n"
    (plain,) = parse_manifest(data, "/in/pairs.csv", StylizeOptions(steps=9)).pairs
    (changed,) = parse_manifest(data, "/in/pairs.csv", StylizeOptions(steps=9), overrides={"size_px": "128"}).pairs

    assert (changed.options.size_px, changed.options.seed, changed.options.steps) == (128, 7, 9)
    assert plain.options.size_px == 320
    assert changed.pair_id == plain.pair_id


def test_a_made_id_that_is_taken_gets_more_digits() -> None:
    """If an id with six digits of the digest is taken, the made id has twelve, so that no good row is lost."""
    plain = parsed("content,style\na,b\n").pairs[0].pair_id
    given_id, made = parsed(f"id,content,style\n{plain.upper()},c,d\n,a,b\n").pairs

    assert given_id.pair_id == plain.upper()
    assert re.fullmatch(f"{plain}{HEX}{{6}}", made.pair_id)


def test_a_longer_made_id_that_is_taken_too_is_an_error() -> None:
    """A row is rejected if even its longer made id is taken: ids stay unique in a manifest written to break them."""
    plain = parsed("content,style\na,b\n").pairs[0].pair_id
    longer = parsed(f"id,content,style\n{plain},c,d\n,a,b\n").pairs[1].pair_id
    bad = rejected(f"id,content,style\n{plain},c,d\n{longer},e,f\n,a,b\n")

    assert bad.reason() == f"column 'id': id '{longer}' is already used on line 3"


# ---------------------------------------------------------------- properties and size

PATH_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/:?#"), max_size=20)
NOTE_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(max_examples=300, derandomize=True)
@given(
    rows=st.lists(st.tuples(PATH_TEXT, PATH_TEXT, NOTE_TEXT), min_size=1, max_size=5),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_csv_writer_writes_is_parsed_back(rows: list[tuple[str, str, str]], quoting: Literal[0, 1]) -> None:
    """What csv.writer writes is read back cell by cell, whatever characters paths and notes have."""
    expected = [(note, f"/x{content}.jpg", f"s3://b/x{style}.jpg") for content, style, note in rows]
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting)
    writer.writerow(["note", "content", "style", "id"])
    writer.writerows((*row, f"row-{number}") for number, row in enumerate(expected))
    manifest = parsed(out.getvalue())

    assert [(pair.extra["note"], pair.content, pair.style) for pair in manifest.pairs] == expected
    assert manifest.rejected == ()


HEADERS = ("content,style,note", "content,style,id,steps", "id,style,note,content,recipe,size")
ROW_TEXT = st.text(alphabet='",\n\r abA.:/~-_19\0\té', max_size=120)


@settings(max_examples=300, derandomize=True)
@given(header=st.sampled_from(HEADERS), text=ROW_TEXT)
def test_every_row_is_one_pair_or_one_rejected_row(header: str, text: str) -> None:
    """Whatever the rows contain, each is either a pair or rejected, once; only ManifestError is ever raised."""
    data = f"{header}\n{text}".encode()
    one_line = [index for index, name in enumerate(header.split(",")) if name != "note"]
    lines = [row.line for row in read_csv(data, "pairs.csv").rows(one_line)]
    if not lines:
        with pytest.raises(ManifestError, match="found none"):
            parse_manifest(data, "/data/pairs.csv", DEFAULTS)
        return
    manifest = parse_manifest(data, "/data/pairs.csv", DEFAULTS)

    assert sorted([pair.row for pair in manifest.pairs] + [row.row for row in manifest.rejected]) == lines
    assert len({pair.pair_id.casefold() for pair in manifest.pairs}) == len(manifest.pairs)
    assert all(ID_PATTERN.fullmatch(pair.pair_id) for pair in manifest.pairs)
    assert all(row.errors and row.reason() for row in manifest.rejected)


@settings(max_examples=300, derandomize=True)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_any_bytes_are_a_manifest_or_a_manifest_error(data: bytes) -> None:
    """No file, however broken, raises any other error than ManifestError."""
    for head in (b"", b"content,style,note\n"):
        try:
            parse_manifest(head + data, "/data/pairs.csv", DEFAULTS)
        except ManifestError as error:
            assert str(error).startswith("pairs.csv")  # noqa: PT017  # either outcome is right


def test_a_hundred_thousand_rows_are_read_in_time() -> None:
    """A hundred thousand rows are read within the time limit, and rows with equal options share one object."""
    rows = "".join(f"in/{number}/main.jpg,styles/{number % 9}.jpg,{number % 7 + 1},x\n" for number in range(100_000))
    started = time.process_time()
    manifest = parsed(f"content,style,steps,note\n{rows}")

    assert time.process_time() - started < SECONDS
    assert (len(manifest.pairs), len(manifest.rejected)) == (100_000, 0)
    assert manifest.pairs[0].options is manifest.pairs[7].options


def test_many_stray_quotes_are_rejected_in_time() -> None:
    """20,000 lines with a stray quote each become 20,000 rejected rows within the time limit."""
    started = time.process_time()
    manifest = parsed("content,style,note\n" + 'a,"b,c\n' * 20_000)

    assert time.process_time() - started < SECONDS
    assert len(manifest.rejected) == 20_000


# ---------------------------------------------------------------- the sample

BROKEN_REASONS = {
    5: "'content': expected a local path or s3://bucket/key, the cell is empty",
    6: "'style': expected a local path or s3://bucket/key, the cell is empty",
    7: "expected 8 cells, found 5",
    8: "expected 8 cells, found 9; put quotes around",
    9: "unclosed or stray quote",
    10: r"'content': expected no control characters, got '\t'",
    11: "starts with 'https:'",
    12: "starts with 'file:'",
    13: "got a chain of addresses",
    14: "'style': expected a local path or s3://bucket/key, got '~'",
    15: "got no key",
    16: "got no bucket",
    17: "behind '?' in a URL is no part of a key; write s3://bucket/cat.jpg",
    18: "an S3 key takes no '.' or '..' between slashes",
    19: "got an ARN",
    20: "got 'team/cat'",
    21: "got 'cat.'",
    22: "id 'good-1' is already used on line 2",
    23: "id 'Good-1' is already used on line 2 as 'good-1'",
    24: "the same pair with the same options is already on line 3",
    25: "'size_px': expected a number greater than or equal to 16, got '8'",
    26: "'steps': expected a whole number, got '12.5'",
    27: "'steps': expected a whole number, got '1e3'",
    28: "'style_weight': expected a number, got 'heavy'",
    29: "'style_weight': expected a finite number, got 'nan'",
    30: "'recipe': expected one of relative, moments, gatys, notebook, neural-style, got 'cubist'",
    31: "'steps': expected a number greater than or equal to 1, got '0'",
}
"""Maps a line of the sample to a part of the reason for which it is rejected."""


def test_each_row_of_the_broken_sample_has_its_reason() -> None:
    """manifests/broken.csv has one row of each kind of error, and each is rejected for exactly that error."""
    manifest = parse_manifest(BROKEN.read_bytes(), "/data/broken.csv", DEFAULTS)
    reasons = {row.row: row.reason() for row in manifest.rejected}

    assert {pair.row: pair.content for pair in manifest.pairs} == {
        2: "/data/images/astronaut.jpg",
        3: "/data/images/astronaut.jpg",
        32: "/data/images/no-such-file.jpg",
        33: "/data/images/CREDITS.md",
    }
    assert all(pair.options.size_px == 96 for pair in manifest.pairs)
    assert reasons.keys() == BROKEN_REASONS.keys()
    assert {line: part for line, part in BROKEN_REASONS.items() if part not in reasons[line]} == {}
    assert [len(row.errors) for row in manifest.rejected if row.row != 31] == [1] * (len(reasons) - 1)
    assert reasons[31].count("column ") == 4
    assert "\n" in asdict(manifest.pairs[1])["extra"]["what_is_wrong"]

"""flows.manifest.pairs and listing: images of folders become a manifest in which every row is a pair."""

import csv
import io
import itertools
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import storage
from flows.errors import ManifestError, NotAllowed
from flows.limits import Limits
from flows.manifest import parse_manifest
from flows.manifest.listing import ListedImage, Listing, pictures_of
from flows.manifest.pairs import Pairing, PairingMethod, Picture, keyed, parsed_settings, write_rows
from flows.manifest.rows import ID_PATTERN
from flows.storage.addresses import resolved_address
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

NO_LIMITS = Limits()


def touched(folder: Path, *names: str) -> str:
    """Create these files below a folder, and return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return str(folder)


def paths(listing: Listing) -> list[str]:
    """Return the paths of the images of a listing."""
    return [one.path for one in listing.pictures]


def pictures(prefix: str, number: int) -> list[Picture]:
    """Return so many images whose keys are the prefix and a number."""
    return [Picture(f"{prefix}{index}", f"/{prefix}/{index}.jpg", "") for index in range(number)]


# ---------------------------------------------------------------- which images


def test_all_images_below_a_folder_are_listed(tmp_path: Path) -> None:
    """Images at any depth, with endings in any case, are listed by path; other files are left out with the reason."""
    names = [
        "b.JPG",
        "a/z.png",
        "a/b/c.webp",
        "notes.txt",
        "jpg",
        "a/._b.jpg",
        ".thumbs/x.jpg",
        "line\nfeed.jpg",
        "a::b.gif",
    ]
    found = pictures_of(touched(tmp_path, *names), None, NO_LIMITS)

    assert paths(found) == ["a/b/c.webp", "a/z.png", "b.JPG"]
    assert [one.cell for one in found.pictures] == [f"{tmp_path}/{path}" for path in paths(found)]
    left = found.left_out
    assert left["hidden"] == [".thumbs/x.jpg", "a/._b.jpg"]
    assert left["not an image by its name"] == ["jpg", "notes.txt"]
    assert sorted(name for reason, names in left.items() if "no manifest can hold" in reason for name in names) == [
        "a::b.gif",
        "line\nfeed.jpg",
    ]


@pytest.mark.parametrize(
    ("glob", "instead"), [("**.jpg", "**/*.jpg"), ("a**b/*.jpg", "**/a*b/*.jpg"), ("**/***", "**/**/*")]
)
def test_two_stars_beside_letters_are_refused(tmp_path: Path, glob: str, instead: str) -> None:
    """A glob with `**` beside letters is refused, and the message has the glob to write instead."""
    touched(tmp_path, "cat.jpg")

    with pytest.raises(ManifestError, match=re.escape(f"found it beside letters; write {tmp_path}/{instead}") + "$"):
        pictures_of(f"{tmp_path}/{glob}", None, NO_LIMITS)


def test_a_name_may_have_two_stars(s3_bucket: str, tmp_path: Path) -> None:
    """An existing folder, prefix or image whose name contains `**` is listed by that name."""
    for place in (str(tmp_path), s3_bucket):
        storage.replace(f"{place}/a**b/cat.png", b"")

        assert paths(pictures_of(f"{place}/a**b", None, NO_LIMITS)) == ["cat.png"]
        assert paths(pictures_of(f"{place}/a**b/cat.png", None, NO_LIMITS)) == ["cat.png"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("*/*.jpg", ["one/b.jpg", "two/b.jpg"]),
        ("**/*.jpg", ["a.jpg", "one/b.jpg", "one/deep/c.jpg", "two/b.jpg"]),
        ("one*", ["one/b.jpg", "one/deep/c.jpg", "one/e.png"]),
        ("t?o/[ab].*", ["two/b.jpg"]),
        ("a.jpg", ["a.jpg"]),
        ("two/[x] y", ["d.png"]),
    ],
)
def test_a_glob_matches_files_and_folders(tmp_path: Path, glob: str, expected: list[str]) -> None:
    """A glob matches files, or folders with all images below; a folder or image of exactly that name goes before it."""
    touched(tmp_path, "a.jpg", "one/b.jpg", "one/deep/c.jpg", "one/e.png", "two/b.jpg")
    touched(tmp_path, "two/[x] y/d.png", "two/x y/no.png")

    assert paths(pictures_of(f"{tmp_path}/{glob}", None, NO_LIMITS)) == expected


@pytest.mark.parametrize("far", [False, True], ids=["local", "S3"])
def test_images_written_by_runs_are_left_out(tmp_path: Path, far: bool, request: pytest.FixtureRequest) -> None:
    """Images that a run wrote are left out, unless the place itself is a folder within the run's output."""
    folder = f"{request.getfixturevalue('s3_bucket')}/in" if far else str(tmp_path)
    made = ["images/cat.png", "timelines/cat.gif", "_nst/thumbs/cat.webp", "sheet.png", "ladder.png"]
    own = ["mine.jpg", "sub/sheet.png", "images/cat.png", "out/mine.jpg", "out/more/images/cat.png"]
    for name in (*own, *(f"out/{name}" for name in (*made, "_nst/latest_run"))):
        storage.replace(f"{folder}/{name}", b"x")
    found = pictures_of(folder, None, NO_LIMITS)

    assert paths(found) == sorted(own)
    assert found.left_out["in the output of a run"] == sorted(f"out/{name}" for name in made)
    assert paths(pictures_of(f"{folder}/**/*.png", None, NO_LIMITS)) == sorted(
        name for name in own if name.endswith(".png")
    )
    assert paths(pictures_of(f"{folder}/out", None, NO_LIMITS)) == ["mine.jpg", "more/images/cat.png"]
    assert paths(pictures_of(f"{folder}/out/images", None, NO_LIMITS)) == ["cat.png"]
    assert paths(pictures_of(f"{folder}/out/images/*.png", None, NO_LIMITS)) == ["cat.png"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    """A link to a folder is followed, unless it leads back up; a link to nowhere or to itself is not listed."""
    touched(tmp_path / "elsewhere", "c.jpg")
    touched(tmp_path / "in", "a/b.jpg")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "nowhere.jpg").symlink_to("absent")
    (tmp_path / "in" / "self.jpg").symlink_to("self.jpg")

    assert paths(pictures_of(str(tmp_path / "in"), None, NO_LIMITS)) == ["a/b.jpg", "linked/c.jpg"]


@pytest.mark.parametrize("place", ["absent", "absent/*.jpg", "texts", "texts/notes.txt"])
def test_a_place_without_images_is_refused(tmp_path: Path, place: str) -> None:
    """A place without images raises an error that says what was expected and what was found."""
    touched(tmp_path, "texts/notes.txt")
    with pytest.raises(ManifestError, match=r"expected .*, found "):
        pictures_of(f"{tmp_path}/{place}", None, NO_LIMITS)


def test_the_operators_limits_apply_to_listings(tmp_path: Path) -> None:
    """A place outside the limits is refused; a link that leads outside and an image that is too large are left out."""
    inside = touched(tmp_path / "in", "a.jpg", "b.jpg")
    touched(tmp_path / "out", "c.jpg")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "out" / "c.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(b"x" * 11)
    limits = Limits(read=(inside,), max_image_bytes=10)
    found = pictures_of(inside, None, limits)

    assert paths(found) == ["a.jpg"]
    assert sorted(itertools.chain(*found.left_out.values())) == ["b.jpg", "link.jpg"]
    for place in (str(tmp_path / "out"), f"{tmp_path}/*.jpg"):
        with pytest.raises(NotAllowed):
            pictures_of(place, None, limits)


def test_a_prefix_on_s3_is_listed(tmp_path: Path, s3_bucket: str) -> None:
    """All images below a prefix are listed with relative paths; the empty object that marks a folder is left out."""
    for key in ("in/a.jpg", "in/x/b.png", "in/x/", "in/notes.txt", "inside.jpg"):
        storage.replace(f"{s3_bucket}/{key}", b"x")
    found = pictures_of(f"{s3_bucket}/in", f"{s3_bucket}/in", NO_LIMITS)

    assert [(one.path, one.cell) for one in found.pictures] == [("a.jpg", "a.jpg"), ("x/b.png", "x/b.png")]
    assert list(found.left_out.values()) == [["notes.txt"]]
    assert paths(pictures_of(f"{s3_bucket}/in/*.jpg", None, NO_LIMITS)) == ["a.jpg"]
    assert paths(pictures_of(f"{s3_bucket}/inside.jpg", None, NO_LIMITS)) == ["inside.jpg"]


# ---------------------------------------------------------------- which pairs


def test_product_pairs_every_content_with_every_style() -> None:
    """Pairs are in the order of the contents, and for each content in the order of the styles."""
    pairing = Pairing()
    made = [(content.key, style.key) for content, style in pairing.pairs(pictures("c", 2), pictures("s", 2))]

    assert made == [("c0", "s0"), ("c0", "s1"), ("c1", "s0"), ("c1", "s1")]
    assert pairing.count(2, 2) == 4


def test_zip_pairs_contents_and_styles_one_by_one() -> None:
    """The n-th content is paired with the n-th style; different numbers of contents and styles are refused."""
    pairing = Pairing(PairingMethod.ZIP)

    assert [(c.key, s.key) for c, s in pairing.pairs(pictures("c", 2), pictures("s", 2))] == [
        ("c0", "s0"),
        ("c1", "s1"),
    ]
    assert pairing.count(2, 2) == 2
    pairing.check(2, 2)
    with pytest.raises(OptionsError, match="expected as many styles as contents, found 3 and 2"):
        pairing.check(3, 2)


def test_sample_draws_styles_at_random() -> None:
    """Each content gets k different styles, which depend on the seed but not on the other contents."""
    contents, styles = pictures("c", 40), pictures("s", 9)
    pairing = Pairing(PairingMethod.SAMPLE, 4, 7)
    made = list(pairing.pairs(contents, styles))

    assert len(made) == pairing.count(40, 9) == 160
    drawn = {c.key: [s.key for content, s in made if content is c] for c in contents}
    assert all(len(set(keys)) == 4 and keys == sorted(keys) for keys in drawn.values())
    assert len(set(map(tuple, drawn.values()))) > 20
    assert list(pairing.pairs(contents[5:6], styles)) == made[20:24]
    assert list(Pairing(PairingMethod.SAMPLE, 4, 8).pairs(contents, styles)) != made
    assert list(Pairing(PairingMethod.SAMPLE, 4).pairs(contents, styles)) == list(
        Pairing(PairingMethod.SAMPLE, 4, 0).pairs(contents, styles)
    )


@pytest.mark.parametrize(
    ("pairing", "message"),
    [
        (Pairing(PairingMethod.SAMPLE), "--per-content: expected 1 to 3, the number of styles, got none"),
        (Pairing(PairingMethod.SAMPLE, 4), "expected 1 to 3, the number of styles, got 4"),
        (Pairing(PairingMethod.PRODUCT, 2), "go with --how sample, got --how product"),
        (Pairing(PairingMethod.PRODUCT, None, 0), "go with --how sample"),
    ],
)
def test_impossible_pairings_are_refused(pairing: Pairing, message: str) -> None:
    """A pairing that is impossible raises an error that says what was expected."""
    with pytest.raises(OptionsError, match=message):
        pairing.check(3, 3)


# ---------------------------------------------------------------- ids and rows


def keys(*names: str) -> list[str]:
    """Return the keys of images at these paths."""
    return [one.key for one in keyed(ListedImage(name, "") for name in names)]


def test_keys_are_made_from_paths() -> None:
    """A plain path, with its folders, is its key; the key of any other path has a digest of the path."""
    assert keys("cat.jpg", "a/b/starry-night.JPG", "cat.png", "A_b.jpeg") == [
        "cat",
        "a__b__starry-night",
        "cat.png",
        "A_b.jpeg",
    ]
    marked = keys(
        "é.jpg", "a b.jpg", "a--b.jpg", "a__b.jpg", "-a.jpg", "a-.jpg", "_a/b.jpg", "x.y.jpg", "z" * 49 + ".jpg"
    )
    assert all(len(key.rpartition(".")[2]) == 8 for key in marked)
    assert [one.folder for one in keyed([ListedImage("a/b/c.jpg", ""), ListedImage("d.jpg", "")])] == ["a/b", ""]


def test_other_images_change_a_key_only_if_paths_differ_in_case() -> None:
    """A key does not depend on the other images, except that both of two paths that differ only in case get digests."""
    assert keys("cat.jpg", "dog.jpg", "cat/png.jpg", "cat.png")[0] == keys("cat.jpg")[0]
    both = keys("Cat.jpg", "cat.jpg")
    assert both == keys("cat.jpg", "Cat.jpg")[::-1]
    assert all(len(key.rpartition(".")[2]) == 16 for key in both)


PATHS = st.lists(st.text(st.sampled_from("aAb-_./ é\"',~:\u200b"), min_size=1, max_size=60), min_size=1, max_size=6)


@settings(max_examples=200, derandomize=True)
@given(contents=PATHS, styles=PATHS)
def test_ids_are_valid_and_unique(contents: list[str], styles: list[str]) -> None:
    """Whatever the paths are, each pair has an id that a manifest accepts, and no two pairs have the same."""
    many, few = (
        keyed(ListedImage(path, "") for path in dict.fromkeys(f"{one}.jpg" for one in some))
        for some in (contents, styles)
    )
    buffer = io.BytesIO()
    rows = write_rows(buffer, Pairing().pairs(many, few), {})
    ids = [row[0] for row in csv.reader(io.StringIO(buffer.getvalue().decode(), newline=""))][1:]

    assert rows == len(ids) == len(many) * len(few)
    assert len({one.casefold() for one in ids}) == len(ids)
    assert all(ID_PATTERN.fullmatch(one) and not one.endswith(".") for one in ids)


NAMES = [
    '7" disc.jpg',
    "a, b.jpg",
    " lead.jpg",
    "~me.jpg",
    "ab:c.jpg",
    "'=x.jpg",
    "é\u2028\u202e.jpg",
    "#?%+.jpg",
    "arn:x.jpg",
    "\\.jpg",
]


@pytest.mark.parametrize("relative", [True, False])
def test_written_rows_are_parsed_back(tmp_path: Path, relative: bool) -> None:
    """Each written row is parsed as a pair of the listed files with the given settings, even with unusual names."""
    touched(tmp_path, *(f"in/{name}" for name in NAMES))
    base = f"{tmp_path}/in" if relative else None
    found = pictures_of(f"{tmp_path}/in", base, NO_LIMITS)
    buffer = io.BytesIO()
    write_rows(buffer, Pairing().pairs(keyed(found.pictures), keyed(found.pictures)), {"size_px": "64", "steps": "3"})
    manifest = parse_manifest(buffer.getvalue(), f"{tmp_path}/in/pairs.csv", StylizeOptions())

    assert manifest.rejected == ()
    assert sorted({pair.content for pair in manifest.pairs}) == sorted(f"{tmp_path}/in/{name}" for name in NAMES)
    assert len(manifest.pairs) == len(NAMES) ** 2
    assert {(pair.options.size_px, pair.options.steps) for pair in manifest.pairs} == {(64, 3)}
    assert manifest.pairs[0].extra["folder"] == ""
    assert all(pair.content_cell.startswith("/") != relative for pair in manifest.pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "--set steps: expected NAME=VALUE"),
        ("steps=", "expected NAME=VALUE"),
        ("stpes=3", "there is no option 'stpes'"),
        ("content=a.jpg", "there is no option 'content'"),
        ("steps=0", "--set steps: expected a number greater than or equal to 1, got '0'"),
        ("style_layer_weights=1 2", "expected 5 numbers"),
        ("style_blend=0.7 0.3", "--set style_blend: 2 weights for one style"),
    ],
)
def test_invalid_settings_are_refused(text: str, message: str) -> None:
    """A setting that no row could have is refused with a message that names it."""
    with pytest.raises(OptionsError, match=message):
        parsed_settings([text])


def test_settings_are_parsed_into_columns() -> None:
    """Settings are named like options, with dashes or aliases too; line breaks in values become blanks."""
    assert parsed_settings(["size=64", "style-layers= relu1_1\n relu2_1"]) == {
        "size_px": "64",
        "style_layers": "relu1_1 relu2_1",
    }
    with pytest.raises(OptionsError, match="size_px is there twice"):
        parsed_settings(["size=64", "size_px=65"])


def test_rows_are_written_without_being_kept_in_memory() -> None:
    """A hundred thousand rows are written one by one as they are generated, so that memory stays small."""

    class Nowhere(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            return len(data)

    def endless() -> Iterator[tuple[Picture, Picture]]:
        return itertools.product(pictures("c", 1000), pictures("s", 100))

    tracemalloc.start()
    rows = write_rows(Nowhere(), endless(), {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert rows == 100_000
    assert peak < 2_000_000


def test_unusual_s3_keys_have_cells_that_name_them(s3_bucket: str, s3_server: str) -> None:
    """The cell of each key resolves to its address, relative or absolute; the place may be given as a URL."""
    keys = [
        "a b.png",
        "#1?.png",
        "x?versionId=2.png",
        "50%.png",
        "p+q.png",
        "s3:x.png",
        "d//e.png",
        "f::g.png",
        "[h].png",
    ]
    client, bucket = boto3.client("s3", endpoint_url=s3_server), s3_bucket.removeprefix("s3://")
    for key in keys:
        client.put_object(Bucket=bucket, Key=f"in#/{key}", Body=b"data")
    addresses = {f"{s3_bucket}/in#/{key}" for key in keys}
    place = storage.absolute(f"https://{bucket}.s3.eu-west-1.amazonaws.com/in%23/")

    for base in (None, f"{s3_bucket}/in#", f"{s3_bucket}/elsewhere"):
        found = pictures_of(place, base, Limits())
        assert {resolved_address(one.cell, base or "/") for one in found.pictures} == addresses
        assert found.left_out == {}
    assert [one.cell for one in pictures_of(f"{s3_bucket}/in#/[h].png", f"{s3_bucket}/in#", Limits()).pictures] == [
        "[h].png"
    ]
    assert [one.cell for one in pictures_of(f"{s3_bucket}/in#/d//e.png", None, Limits()).pictures] == [
        f"{s3_bucket}/in#/d//e.png"
    ]


def test_s3_keys_that_differ_by_a_slash_are_different_pairs(tmp_path: Path) -> None:
    """`a//b` and `a/b` are two objects on S3 and one local file, so only on S3 are they different pairs."""
    text = b"content,style\ns3://studio/a/b.png,s3://studio/s.png\ns3://studio/a//b.png,s3://studio/s.png\n"
    text += b"s3://studio/a///b.png,s3://studio/s.png\n"
    on_s3 = parse_manifest(text, "s3://studio/pairs.csv", StylizeOptions())
    relative = parse_manifest(text.replace(b"s3://studio/", b""), "s3://studio/pairs.csv", StylizeOptions())
    local = parse_manifest(text.replace(b"s3://studio/", b""), str(tmp_path / "pairs.csv"), StylizeOptions())

    for manifest in (on_s3, relative):
        assert [pair.content for pair in manifest.pairs] == [
            f"s3://studio/a{slashes}b.png" for slashes in ("/", "//", "///")
        ]
        assert len({pair.pair_id for pair in manifest.pairs}) == 3
    assert [row.reason() for row in local.rejected] == ["the same pair with the same options is already on line 2"] * 2

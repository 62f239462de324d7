"""flows.worker.inputs: an input that is no usable image fails with an error that names it."""

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest
from PIL import Image

from flows import storage
from flows.decoding.image_bytes import PictureLimits
from flows.errors import InputChanged, NotFound
from flows.run.plan import identities_of
from flows.worker.inputs import _needed_of_a_style, load_pair, read_input
from nst_core.errors import BadImage, OutOfMemory
from nst_core.images import resize
from nst_core.options import StylizeOptions
from nst_core.scene.masks.maps import coverage, maps_of
from tests.flows.builders import Painter, pair_spec, planned

MAKERS: dict[str, Callable[[str], None]] = {"pipe": os.mkfifo, "folder": os.mkdir}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_pipe_or_folder_is_a_bad_image(tmp_path: Path, kind: str) -> None:
    """A pipe or a folder is planned, so that its row reports what it is, and fails as `bad_image` without being waited
    for.
    """
    address = str(tmp_path / "tom.png")
    MAKERS[kind](address)
    identity = identities_of([address])[address]

    with pytest.raises(BadImage) as caught:
        read_input(address, identity)

    assert caught.value.reason == "not_an_image"
    assert str(caught.value) == f"{address}: expected a file, found a {kind}. Replace the file."


def test_an_image_with_too_many_bytes_is_refused(tmp_path: Path) -> None:
    """A file over the limit is refused as `bad_image` by its size, unread: 40 GiB as fast as one byte too many."""
    address = tmp_path / "tom.png"
    address.touch()
    for size in (1001, 40 << 30):
        os.truncate(address, size)
        with pytest.raises(BadImage) as caught:
            read_input(str(address), "missing", PictureLimits(max_bytes=1000))

        assert caught.value.reason == "over_limit"
        assert str(caught.value) == f"{address}: expected at most 1000 bytes, found {size}. Make it smaller."


def test_an_s3_object_with_too_many_bytes_is_refused(s3_bucket: str) -> None:
    """An object on S3 over the limit is refused as `bad_image` too."""
    address = f"{s3_bucket}/tom.png"
    storage.create(address, bytes(1001))

    with pytest.raises(
        BadImage, match=r"tom.png: expected at most 1000 bytes, found 1001. Make it smaller.$"
    ) as caught:
        read_input(address, "missing", PictureLimits(max_bytes=1000))
    assert not caught.value.is_permanent


def test_an_image_with_too_many_pixels_is_refused(photo: Painter) -> None:
    """An image over the operator's limit of pixels is refused as `bad_image`; one with exactly that many is not."""
    address = photo("cat.png", 64, 48)
    identity = str(storage.identity(address))

    assert read_input(address, identity, PictureLimits(max_pixels=64 * 48)).picture.size == (64, 48)
    with pytest.raises(BadImage, match=r"cat\.png: ") as caught:
        read_input(address, identity, PictureLimits(max_pixels=64 * 48 - 1))
    assert (caught.value.reason, caught.value.is_permanent) == ("over_limit", False)


def test_an_object_with_content_encoding_gzip_is_unpacked(photo: Painter, s3_bucket: str, s3_server: str) -> None:
    """An S3 object with `Content-Encoding: gzip` is unpacked before use, and its unpacked bytes count against the
    limit.
    """
    data = Path(photo("cat.png")).read_bytes()
    for body, key in ((gzip.compress(data), "cat.png"), (gzip.compress(bytes(100_000)), "bomb.png")):
        boto3.client("s3", endpoint_url=s3_server).put_object(
            Bucket=s3_bucket.removeprefix("s3://"), Key=key, Body=body, ContentEncoding="gzip"
        )
    address, bomb = f"{s3_bucket}/cat.png", f"{s3_bucket}/bomb.png"

    assert read_input(address, str(storage.identity(address))).sha256 == hashlib.sha256(data).hexdigest()
    with pytest.raises(BadImage, match=r"at most 1000 bytes once decoded from gzip, found more. Make it smaller.$"):
        read_input(bomb, str(storage.identity(bomb)), PictureLimits(max_bytes=1000))


def test_a_missing_image_is_not_found(tmp_path: Path) -> None:
    """A file that does not exist is reported as missing, not as a bad image."""
    with pytest.raises(NotFound):
        read_input(str(tmp_path / "tom.png"), "missing")


def test_a_file_replaced_after_planning_is_refused(photo: Painter) -> None:
    """A file that was replaced since the run was planned is not used."""
    address = photo("cat.png")
    identity = storage.identity(address)
    photo("cat.png", seed=2)

    with pytest.raises(InputChanged):
        read_input(address, str(identity))


def test_the_content_has_the_size_of_its_pastiche(photo: Painter, style: Painter) -> None:
    """The content is reduced to the pastiche's size by the engine's own filter, and enlarged only with `enlarge`."""
    content = photo("cat.png", 120, 90)
    sizes = {}
    for name, options in {"small": {"size_px": 64}, "kept": {}, "large": {"size_px": 240, "enlarge": True}}.items():
        loaded = load_pair(planned(pair_spec(content=content, style=style("waves.png"), options=options)))
        sizes[name] = loaded.size
        expected = resize(Image.open(content).convert("RGB"), *loaded.size)
        assert (np.asarray(loaded.content.picture) == np.asarray(expected)).all()

    assert sizes == {"small": (64, 48), "kept": (120, 90), "large": (240, 180)}


@pytest.mark.parametrize(
    ("size_px", "style_scale", "needed"),
    [(512, 1.0, 4096), (4096, 1.0, 4096), (5000, 1.0, 8192), (8192, 1.0, 8192), (8192, 1.1, 16384), (5000, 0.5, 4096)],
)
def test_styles_are_decoded_at_a_power_of_two(size_px: int, style_scale: float, needed: int) -> None:
    """A style is decoded at a power of two of at least the needed size, so that pastiches of similar sizes share it."""
    assert _needed_of_a_style(StylizeOptions(size_px=size_px, style_scale=style_scale).resolved()) == needed


def test_a_mask_of_a_small_pastiche_keeps_its_regions(photo: Painter, style: Painter) -> None:
    """A mask keeps the size at which its regions are found, however small the pastiche is."""
    others = {"content_mask": photo("mask.png", 600, 450), "init_image": photo("start.png", 600, 450)}
    spec = pair_spec(content=photo("cat.png"), style=style("waves.png"), options={"size_px": 64}, others=others)

    loaded = load_pair(planned(spec))

    assert {column: one.picture.size for column, one in loaded.others.items()} == {
        "content_mask": (512, 384),
        "init_image": (64, 48),
    }


def test_an_enlarged_mask_has_a_smooth_edge(style: Painter, tmp_path: Path) -> None:
    """The engine enlarges a small mask by interpolation, so that a diagonal edge becomes a smooth ramp."""
    rows, columns = np.mgrid[:64, :64]
    Image.fromarray(np.where(columns > rows, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    others = {"content_mask": str(tmp_path / "mask.png"), "protect": str(tmp_path / "mask.png")}
    options = {"size_px": 1024, "enlarge": True}
    content = style("cat.png", 64, 64)

    loaded = load_pair(planned(pair_spec(content=content, style=content, options=options, others=others)))

    protect, mask = (loaded.others[column].picture for column in ("protect", "content_mask"))
    maps = maps_of(mask, [(0, 0, 0), (255, 255, 255)], loaded.size)
    assert loaded.size == (1024, 1024)
    for share in (coverage(protect, loaded.size)[0, 0], maps[0, 1]):
        assert 0.0 < share.diff(dim=1).abs().max() < 0.1  # a ramp of about 16 pixels; a step would be 1
        assert (share.min(), share.max()) == (0.0, 1.0)


def test_a_missing_file_with_an_invisible_character_is_explained(photo: Painter, tmp_path: Path) -> None:
    """If a file name contains an invisible character and the file without it exists, the error suggests that file."""
    photo("cat.png")

    with pytest.raises(NotFound, match=r"was '.*/cat\.png' meant, where '\\u200bcat\.png' is written\?"):
        read_input(str(tmp_path / "\u200bcat.png"), "missing")


def test_too_little_memory_for_an_image_is_no_bad_image(photo: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the worker itself has no memory for an image, the error is OutOfMemory: the image may be read at the next
    attempt.
    """
    address = photo("cat.png")

    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "new", out_of_memory)

    with pytest.raises(OutOfMemory, match=r"cat\.png: too little memory"):
        read_input(address, str(storage.identity(address)))
    monkeypatch.undo()
    assert read_input(address, str(storage.identity(address))).picture.size == (64, 48)


def test_a_transparent_init_image_is_filled_with_its_own_colours(tmp_path: Path) -> None:
    """With `alpha=keep`, transparent parts of `init_image` continue its own colours, as for the content; else they are
    white.
    """
    for name in ("content.png", "start.png"):
        picture = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        picture.paste((200, 30, 30, 255), (0, 0, 32, 48))
        picture.save(tmp_path / name)
    addresses = {name: str(tmp_path / name) for name in ("content.png", "start.png")}
    found = {}
    for alpha in ("keep", "white"):
        spec = pair_spec(
            content=addresses["content.png"],
            style=addresses["content.png"],
            options={"alpha": alpha, "size_px": 64},
            others={"init_image": addresses["start.png"]},
        )
        found[alpha] = load_pair(planned(spec)).others["init_image"].picture.getpixel((60, 40))

    assert found["keep"] == pytest.approx((200, 30, 30), abs=2)
    assert found["white"] == (255, 255, 255)

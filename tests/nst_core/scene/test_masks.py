"""nst_core.scene.masks: pictures whose colours are regions."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from nst_core.errors import OptionsError
from nst_core.scene.masks import coverage, maps_of, palette, region_colours

EIGHT = ("black", "white", "red", "lime", "blue", "yellow", "cyan", "magenta")


def halves(left: str, right: str, size: tuple[int, int] = (80, 40)) -> Image.Image:
    mask = Image.new("RGB", size, right)
    ImageDraw.Draw(mask).rectangle((0, 0, size[0] // 2 - 1, size[1]), fill=left)
    return mask


def stripes(colours: tuple[str, ...]) -> Image.Image:
    mask = Image.new("RGB", (20 * len(colours), 40))
    for place, colour in enumerate(colours):
        ImageDraw.Draw(mask).rectangle((20 * place, 0, 20 * place + 19, 40), fill=colour)
    return mask


def as_jpeg(mask: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    mask.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("change", [lambda mask: mask, as_jpeg, lambda mask: mask.filter(ImageFilter.GaussianBlur(2))])
def test_eight_colours_are_eight_regions(change) -> None:
    """Exact, saved as a JPEG, or with soft edges, whose mixed colours are no regions of their own."""
    assert len(palette(change(stripes(EIGHT)), "mask")) == 8


def test_a_soft_edge_is_partly_in_both() -> None:
    """Along a ramp from black to white the shares go from all to nothing, and add up to 1 everywhere."""
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")
    colours = [(0, 0, 0), (255, 255, 255)]

    maps = maps_of(ramp, colours, (256, 8))

    torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, 8, 256))
    expected = torch.from_numpy(np.asarray(ramp.resize((256, 1)), dtype=np.float32)[0, :, 0]) / 255.0
    torch.testing.assert_close(maps[0, 1, 4], expected, rtol=0.0, atol=0.01)


def test_an_edge_between_two_colours_is_in_no_third() -> None:
    """Red beside blue is purple in between, which lies far from the green of the same mask."""
    mask = stripes(("red", "blue", "lime")).filter(ImageFilter.GaussianBlur(3))
    maps = maps_of(mask, [(255, 0, 0), (0, 0, 255), (0, 255, 0)], mask.size)

    assert maps[0, 2, 20, :30].max() < 0.02
    assert maps[0, :2, 20, 20].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(7, 5), (80, 40), (333, 100)])
def test_a_region_keeps_its_share(size: tuple[int, int]) -> None:
    """At any size, another shape included, half of a mask stays half."""
    maps = maps_of(halves("black", "white"), [(0, 0, 0), (255, 255, 255)], size)

    assert maps.shape == (1, 2, size[1], size[0])
    assert maps.mean(dim=(2, 3))[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_regions_are_matched_by_colour() -> None:
    """Whatever their order, size and small differences."""
    found = region_colours(halves("red", "blue"), halves("#0808f0", "#f00808", (31, 17)))

    assert found is not None
    assert dict(zip(found.content, found.style, strict=True)) == {
        (255, 0, 0): (240, 8, 8),
        (0, 0, 255): (8, 8, 240),
    }


def test_a_region_on_one_side_alone_is_named() -> None:
    """With its colour and the mask that lacks it, for both sides at once."""
    with pytest.raises(OptionsError) as caught:
        region_colours(halves("red", "black"), halves("black", "#123456"))

    assert str(caught.value) == (
        "content_mask has the region red (#ff0000), style_mask has not; "
        "style_mask has the region #123456, content_mask has not: give both masks the same colours"
    )


def test_no_region_is_shared_by_two() -> None:
    """Of two blues, either of which could stand for the other mask's only one, the farther is alone."""
    with pytest.raises(OptionsError, match=r"content_mask has the region #000096, style_mask has not"):
        region_colours(stripes(("white", "blue", "#000096", "red")), stripes(("white", "blue", "red")))


@pytest.mark.parametrize("change", [lambda mask: mask, as_jpeg, lambda mask: mask.filter(ImageFilter.GaussianBlur(1))])
def test_filled_areas_of_colours_that_are_too_near_are_refused(change) -> None:
    """Two greens that each fill an area are not silently made one region: both are named."""
    mask = change(stripes(("#006400", "#008000", "white")).resize((240, 160), Image.Resampling.NEAREST))

    with pytest.raises(OptionsError, match=r"^mask: #0\w{5} and #0\w{5}: each fills an area of its own"):
        palette(mask, "mask")


def test_several_near_colours_are_all_named() -> None:
    """Each colour that would have been merged is named with the one that it is too near to."""
    with pytest.raises(OptionsError, match=r"#000080 and #00008b, .*blue \(#0000ff\) and blue \(#0000e0\): each"):
        palette(stripes(("navy", "navy", "darkblue", "blue", "blue", "#0000e0", "white")), "mask")


def test_a_label_map_is_refused() -> None:
    """Greys 0 to 7, as segmentation tools write class numbers, are not silently a single region."""
    labels = stripes(tuple(f"#0{level}0{level}0{level}" for level in range(8)))

    with pytest.raises(OptionsError, match=r"black \(#000000\) and black \(#010101\).* more: each fills an area"):
        palette(labels, "style_mask")


@pytest.mark.parametrize("encoding", [("JPEG", 30), ("JPEG", 90), ("WEBP", 30), ("WEBP", 75)])
@pytest.mark.parametrize("soft_px", [0, 3, 40])
def test_compression_and_soft_edges_fill_no_areas_of_their_own(encoding: tuple[str, int], soft_px: int) -> None:
    """A lossy file's slightly different blocks, and the tails of a soft edge, are not taken for further regions."""
    mask = stripes(("red", "white", "#123456", "yellow")).resize((320, 240), Image.Resampling.NEAREST)
    ImageDraw.Draw(mask).ellipse((90, 60, 230, 200), fill="#c08040")
    buffer = io.BytesIO()
    mask.filter(ImageFilter.GaussianBlur(soft_px)).save(buffer, encoding[0], quality=encoding[1])

    assert len(palette(Image.open(buffer).convert("RGB"), "mask")) >= 4


def test_a_filled_area_that_is_too_small_is_noted() -> None:
    """If neither mask has enough of a colour there is no region, and the user is told which colour that is."""
    speck = halves("black", "white", (500, 500))
    ImageDraw.Draw(speck).rectangle((0, 0, 19, 19), fill="red")

    found = region_colours(speck, halves("black", "white"))

    assert found is not None
    assert found.notes == (
        "content_mask: red (#ff0000) covers 0.0016 of its area and is not a region, which covers at least 0.002",
    )


def test_a_filled_area_that_may_be_an_edge_is_noted() -> None:
    """A small grey area between black and white that only one mask has is no region, and the user is told so."""
    mask = halves("black", "white", (512, 512))
    ImageDraw.Draw(mask).rectangle((252, 0, 259, 512), fill="#808080")

    found = region_colours(mask, halves("black", "white"))

    assert found is not None
    assert len(found.content) == 2
    assert found.notes == (
        "content_mask: grey (#808080) covers 0.016 of its area and is not in style_mask; it lies between two other "
        "colours and is taken for their edge, not for a region",
    )


def test_plain_masks_have_no_notes() -> None:
    """Masks whose colours all are regions need no comment, with soft edges or compressed too."""
    for mask in (stripes(EIGHT), as_jpeg(stripes(EIGHT)), halves("black", "white").filter(ImageFilter.GaussianBlur(3))):
        found = region_colours(mask, mask)
        assert found is not None
        assert found.notes == ()


def test_a_region_that_is_too_small_is_told_from_none() -> None:
    """With its share and the least that counts."""
    speck = halves("black", "white", (500, 500))
    ImageDraw.Draw(speck).rectangle((0, 0, 19, 19), fill="red")

    with pytest.raises(
        OptionsError, match=r"style_mask has it on 0\.0016 of its area alone, which counts from 0\.002 on"
    ):
        region_colours(stripes(("black", "white", "red")), speck)


@pytest.mark.parametrize("colours", [("black", "#808080", "white"), ("red", "#ff8000", "yellow")])
@pytest.mark.parametrize("change", [lambda mask: mask, as_jpeg, lambda mask: mask.filter(ImageFilter.GaussianBlur(2))])
def test_an_area_filled_with_a_colour_between_two_others_is_a_region(change, colours: tuple[str, ...]) -> None:
    """With hard and soft edges; its middle is wholly of it."""
    mask = change(stripes(colours))
    found = palette(mask, "mask")

    assert len(found) == 3
    middle = maps_of(mask, found, mask.size)[0, :, 20, 30]
    assert middle.max() > 0.9
    assert found[int(middle.argmax())] not in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (255, 255, 0))


@pytest.mark.parametrize("soft_px", [0.5, 2, 20, 80])
def test_an_edge_however_soft_is_no_region(soft_px: float) -> None:
    """From the grey of a scaled edge to a gradient over most of the picture."""
    mask = halves("black", "white", (512, 384)).filter(ImageFilter.GaussianBlur(soft_px))

    assert sorted(palette(mask, "mask"))[0] == (0, 0, 0)
    assert len(palette(mask, "mask")) == 2
    assert len(palette(mask.resize((301, 217), Image.Resampling.BOX), "mask")) == 2


@pytest.mark.parametrize("width", [4, 8, 20, 40])
@pytest.mark.parametrize("long_edge", [512, 700, 1024])
def test_one_mask_on_both_sides_has_the_same_regions(width: int, long_edge: int) -> None:
    """Whatever the size that either comes at: grey between black and white is a region of both, or of none."""
    mask = halves("black", "white", (1024, 768))
    ImageDraw.Draw(mask).rectangle((512, 0, 511 + width, 768), fill="#808080")
    other = mask.resize((long_edge, long_edge * 3 // 4), Image.Resampling.BOX)

    for one, two in ((mask, other), (other, mask)):
        found = region_colours(one, two)
        assert found is not None
        assert len(found.content) == len(found.style) == (2 if width < 10 else 3)


def test_one_mask_alone_is_refused() -> None:
    """And none is none."""
    assert region_colours(None, None) is None
    with pytest.raises(OptionsError, match="style_mask goes with a content_mask"):
        region_colours(None, halves("red", "blue"))


def test_too_many_regions_are_refused() -> None:
    """Nine colours, none of which lies between two others."""
    turns = [(turn, 0) for turn in np.arange(5) / 5] + [(turn, 255) for turn in (np.arange(4) + 0.5) / 4]
    circles = [(int(128 + 127 * np.cos(6.283 * a)), int(128 + 127 * np.sin(6.283 * a)), blue) for a, blue in turns]

    with pytest.raises(OptionsError, match="content_mask: expected 8 regions at most, found 9 colours"):
        palette(stripes(tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in circles)), "content_mask")


def test_white_is_covered() -> None:
    """A mask's white is exactly 1, its black exactly 0, also where it is enlarged or shrunk."""
    for size in ((20, 10), (80, 40), (200, 130)):
        light = coverage(halves("white", "black"), size)
        assert light.shape == (1, 1, size[1], size[0])
        assert light[..., : size[0] // 2 - 8].eq(1.0).all()
        assert light[..., size[0] // 2 + 8 :].eq(0.0).all()


@pytest.mark.parametrize("size", [(125, 50), (333, 133)])
def test_white_is_covered_up_to_its_edge(size: tuple[int, int]) -> None:
    """Shrunk, and saved as a JPEG: a pixel or two are between, no wave of grey is in the white."""
    light = coverage(as_jpeg(halves("white", "black", (500, 200))), size)[0, 0]

    assert light[:, : size[0] // 2 - 1].eq(1.0).all()
    assert light[:, size[0] // 2 + 2 :].eq(0.0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_covers_nothing(mode: str) -> None:
    """Whatever colour lies there unseen."""
    mask = Image.new(mode, (20, 10), "white")
    mask.putalpha(halves("white", "black").convert("L").resize((20, 10)))

    light = coverage(mask, (20, 10))

    assert light[..., :9].eq(1.0).all()
    assert light[..., 11:].eq(0.0).all()


def test_nearly_white_is_white() -> None:
    """As JPEG leaves it; so is black black."""
    levels = [float(coverage(Image.new("RGB", (4, 4), (one, one, one)), (4, 4)).mean()) for one in (252, 3, 127)]

    assert levels == [1.0, 0.0, pytest.approx(0.5, abs=0.01)]

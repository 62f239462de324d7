"""Masks: images whose colours mark regions, or whose white marks a protected area."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from nst_core.errors import OptionsError
from nst_core.scene.masks.maps import coverage, maps_of
from nst_core.scene.masks.matching import region_colours
from nst_core.scene.masks.palette import palette

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
def test_eight_colours_give_eight_regions(change) -> None:
    """Eight colours are eight regions, also in a JPEG or with soft edges, whose mixed colours are no regions."""
    assert len(palette(change(stripes(EIGHT)), "mask")) == 8


def test_a_soft_edge_belongs_partly_to_both_regions() -> None:
    """Along a ramp from black to white, the maps of both regions follow the ramp and add up to 1 everywhere."""
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")
    colours = [(0, 0, 0), (255, 255, 255)]

    maps = maps_of(ramp, colours, (256, 8))

    torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, 8, 256))
    expected = torch.from_numpy(np.asarray(ramp.resize((256, 1)), dtype=np.float32)[0, :, 0]) / 255.0
    torch.testing.assert_close(maps[0, 1, 4], expected, rtol=0.0, atol=0.01)


def test_an_edge_belongs_to_no_third_region() -> None:
    """The purple edge between red and blue belongs to these two regions, and not to the green one of the same mask."""
    mask = stripes(("red", "blue", "lime")).filter(ImageFilter.GaussianBlur(3))
    maps = maps_of(mask, [(255, 0, 0), (0, 0, 255), (0, 255, 0)], mask.size)

    assert maps[0, 2, 20, :30].max() < 0.02
    assert maps[0, :2, 20, 20].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(7, 5), (80, 40), (333, 100)])
def test_a_region_keeps_its_share(size: tuple[int, int]) -> None:
    """Half of a mask is half of the map at any size, and at another aspect ratio."""
    maps = maps_of(halves("black", "white"), [(0, 0, 0), (255, 255, 255)], size)

    assert maps.shape == (1, 2, size[1], size[0])
    assert maps.mean(dim=(2, 3))[0].tolist() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_regions_are_matched_by_colour() -> None:
    """Regions of two masks are matched by colour, despite another order, another size and small differences."""
    found = region_colours(halves("red", "blue"), halves("#0808f0", "#f00808", (31, 17)))

    assert found is not None
    assert dict(zip(found.content, found.style, strict=True)) == {
        (255, 0, 0): (240, 8, 8),
        (0, 0, 255): (8, 8, 240),
    }


def test_a_region_of_one_mask_only_is_refused() -> None:
    """A region that only one mask has is refused; one message names all colours, and the mask that lacks each."""
    with pytest.raises(OptionsError) as caught:
        region_colours(halves("red", "black"), halves("black", "#123456"))

    assert str(caught.value) == (
        "content_mask has the region red (#ff0000), style_mask has not; "
        "style_mask has the region #123456, content_mask has not: give both masks the same colours"
    )


def test_no_region_is_matched_twice() -> None:
    """If two blues could match the only blue of the other mask, the nearer one does, and the other is refused."""
    with pytest.raises(OptionsError, match=r"content_mask has the region #000096, style_mask has not"):
        region_colours(stripes(("white", "blue", "#000096", "red")), stripes(("white", "blue", "red")))


@pytest.mark.parametrize("change", [lambda mask: mask, as_jpeg, lambda mask: mask.filter(ImageFilter.GaussianBlur(1))])
def test_filled_areas_of_near_colours_are_refused(change) -> None:
    """Two near greens that each fill an area are refused by name, instead of being merged into one region."""
    mask = change(stripes(("#006400", "#008000", "white")).resize((240, 160), Image.Resampling.NEAREST))

    with pytest.raises(OptionsError, match=r"^mask: #0\w{5} and #0\w{5}: each fills an area of its own"):
        palette(mask, "mask")


def test_several_near_colours_are_all_named() -> None:
    """Every colour that would be merged is named, together with the colour that it is too near to."""
    with pytest.raises(OptionsError, match=r"#000080 and #00008b, .*blue \(#0000ff\) and blue \(#0000e0\): each"):
        palette(stripes(("navy", "navy", "darkblue", "blue", "blue", "#0000e0", "white")), "mask")


def test_a_label_map_is_refused() -> None:
    """A mask of the greys 0 to 7, the class numbers of segmentation tools, is refused, and not taken for one region."""
    labels = stripes(tuple(f"#0{level}0{level}0{level}" for level in range(8)))

    with pytest.raises(OptionsError, match=r"black \(#000000\) and black \(#010101\).* more: each fills an area"):
        palette(labels, "style_mask")


@pytest.mark.parametrize("encoding", [("JPEG", 30), ("JPEG", 90), ("WEBP", 30), ("WEBP", 75)])
@pytest.mark.parametrize("soft_px", [0, 3, 40])
def test_compression_and_soft_edges_are_accepted(encoding: tuple[str, int], soft_px: int) -> None:
    """The blocks of a lossy file, and the tails of a soft edge, are not taken for filled areas of near colours."""
    mask = stripes(("red", "white", "#123456", "yellow")).resize((320, 240), Image.Resampling.NEAREST)
    ImageDraw.Draw(mask).ellipse((90, 60, 230, 200), fill="#c08040")
    buffer = io.BytesIO()
    mask.filter(ImageFilter.GaussianBlur(soft_px)).save(buffer, encoding[0], quality=encoding[1])

    assert len(palette(Image.open(buffer).convert("RGB"), "mask")) >= 4


def test_a_filled_area_that_is_too_small_is_noted() -> None:
    """A filled area below the smallest share, whose colour the other mask lacks, is no region; a note names it."""
    speck = halves("black", "white", (500, 500))
    ImageDraw.Draw(speck).rectangle((0, 0, 19, 19), fill="red")

    found = region_colours(speck, halves("black", "white"))

    assert found is not None
    assert found.notes == (
        "content_mask: red (#ff0000) covers 0.0016 of its area and is not a region, which covers at least 0.002",
    )


def test_a_filled_area_that_may_be_an_edge_is_noted() -> None:
    """A small grey area between black and white that only one mask has is taken for an edge, and a note says so."""
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
    """Masks whose colours are all regions have no notes, also if compressed or with soft edges."""
    for mask in (stripes(EIGHT), as_jpeg(stripes(EIGHT)), halves("black", "white").filter(ImageFilter.GaussianBlur(3))):
        found = region_colours(mask, mask)
        assert found is not None
        assert found.notes == ()


def test_a_region_too_small_in_one_mask_is_refused() -> None:
    """If a region is too small in one of the masks, the message has its share and the smallest share that counts."""
    speck = halves("black", "white", (500, 500))
    ImageDraw.Draw(speck).rectangle((0, 0, 19, 19), fill="red")

    with pytest.raises(
        OptionsError, match=r"style_mask has it on 0\.0016 of its area alone, which counts from 0\.002 on"
    ):
        region_colours(stripes(("black", "white", "red")), speck)


@pytest.mark.parametrize("colours", [("black", "#808080", "white"), ("red", "#ff8000", "yellow")])
@pytest.mark.parametrize("change", [lambda mask: mask, as_jpeg, lambda mask: mask.filter(ImageFilter.GaussianBlur(2))])
def test_a_filled_area_of_a_mixed_colour_is_a_region(change, colours: tuple[str, ...]) -> None:
    """An area filled with a colour between two others is a region, with hard or soft edges, and its middle is in it."""
    mask = change(stripes(colours))
    found = palette(mask, "mask")

    assert len(found) == 3
    middle = maps_of(mask, found, mask.size)[0, :, 20, 30]
    assert middle.max() > 0.9
    assert found[int(middle.argmax())] not in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (255, 255, 0))


@pytest.mark.parametrize("soft_px", [0.5, 2, 20, 80])
def test_a_soft_edge_is_no_region(soft_px: float) -> None:
    """An edge between two colours is no region, from the grey of a resized edge to a gradient over most of the mask."""
    mask = halves("black", "white", (512, 96)).filter(ImageFilter.GaussianBlur(soft_px))

    assert sorted(palette(mask, "mask"))[0] == (0, 0, 0)
    assert len(palette(mask, "mask")) == 2
    assert len(palette(mask.resize((301, 54), Image.Resampling.BOX), "mask")) == 2


@pytest.mark.parametrize("width", [4, 8, 20, 40])
@pytest.mark.parametrize("long_edge", [512, 700, 1024])
def test_a_resized_mask_has_the_same_regions(width: int, long_edge: int) -> None:
    """A grey stripe between black and white is a region in a mask and its resized copy, or in neither if narrow."""
    mask = halves("black", "white", (1024, 192))
    ImageDraw.Draw(mask).rectangle((512, 0, 511 + width, 192), fill="#808080")
    other = mask.resize((long_edge, long_edge * 3 // 16), Image.Resampling.BOX)

    for one, two in ((mask, other), (other, mask)):
        found = region_colours(one, two)
        assert found is not None
        assert len(found.content) == len(found.style) == (2 if width < 10 else 3)


def test_one_mask_alone_is_refused() -> None:
    """A mask without its counterpart is refused; without both masks there are no regions."""
    assert region_colours(None, None) is None
    with pytest.raises(OptionsError, match="style_mask goes with a content_mask"):
        region_colours(None, halves("red", "blue"))


def test_too_many_regions_are_refused() -> None:
    """Nine colours, none of which lies between two others, are refused, as eight regions are allowed."""
    turns = [(turn, 0) for turn in np.arange(5) / 5] + [(turn, 255) for turn in (np.arange(4) + 0.5) / 4]
    circles = [(int(128 + 127 * np.cos(6.283 * a)), int(128 + 127 * np.sin(6.283 * a)), blue) for a, blue in turns]

    with pytest.raises(OptionsError, match="content_mask: expected 8 regions at most, found 9 colours"):
        palette(stripes(tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in circles)), "content_mask")


def test_coverage_is_1_in_white_and_0_in_black() -> None:
    """Away from the edge, the coverage is exactly 1 in white and exactly 0 in black, also at another size."""
    for size in ((20, 10), (80, 40), (200, 130)):
        light = coverage(halves("white", "black"), size)
        assert light.shape == (1, 1, size[1], size[0])
        assert light[..., : size[0] // 2 - 8].eq(1.0).all()
        assert light[..., size[0] // 2 + 8 :].eq(0.0).all()


@pytest.mark.parametrize("size", [(125, 50), (333, 133)])
def test_coverage_is_exact_near_the_edge(size: tuple[int, int]) -> None:
    """In a reduced JPEG mask at most three columns lie between exact white and black, without waves beside the edge."""
    light = coverage(as_jpeg(halves("white", "black", (500, 200))), size)[0, 0]

    assert light[:, : size[0] // 2 - 1].eq(1.0).all()
    assert light[:, size[0] // 2 + 2 :].eq(0.0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_cover_nothing(mode: str) -> None:
    """Transparent pixels have a coverage of 0, though their hidden colour is white."""
    mask = Image.new(mode, (20, 10), "white")
    mask.putalpha(halves("white", "black").convert("L").resize((20, 10)))

    light = coverage(mask, (20, 10))

    assert light[..., :9].eq(1.0).all()
    assert light[..., 11:].eq(0.0).all()


def test_a_mask_of_16_bits_is_scaled() -> None:
    """Half grey of 16 bits covers half, as of 8 bits, and a grey that 8 bits round to black covers nothing."""
    for level, expected in ((0, 0.0), (500, 0.0), (32768, 0.5), (65535, 1.0)):
        assert coverage(Image.new("I;16", (16, 16), level), (8, 8)).mean().item() == pytest.approx(expected, abs=0.01)


def test_nearly_white_counts_as_white() -> None:
    """Levels near white and black, as a JPEG leaves them, count as exact white and black."""
    levels = [float(coverage(Image.new("RGB", (4, 4), (one, one, one)), (4, 4)).mean()) for one in (252, 3, 127)]

    assert levels == [1.0, 0.0, pytest.approx(0.5, abs=0.01)]

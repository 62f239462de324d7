"""Conversion between sRGB and profiles with primaries and curves, compared with littlecms and with the definitions."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst_core.images.colour import rgb_space
from nst_core.images.colour.rgb_space import MAX_BYTES, embeddable, from_srgb, srgb_profile, to_srgb
from nst_core.images.writing.picture_file import PictureFile
from tests.icc import (
    ADOBE_TO_XYZ,
    D50,
    SRGB_TO_XYZ,
    Pixels,
    cmyk_profile,
    fixed,
    gamma_tag,
    grey_profile,
    icc_profile,
    rgb_profile,
    srgb_from_xyz,
    xyz_tag,
)
from tests.odd_pictures import profile_of_elements

P3_TO_XYZ = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
PROPHOTO_TO_XYZ = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]])


def profile_of(to_xyz: Pixels, curve: bytes, **more: bytes) -> bytes:
    """Return a profile with three primaries, one curve for all of them, and further tags."""
    tags = {name + b"XYZ": xyz_tag(column) for name, column in zip((b"r", b"g", b"b"), to_xyz.T, strict=True)}
    tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")} | {b"wtpt": xyz_tag(D50)}
    return icc_profile(b"mntr", b"RGB ", b"XYZ ", tags | {name.encode(): content for name, content in more.items()})


def table_tag(values: Pixels) -> bytes:
    levels = [round(65535 * value) for value in values]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(levels)}H", len(levels), *levels)


def formula_tag(form: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", form, 0) + fixed(*values)


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
SPACES = {
    "Adobe RGB": rgb_profile(ADOBE_TO_XYZ, 2.19921875),
    "Display P3": profile_of(P3_TO_XYZ, formula_tag(3, *SRGB_CURVE)),
    "ProPhoto": profile_of(PROPHOTO_TO_XYZ, gamma_tag(1.8)),
    "linear": profile_of(SRGB_TO_XYZ, b"curv" + bytes(8)),
    "table": profile_of(ADOBE_TO_XYZ, table_tag(np.linspace(0, 1, 500) ** 2.0)),
    "formula 0": profile_of(ADOBE_TO_XYZ, formula_tag(0, 1.9)),
    "formula 1": profile_of(P3_TO_XYZ, formula_tag(1, 2.0, 1.02, -0.02)),
    "formula 2": profile_of(P3_TO_XYZ, formula_tag(2, 2.0, 1.02, -0.02, 0.0005)),
    "formula 4": profile_of(P3_TO_XYZ, formula_tag(4, *SRGB_CURVE, 0.0005, 0.0005)),
}


def colours(seed: int = 0) -> Pixels:
    """Return random sRGB colours, some with channels of 0 or 1 only, shape (64, 64, 3)."""
    made = np.random.default_rng(seed).random((64, 64, 3), dtype=np.float32)
    made[:8] = made[:8].round()
    return made


def as_littlecms_sees(levels: Pixels, icc: bytes) -> Pixels:
    """Return 8-bit values of a profile converted to sRGB by littlecms, from 0 to 255."""
    return np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(levels), ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
        )
    ).astype(float)


@pytest.mark.parametrize("icc", SPACES.values(), ids=SPACES)
def test_a_round_trip_returns_the_same_colours(icc: bytes) -> None:
    """A round trip returns nearly the same floats, and through a 16-bit file the same within an 8-bit level."""
    pixels = colours()
    file = PictureFile("tiff", 16, profile=icc)

    again = to_srgb(from_srgb(pixels, icc), icc)

    assert again.dtype == np.float32
    inside = np.abs(from_srgb(pixels, icc) - 0.5).max(-1) < 0.4999  # not clipped
    assert np.abs(again - pixels)[inside].max() < 1e-3
    assert np.abs(again - pixels).mean() < 2e-3
    assert np.abs(file.srgb(file.levels(pixels)) - again)[inside].max() < 0.004


@pytest.mark.parametrize("icc", SPACES.values(), ids=SPACES)
def test_littlecms_reads_the_same_colours(icc: bytes) -> None:
    """The levels of a file are converted back to the original colours, by littlecms and by `PictureFile.srgb`."""
    pixels = colours(1) * 0.6 + 0.2
    file = PictureFile("png", profile=icc)
    levels = file.levels(pixels)

    seen = as_littlecms_sees(levels, icc)

    assert np.abs(seen - 255 * pixels).mean() < 1
    assert np.abs(seen - 255 * file.srgb(levels)).max() < 2


def test_adobe_rgb_follows_its_definition() -> None:
    """Adobe RGB is converted as by its definition: its exponent, its primaries and those of sRGB."""
    icc = SPACES["Adobe RGB"]
    values = colours(2)

    expected = srgb_from_xyz(values.astype(float) ** 2.19921875 @ ADOBE_TO_XYZ.T) / 255

    assert np.abs(to_srgb(values, icc) - expected).max() < 2e-3


def test_an_image_is_converted_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more pixels than one strip has the same result as if it were converted at once."""
    whole = from_srgb(colours(3), SPACES["ProPhoto"])
    monkeypatch.setattr(rgb_space, "_STRIP_PIXELS", 64 * 10)  # 10 rows: the last of the 64 form a smaller strip

    np.testing.assert_array_equal(from_srgb(colours(3), SPACES["ProPhoto"]), whole)


@pytest.mark.parametrize("icc", [*SPACES.values(), srgb_profile()], ids=[*SPACES, "sRGB"])
def test_a_profile_of_primaries_and_curves_is_embeddable(icc: bytes) -> None:
    """A profile with primaries and curves is embedded unchanged."""
    assert embeddable(icc) == icc


def test_unbounded_tags_are_not_embedded() -> None:
    """A tag with an unbounded number of elements is renamed before embedding, as applying it could take minutes."""
    endless = profile_of_elements(3)
    tag = endless[int.from_bytes(endless[136:140]) :]
    icc = profile_of(ADOBE_TO_XYZ, gamma_tag(2.2), D2B1=tag)

    made = embeddable(icc)

    assert (b"D2B1" in icc, b"D2B1" in made, len(made)) == (True, False, len(icc))


@pytest.mark.parametrize(
    ("icc", "what"),
    [
        (cmyk_profile(), "CMYK"),
        (grey_profile(2.2), "grey"),
        (icc_profile(b"spac", b"Lab ", b"XYZ ", {}), "Lab"),
        (icc_profile(b"mntr", b"HSV ", b"XYZ ", {}), "no RGB space"),
        (icc_profile(b"prtr", b"RGB ", b"Lab ", {}), "tables"),
        (profile_of(ADOBE_TO_XYZ, gamma_tag(2.2), A2B0=b"mft2"), "tables"),
        (icc_profile(b"mntr", b"RGB ", b"XYZ ", {}), "damaged"),
        (SPACES["Adobe RGB"][:200], "damaged"),
        (SPACES["Adobe RGB"][:130], "damaged"),
        (profile_of(ADOBE_TO_XYZ, b"curv\0\0\0\0" + struct.pack(">IH", 2**32 - 1, 5)), "damaged"),
        (profile_of(ADOBE_TO_XYZ, formula_tag(9, 1.0)), "damaged"),
        (profile_of(ADOBE_TO_XYZ, formula_tag(1, 1.0, 0.0, 0.0)), "damaged"),
        (profile_of(ADOBE_TO_XYZ, formula_tag(0, -3.0)), "damaged"),
        (profile_of(ADOBE_TO_XYZ, b"text" + bytes(20)), "a rare kind"),
        (profile_of(ADOBE_TO_XYZ, table_tag(np.linspace(1, 0, 9))), "curves that fall"),
        (profile_of(ADOBE_TO_XYZ, table_tag(np.zeros(9))), "without black or white"),
        (profile_of(ADOBE_TO_XYZ, table_tag(np.linspace(0.01, 1, 9))), "without black or white"),
        (profile_of(np.ones((3, 3)), gamma_tag(2.2)), "damaged"),
        (profile_of(np.zeros((3, 3)), gamma_tag(2.2)), "damaged"),
        (profile_of(ADOBE_TO_XYZ / 50, gamma_tag(2.2)), "does not hold the colours"),
        (profile_of(ADOBE_TO_XYZ, table_tag(np.r_[np.zeros(300), 1.0])), "does not hold the colours"),
        (profile_of(ADOBE_TO_XYZ, gamma_tag(2.2), junk=bytes(MAX_BYTES)), "more than 100000"),
        (b"", "no RGB space"),
    ],
)
def test_other_profiles_are_not_embeddable(icc: bytes, what: str) -> None:
    """A profile without usable RGB primaries and curves is a ValueError that says what it is instead."""
    with pytest.raises(ValueError, match=what):
        embeddable(icc)


@pytest.mark.parametrize("seed", range(3))
def test_a_broken_profile_raises_only_value_error(seed: int) -> None:
    """A profile with some wrong bytes is either a ValueError or converts colours to finite numbers."""
    chance = np.random.default_rng(seed)
    for number in range(60):
        icc = bytearray(list(SPACES.values())[number % len(SPACES)])
        for place in chance.integers(0, min(len(icc), 600), 4):
            icc[place] = chance.integers(0, 256)
        try:
            safe = embeddable(bytes(icc))
        except ValueError:
            continue
        assert np.isfinite(from_srgb(colours()[:2], safe)).all()

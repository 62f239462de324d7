"""Decoding of declared colours, in every way that a format can declare them, as a colour-managed viewer shows them."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from nst_core.errors import BadImage
from nst_core.images import decode_image
from nst_core.images.colour.numbers import profile_of_h273
from tests.icc import (
    ADOBE_TO_XYZ,
    D50,
    SRGB_TO_XYZ,
    cmyk_profile,
    grey_profile,
    icc_profile,
    rgb_profile,
    srgb_from_xyz,
    xyz_tag,
)

P3_TO_XYZ = np.array(  # Display P3 adapted to D50, as in Apple's profile
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
PROPHOTO_TO_XYZ = np.array(  # ROMM RGB, whose white is D50
    [[0.79767, 0.13519, 0.03134], [0.28804, 0.71187, 0.00009], [0.0, 0.0, 0.82521]]
)
BT2020_TO_XYZ = np.array([[0.67347, 0.16566, 0.12503], [0.27904, 0.67534, 0.04563], [-0.00193, 0.02998, 0.79684]])
COLORD = Path("/usr/share/color/icc/colord")


def srgb_curve(value: Any) -> Any:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def video_curve(value: Any) -> Any:
    """Return the linear light of a value, by the curve of BT.709."""
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


def patches(seed: int = 0, side: int = 8, cells: int = 8) -> np.ndarray:
    """Return flat squares of random colours, uint8."""
    colours = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return colours.repeat(side, axis=0).repeat(side, axis=1)


def saved(pixels: np.ndarray, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def off(data: bytes, expected: Any) -> float:
    """Return the largest difference between the decoded pixels of a file and the expected ones."""
    result = decode_image(data, "a")
    return float(np.abs(np.asarray(result.picture) - np.asarray(expected, float).clip(0, 255)).max())


def with_chunks(data: bytes, **chunks: bytes) -> bytes:
    """Return a PNG with further chunks inserted after its header."""
    more = b""
    for kind, content in chunks.items():
        name = kind.encode()
        more += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return data[:33] + more + data[33:]


def avif(pixels: np.ndarray, primaries: int, transfer: int) -> bytes:
    """Return an AVIF that declares its colours by code points of H.273."""
    data = bytearray(saved(pixels, "AVIF", quality=100, subsampling="4:4:4", speed=8))
    at = data.index(b"colrnclx") + 8
    struct.pack_into(">HH", data, at, primaries, transfer)
    return bytes(data)


def chromaticities(*points: float) -> bytes:
    return struct.pack(">8I", *(round(point * 100_000) for point in points))


ADOBE_XY = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


# ---- Colours declared by numbers


@pytest.mark.parametrize(
    ("primaries", "transfer", "to_xyz", "curve"),
    [
        pytest.param(12, 13, P3_TO_XYZ, srgb_curve, id="Display P3"),
        pytest.param(1, 1, SRGB_TO_XYZ, video_curve, id="BT.709"),
        pytest.param(9, 14, BT2020_TO_XYZ, video_curve, id="BT.2020"),
        pytest.param(1, 8, SRGB_TO_XYZ, lambda value: value, id="linear"),
        pytest.param(12, 4, P3_TO_XYZ, lambda value: value**2.2, id="P3 with a gamma"),
        pytest.param(2, 2, SRGB_TO_XYZ, srgb_curve, id="unspecified"),
        pytest.param(12, 2, P3_TO_XYZ, srgb_curve, id="P3 with an unspecified curve"),
        pytest.param(77, 13, SRGB_TO_XYZ, srgb_curve, id="unknown primaries"),
    ],
)
def test_code_points_are_converted_to_srgb(primaries: int, transfer: int, to_xyz: np.ndarray, curve: Any) -> None:
    """Code points of H.273, in an AVIF or in a PNG's cICP, are converted by the primaries and curve they stand for."""
    pixels = patches()
    expected = srgb_from_xyz(curve(pixels / 255) @ to_xyz.T)
    data = avif(pixels, primaries, transfer)
    plain = np.asarray(Image.open(BytesIO(data)))  # the colours after the lossy codec

    assert off(with_chunks(saved(pixels, "PNG"), cICP=bytes((primaries, transfer, 0, 1))), expected) <= 1.5
    assert off(data, srgb_from_xyz(curve(plain / 255) @ to_xyz.T)) <= 1.5


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(transfer: int, name: str) -> None:
    """An image of high dynamic range is refused, because how bright its white should be is a choice of the user's."""
    for data in (avif(patches(), 9, transfer), with_chunks(saved(patches(), "PNG"), cICP=bytes((9, transfer, 0, 1)))):
        with pytest.raises(BadImage) as caught:
            decode_image(data, "a")

        assert caught.value.reason == "unsupported_mode"
        assert str(caught.value) == (
            f"a: expected an image of standard dynamic range, found one of high dynamic range ({name}). "
            "Export it for a standard screen (SDR)."
        )


def test_an_avif_profile_takes_precedence_over_code_points() -> None:
    """A profile in an AVIF takes precedence over its code points, as in browsers."""
    pixels = patches()
    data = saved(pixels, "AVIF", quality=100, subsampling="4:4:4", icc_profile=rgb_profile(ADOBE_TO_XYZ, 2.2))
    plain = np.asarray(Image.open(BytesIO(data)))

    assert off(data, srgb_from_xyz((plain / 255) ** 2.2 @ ADOBE_TO_XYZ.T)) <= 1.5


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_gama_and_chrm_of_a_png_are_converted(gamma: float) -> None:
    """A PNG's gAMA and cHRM are applied if it declares its colours in no other way."""
    pixels = patches()
    chunks = {"gAMA": struct.pack(">I", round(100_000 / gamma)), "cHRM": chromaticities(*ADOBE_XY)}
    exact = 1 / (round(100_000 / gamma) / 100_000)
    curve = srgb_curve if gamma == 2.2 else lambda value: value**exact

    assert off(with_chunks(saved(pixels, "PNG"), **chunks), srgb_from_xyz(curve(pixels / 255) @ ADOBE_TO_XYZ.T)) <= 1.5


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"gAMA": struct.pack(">I", 45455), "cHRM": chromaticities(*SRGB_XY)},
        {"cHRM": chromaticities(*SRGB_XY)},
        {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000), "cHRM": chromaticities(*ADOBE_XY)},
        {"gAMA": struct.pack(">I", 0)},
        {"gAMA": struct.pack(">I", 1)},
        {"cHRM": chromaticities(0.3127, 0.0, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)},
        {"cHRM": chromaticities(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)},
        {"cICP": bytes((1, 13, 0, 1)), "gAMA": struct.pack(">I", 100_000)},
        {"cICP": b"\1"},
    ],
)
def test_chunks_that_mean_srgb_change_no_pixel(chunks: dict[str, bytes]) -> None:
    """A gAMA of 45455 means sRGB, the chunks sRGB and cICP precede gAMA, and implausible values are ignored."""
    pixels = patches()

    assert off(with_chunks(saved(pixels, "PNG"), **chunks), pixels) == 0


def test_cicp_precedes_a_profile_which_precedes_gama() -> None:
    """In a PNG, cICP takes precedence over a profile, and a profile takes precedence over gAMA."""
    pixels, profile = patches(), rgb_profile(ADOBE_TO_XYZ, 2.2)
    plain = saved(pixels, "PNG", icc_profile=profile)
    linear = {"gAMA": struct.pack(">I", 100_000)}

    assert off(with_chunks(plain, cICP=bytes((1, 13, 0, 1))), pixels) == 0
    assert off(with_chunks(plain, **linear), srgb_from_xyz((pixels / 255) ** 2.2 @ ADOBE_TO_XYZ.T)) <= 1.5


def test_code_points_become_a_profile_of_the_origin() -> None:
    """Code points are turned into a profile, so that an output can keep a colour space that is declared by numbers."""
    profile = decode_image(with_chunks(saved(patches(), "PNG"), cICP=bytes((12, 13, 0, 1))), "a").origin.profile

    assert profile == profile_of_h273(12, 13) != b""
    pixels = Image.fromarray(patches())
    made = ImageCms.ImageCmsProfile(BytesIO(profile))
    by_littlecms = ImageCms.buildTransform(made, ImageCms.createProfile("sRGB"), "RGB", "RGB").apply(pixels)
    exact = srgb_from_xyz(srgb_curve(patches() / 255) @ P3_TO_XYZ.T).clip(0, 255)
    assert np.abs(np.asarray(by_littlecms) - exact).max() <= 1.5


# ---- 16 bits


@pytest.mark.parametrize("kind", ["png", "tiff", "tiff, deflated", "tiff, big-endian", "png with alpha"])
def test_16_bits_of_a_wide_space_are_converted(kind: str) -> None:
    """All 16 bits are used for the conversion to sRGB, because 8 bits of ProPhoto are too coarse."""
    values = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    values[:32] //= 20  # dark colours, where errors show most
    profile = rgb_profile(PROPHOTO_TO_XYZ, 1.8)
    exact = srgb_from_xyz((values / 65535) ** (round(1.8 * 256) / 256) @ PROPHOTO_TO_XYZ.T)
    if kind.startswith("png"):
        data = png_16(values, profile, with_alpha=kind == "png with alpha")
    else:
        more = {"compression": "zlib"} if "deflated" in kind else {}
        order = {"byteorder": ">"} if "big" in kind else {}
        data = tiff(values, photometric="rgb", iccprofile=profile, **more, **order)

    assert off(data, exact) <= 1.0


def png_16(values: np.ndarray, profile: bytes, *, with_alpha: bool) -> bytes:
    if with_alpha:
        values = np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])
    rows = values.astype(">u2").view(np.uint8).reshape(len(values), -1)
    body = zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes())
    header = struct.pack(">IIBBBBB", values.shape[1], len(values), 16, 6 if with_alpha else 2, 0, 0, 0)
    empty = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    return with_chunks(empty, iCCP=b"x\0\0" + zlib.compress(profile), IDAT=body, IEND=b"")


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_16_bit_grey_with_a_profile_is_converted(gamma: float, photometric: str) -> None:
    """Each of the 65536 greys with a grey profile is within 1 of the formula, including the darkest."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    light = (ramp if photometric == "minisblack" else 65535 - ramp) / 65535
    exact = srgb_from_xyz((light ** (round(gamma * 256) / 256))[..., None] * D50)

    assert off(tiff(ramp, photometric=photometric, iccprofile=grey_profile(gamma)), exact) <= 1.0


def test_a_broken_profile_of_16_bit_grey_is_ignored() -> None:
    """A broken profile of a 16-bit grey image is ignored, with a note."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)

    result = decode_image(tiff(ramp, iccprofile=grey_profile(1.0)[:140]), "a")

    assert (np.asarray(result.picture)[..., 0] == np.rint(ramp / 257)).all()
    assert result.notes == ("broken or unfitting colour profile ignored",)


@pytest.mark.parametrize("gain", [0.15, 0.20])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_dot_gain_profile_is_applied(gain: float, bits: int) -> None:
    """A grey profile for a press with dot gain, whose curve is a table as Photoshop writes it, is applied."""
    places = np.linspace(0, 1, 256)
    light = (1 - ((1 - places) + 4 * gain * places * (1 - places)).clip(0, 1)).clip(0, 1)
    table = b"curv\0\0\0\0" + struct.pack(">I", 256) + np.round(light * 65535).astype(">u2").tobytes()
    profile = icc_profile(b"prtr", b"GRAY", b"XYZ ", {b"wtpt": xyz_tag(D50), b"kTRC": table})
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    stored = ramp if bits == 8 else ramp.astype(np.uint16) * 257

    assert off(tiff(stored, iccprofile=profile), srgb_from_xyz(light[ramp][..., None] * D50)) <= 1.5


@pytest.mark.parametrize("channels", [1, 3])
def test_floats_with_a_linear_profile_are_converted(channels: int) -> None:
    """Floating point numbers with a linear profile, as renderers write them, are converted to sRGB without a note."""
    values = (np.random.default_rng(0).random((64, 64, channels)) ** 3).astype(np.float32)
    profile = rgb_profile(SRGB_TO_XYZ, 1.0) if channels == 3 else grey_profile(1.0)
    xyz = values @ SRGB_TO_XYZ.T if channels == 3 else values * D50

    data = tiff(values.squeeze(), photometric="rgb" if channels == 3 else "minisblack", iccprofile=profile)

    assert off(data, srgb_from_xyz(xyz)) <= 1.0
    assert decode_image(data, "a").notes == ()


# ---- Profiles made by other programs, and profiles in JPEG 2000


@pytest.mark.parametrize("name", sorted(path.name for path in COLORD.glob("*.icc")) or [""])
@pytest.mark.skipif(not COLORD.is_dir(), reason="needs the profiles of Debian's package colord")
def test_colord_profiles_agree_with_littlecms(name: str) -> None:
    """The profiles of Debian's colord give the result of an exact conversion by littlecms, within 2 of 255."""
    icc = (COLORD / name).read_bytes()
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip())
    if mode is None or profile.profile.device_class not in ("mntr", "prtr", "spac"):
        pytest.skip("not a profile of images")
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    picture = Image.frombytes(mode, (64, 64), colours[..., : len(Image.new(mode, (1, 1)).getbands())].tobytes())
    flags = ImageCms.Flags.NOOPTIMIZE | ImageCms.Flags.BLACKPOINTCOMPENSATION
    exact = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags
    ).apply(picture)
    buffer = BytesIO()
    picture.save(buffer, "TIFF", icc_profile=icc)

    assert off(buffer.getvalue(), np.asarray(exact)) <= 2


def test_an_unfitting_profile_in_a_jpeg_2000_is_noted() -> None:
    """A CMYK profile in a JPEG 2000 of RGB pixels is ignored, with a note."""
    data = jp2_with(saved(patches(), "JPEG2000"), cmyk_profile())

    assert decode_image(data, "a").notes == ("broken or unfitting colour profile ignored",)


def test_a_profile_in_a_jpeg_2000_is_applied() -> None:
    """The profile in a JPEG 2000, which Pillow ignores, is applied."""
    pixels = patches()
    data = jp2_with(saved(pixels, "JPEG2000"), rgb_profile(ADOBE_TO_XYZ, 2.2))

    assert off(data, srgb_from_xyz((pixels / 255) ** 2.2 @ ADOBE_TO_XYZ.T)) <= 1.5


def jp2_with(data: bytes, profile: bytes) -> bytes:
    """Return a JPEG 2000 whose colour box holds a profile."""
    head, colour = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    (head_bytes,), (colour_bytes,) = (struct.unpack_from(">I", data, at) for at in (head, colour))
    box = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    head_bytes += len(box) - colour_bytes
    return data[:head] + struct.pack(">I", head_bytes) + data[head + 4 : colour] + box + data[colour + colour_bytes :]

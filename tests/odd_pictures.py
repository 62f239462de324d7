"""Makes odd image files: damaged ones, other files under an image's name, and ones that cost much time or memory."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from PIL import Image

SIZE = 64, 48
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000")


def noise(size: tuple[int, int] = SIZE, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return an image of random greys, converted to a mode."""
    return Image.frombytes("L", size, random.Random(seed).randbytes(size[0] * size[1])).convert(mode)


def save(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


# ---- files and parts of files


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*chunks: bytes, after: bytes = b"") -> bytes:
    """Return a PNG with further chunks before its pixels, and after them."""
    data = save(noise(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:-12] + after + data[-12:]


def segment(marker: int, content: bytes = b"") -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(segments: bytes, **options: Any) -> bytes:
    """Return a JPEG with further segments, or other bytes, before its own segments."""
    data = save(noise(), "JPEG", **options)
    return data[:2] + segments + data[2:]


def jpeg_of_scans(number: int, size: tuple[int, int]) -> bytes:
    """Return a progressive JPEG whose last scan, 17 bytes for all pixels, is repeated this often."""
    data = save(Image.new("L", size, 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * number + data[-2:]


def gif_with(blocks: bytes = b"", after: bytes = b"") -> bytes:
    """Return a GIF with further blocks before its image, and after it."""
    data = save(noise().quantize(256), "GIF")
    table_end = 13 + 3 * 256
    return data[:table_end] + blocks + data[table_end:-1] + after + b";"


def tiff(size: tuple[int, int], *more: tuple[int, str, list[int] | bytes], big: bool = False) -> bytes:
    """Return an uncompressed RGB TIFF with further tags, each (number, `H` or `I`, values, which may be packed)."""
    form, inline, at = ("<HHQ", 8, 24) if big else ("<HHI", 4, 10)
    basic: list[tuple[int, str, list[int] | bytes]] = [
        *((256 + side, "I", [length]) for side, length in enumerate(size)),
        *((number, "H", values) for number, values in ((258, [8, 8, 8]), (259, [1]), (262, [2]), (277, [3]))),
    ]
    tags = [*basic, *more]
    at += len(tags) * (struct.calcsize(form) + inline) + inline
    entries, values_after = [], []
    for number, letter, values in tags:
        packed = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{letter}", *values)
        count = len(packed) // struct.calcsize(f"<{letter}")
        field = packed.ljust(inline, b"\0")
        if len(packed) > inline:
            field = at.to_bytes(inline, "little")
            values_after.append(packed)
            at += len(packed)
        entries.append(struct.pack(form, number, 3 if letter == "H" else 4, count) + field)
    small_head = b"II*\0\x08\0\0\0" + struct.pack("<H", min(len(tags), 65535))
    head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(tags)) if big else small_head
    return head + b"".join(entries) + bytes(inline) + b"".join(values_after) + bytes(3 * SIZE[0] * SIZE[1])


def tiff_of_strips(number: int) -> bytes:
    """Return a TIFF that claims this many strips, each of which takes four bytes of the file."""
    values = b"\x08\0" * number
    return tiff((1000, 1000), (273, "H", values), (278, "I", [1]), (279, "H", values))


def tiff_of_tiles(number: int) -> bytes:
    """Return a TIFF that claims this many tiles of one pixel."""
    offsets = struct.pack("<I", 8) * number
    return tiff((1000, 1000), (322, "I", [1]), (323, "I", [1]), (324, "I", offsets), (325, "I", offsets))


def profile_of_elements(number: int) -> bytes:
    """Return a colour profile whose only description is this many processing elements, all the same 60 bytes."""
    head_bytes, table_bytes = 128, 16
    first = 16 + 8 * number
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3) + struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    element = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, number) + struct.pack(">II", first, len(matrix)) * number
    tag = element + matrix
    length = head_bytes + table_bytes + len(tag)
    header = bytearray(head_bytes)
    header[:24] = struct.pack(">I4sI", length, b"lcms", 0x04300000) + b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)  # the white of D50
    return bytes(header) + struct.pack(">I4sII", 1, b"D2B1", head_bytes + table_bytes, len(tag)) + tag


def bmp_of_runs(number: int, size: tuple[int, int] = (7000, 7000)) -> bytes:
    """Return a run-length encoded BMP of this many short runs, which Pillow decodes in Python."""
    runs = ((b"\1\5" * size[0] + b"\0\0") * min(size[1], number // size[0] + 1))[: 2 * number]
    header = b"BM" + struct.pack("<III", 1078 + len(runs) + 2, 0, 1078)
    header += struct.pack("<IiiHHIIIIII", 40, *size, 1, 8, 1, 0, 0, 0, 256, 0)
    return header + bytes(1024) + runs + b"\0\1"


# ---- collections


def stills() -> dict[str, bytes]:
    """Return an undamaged small image of every kind, by name."""
    exif = Image.Exif()
    exif[274] = 6
    made: dict[str, bytes] = {kind: save(noise(), kind) for kind in FORMATS if kind != "GIF"}
    made |= {
        "GIF": save(noise().quantize(64), "GIF"),
        "progressive": save(noise(), "JPEG", progressive=True, exif=exif),
        "CMYK": save(noise(mode="CMYK"), "JPEG"),
        "CMYK TIFF": save(noise(mode="CMYK"), "TIFF", compression="tiff_lzw"),
        "16 bits": save(noise(mode="I;16"), "PNG"),
        "alpha": save(noise(mode="RGBA"), "PNG", exif=exif, icc_profile=profile_of_elements(3)),
        "palette": save(noise().quantize(16), "PNG", transparency=3),
        "bit": save(noise(mode="1"), "TIFF", compression="group4"),
        "lossless": save(noise(mode="RGBA"), "WEBP", lossless=True, exif=exif),
        "animated": save(noise(), "GIF", save_all=True, append_images=[noise(seed=1), noise(seed=2)]),
        "animated PNG": save(noise(), "PNG", save_all=True, append_images=[noise(seed=1), noise(seed=2)]),
        "animated WebP": save(noise(), "WEBP", save_all=True, append_images=[noise(seed=1), noise(seed=2)]),
        "pages": save(noise(), "TIFF", save_all=True, append_images=[noise(seed=1)]),
        "BigTIFF": tiff(SIZE, (273, "I", [8]), (279, "I", [3 * SIZE[0] * SIZE[1]]), big=True),
        "runs": bmp_of_runs(4000, SIZE),
    }
    return made


def damaged(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    """Yield every still cut short, and with three wrong bits, `each` times, with a name that says what was changed."""
    chance = random.Random(seed)
    for name, whole in stills().items():
        for number in range(each):
            yield f"{name} cut {number}", whole[: chance.randrange(len(whole))]
            broken = bytearray(whole)
            places = [chance.randrange(min(len(whole), chance.choice((64, 400, len(whole))))) for _ in range(3)]
            for place in places:
                broken[place] ^= 1 << chance.randrange(8)
            yield f"{name} wrong at {places}", bytes(broken)


def disguised() -> dict[str, bytes]:
    """Return files that are no usable image, but could be named .png or .jpg."""
    return {
        "empty": b"",
        "a text": b"content,style\na.png,b.png\n",
        "a zip": b"PK\3\4" + bytes(60),
        "a pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "an svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>',
        "a page": b"<!DOCTYPE html><html><body>403</body></html>",
        "a program": b"\x7fELF" + bytes(60),
        "zeros": bytes(5000),
        "an icon": save(noise(), "ICO"),
        "postscript": save(noise(), "EPS"),
        "nonsense for EXIF": jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(range(200)))),
        "nonsense for a profile": jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(200)))),
        "a PNG with nonsense": png_with(chunk(b"iCCP", b"x\0\0not packed"), chunk(b"eXIf", b"MM"), chunk(b"tRNS")),
        "endless sides": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\x7f\xff\xff\xff" * 2 + b"\x08\2\0\0\0"),
    }


COSTLY: dict[str, Callable[[], bytes]] = {
    "TIFF of 12 million strips": lambda: tiff_of_strips(12_000_000),
    "TIFF of a million tiles": lambda: tiff_of_tiles(1_000_000),
    "TIFF of 200,000 strips": lambda: tiff_of_strips(200_000),
    "TIFF of a million tags": lambda: tiff(SIZE, *[(60_000, "I", b"\1\0\0\0")] * 1_000_000, big=True),
    "profile of 3,000 elements": lambda: save(noise(), "PNG", icc_profile=profile_of_elements(3000)),
    "JPEG of padding": lambda: jpeg_with(b"\xff" * 49_000_000),
    "JPEG of stuffed zeros": lambda: jpeg_with(b"\xff\0" * 24_000_000),
    "JPEG of comments": lambda: jpeg_with(segment(0xFE, bytes(65_000)) * 750),
    "JPEG of empty comments": lambda: jpeg_with(segment(0xFE) * 12_000_000),
    "JPEG of XMP": lambda: jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(60_000)) * 780),
    "JPEG of EXIF": lambda: jpeg_with(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + bytes(60_000)) * 780),
    "JPEG of profiles": lambda: jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)) * 780),
    "JPEG of 5,000 scans": lambda: jpeg_of_scans(5000, (3000, 2000)),
    "JPEG of 90 scans": lambda: jpeg_of_scans(90, (7000, 7000)),
    "GIF of comments": lambda: gif_with(b"!\xfe" + (b"\xff" + b"x" * 255) * 190_000 + b"\0"),
    "GIF of tiny sub-blocks": lambda: gif_with(b"!\xfe" + b"\1x" * 24_000_000 + b"\0"),
    "GIF of empty comments": lambda: gif_with(b"!\xfe\0" * 16_000_000),
    "GIF of tiny sub-blocks after its image": lambda: gif_with(after=b"!\xfe" + b"\1x" * 24_000_000 + b"\0"),
    "GIF of stray bytes": lambda: gif_with(b"\1" * 49_000_000),
    "PNG of text bombs": lambda: png_with(*[chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(50_000_000)))] * 20),
    "PNG of tiny chunks": lambda: png_with(chunk(b"teXt") * 4_000_000),
    "PNG of empty data": lambda: png_with(chunk(b"IDAT") * 4_000_000),
    "PNG with a profile bomb": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(900_000_000)))),
    "PNG of profiles": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(9_900_000))) * 4000),
    "BMP of runs": lambda: bmp_of_runs(24_000_000),
}
"""Files that would cost gigabytes or minutes without our limits, by name, with the function that makes each.

They have from some hundred bytes up to 50 MB, and each is made in about a second.
"""

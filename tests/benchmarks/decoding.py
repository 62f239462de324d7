"""The largest images of each format: memory and seconds of the process that decodes them for a pastiche of 1024 px.

python -m tests.benchmarks.decoding --json tests/benchmarks/results/decoding.json

Makes the files, some gigabytes, one at a time in a temporary folder.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from flows.decoding.decoder import Decoder, DecoderDied
from flows.decoding.decoder_process import WantedPicture
from nst_core.errors import BadImage
from tests.benchmarks.report import Report, add_json_option

WANTED_PX = 1024
_TILE = 1000


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    """Soft gradients, edges and grain, which compress about as well as photographs; from a fixed seed."""
    tile = _tile(channels)
    return np.tile(tile, (-(-height // _TILE), -(-width // _TILE), 1))[:height, :width]


@cache
def _tile(channels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:_TILE, :_TILE]
    slopes = [127 + 100 * np.sin(x / (40 + 9 * c)) * np.cos(y / (60 + 5 * c)) for c in range(channels)]
    return (np.stack(slopes, -1) + rng.normal(0, 3, (_TILE, _TILE, channels))).clip(0, 255).astype(np.uint8)


def image(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """The same image for Pillow."""
    Image.MAX_IMAGE_PIXELS = None
    return Image.fromarray(picture(width, height, len(mode)))


def rows(width: int, height: int, step: int, kind: type = np.uint8) -> Iterator[np.ndarray]:
    """The same image as strips of rows, from the top down."""
    for top in range(0, height, step):
        strip = picture(width, min(step, height - top))
        yield strip if kind is np.uint8 else strip.astype(np.uint16) * 257


def tiles(width: int, height: int, side: int) -> Iterator[np.ndarray]:
    """The same image as square tiles."""
    for _ in range(-(-height // side) * -(-width // side)):
        yield picture(side, side)


def tiff(path: str, width: int, height: int, made: Iterator[np.ndarray], **options: Any) -> None:
    tifffile.imwrite(path, made, shape=(height, width, 3), dtype=np.uint8, photometric="rgb", metadata=None, **options)


def png_16(path: str, width: int, height: int) -> None:
    """Write a PNG of 16 bits, which Pillow cannot, strip by strip."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        )

    packer = zlib.compressobj(1)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)))
        above = np.zeros((1, width * 6), np.uint8)
        for strip in rows(width, height, 100, np.uint16):
            raw = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
            filtered = np.insert(raw - np.concatenate([above, raw[:-1]]), 0, 2, axis=1)
            above = raw[-1:]
            file.write(chunk(b"IDAT", packer.compress(filtered.tobytes())))
        file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def heic(path: str) -> None:
    import pillow_heif

    pillow_heif.from_pillow(image(8064, 6048)).save(path, quality=80, enc_params={"preset": "ultrafast"})


CASES: dict[str, Callable[[str], Any]] = {
    "JPEG, 300 MP": lambda path: image(20000, 15000).save(path, "JPEG", quality=90),
    "JPEG, progressive, 300 MP": lambda path: image(20000, 15000).save(path, "JPEG", quality=90, progressive=True),
    "JPEG, progressive 4:4:4, 300 MP": lambda path: image(20000, 15000).save(
        path, "JPEG", quality=80, progressive=True, subsampling=0
    ),
    "PNG, 200 MP": lambda path: image(16384, 12288).save(path, "PNG", compress_level=1),
    "PNG, 16 bits, 120 MP": lambda path: png_16(path, 12500, 9600),
    "PNG with alpha, 100 MP": lambda path: image(11600, 8700, "RGBA").save(path, "PNG", compress_level=1),
    "TIFF, strips, deflate, 300 MP": lambda path: tiff(
        path, 20000, 15000, rows(20000, 15000, 100), rowsperstrip=100, compression="zlib", predictor=True
    ),
    "TIFF, tiles, deflate, 225 MP": lambda path: tiff(
        path, 17320, 13000, tiles(17320, 13000, 256), tile=(256, 256), compression="zlib", predictor=True
    ),
    "TIFF, strips, LZW, 300 MP": lambda path: image(20000, 15000).save(path, "TIFF", compression="tiff_lzw"),
    "TIFF, strips, JPEG, 300 MP": lambda path: image(20000, 15000).save(path, "TIFF", compression="jpeg"),
    "TIFF, one strip, 150 MP": lambda path: tiff(path, 15000, 10000, rows(15000, 10000, 10000), rowsperstrip=10000),
    "JPEG 2000, 100 MP": lambda path: image(11500, 8700).save(
        path, "JPEG2000", quality_mode="rates", quality_layers=[12]
    ),
    "JPEG 2000, tiles, 100 MP": lambda path: image(11500, 8700).save(
        path, "JPEG2000", tile_size=(1024, 1024), quality_mode="rates", quality_layers=[12]
    ),
    "AVIF, 50 MP": lambda path: image(8660, 5773).save(path, "AVIF", speed=10, quality=70),
    "AVIF, 100 MP": lambda path: image(11500, 8700).save(path, "AVIF", speed=10, quality=70),
    "HEIC, 48 MP": heic,
    "WebP, 75 MP": lambda path: image(10000, 7500).save(path, "WEBP", quality=80, method=0),
    "WebP, 16383 x 16383": lambda path: image(16383, 16383).save(path, "WEBP", quality=80, method=0),
}
"""Name -> function that makes the file."""


def measured(path: str) -> dict[str, Any]:
    """Measure one file in a new decoder process that has decoded a small image before."""
    decoder = Decoder()
    small = Path(path).with_suffix(".small")
    image(32, 32).save(small, "PNG")
    decoder.decode(small.read_bytes(), "small", WantedPicture())
    assert decoder._process is not None
    process, data = decoder._process.pid, Path(path).read_bytes()
    before, began, seconds = memory_mb(process, "VmRSS"), time.perf_counter(), cpu_seconds(process)
    found: dict[str, Any] = {"file_mb": round(len(data) / 1e6, 1)}
    try:
        decoded = decoder.decode(data, "it", WantedPicture("pastiche", WANTED_PX))
        found |= {"size": list(decoded.picture.size)}
    except BadImage as error:
        found |= {"refused": error.message}
    except DecoderDied as error:
        return found | {"ended": error.code}
    finally:
        found |= {"clock_seconds": round(time.perf_counter() - began, 1)}
    with suppress(FileNotFoundError, IndexError):  # the process had too little memory and ended
        found |= {
            "cpu_seconds": round(cpu_seconds(process) - seconds, 1),
            "peak_mb": memory_mb(process, "VmHWM") - before,
        }
    decoder.end()
    return found


def memory_mb(process: int, what: str) -> int:
    return int(Path(f"/proc/{process}/status").read_text().split(f"{what}:")[1].split()[0]) // 1000


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all cases, or those whose names are given."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {'; '.join(CASES)}")
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    report = Report("decoding", arguments)
    for name in arguments.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "picture")
            # In its own process, so that the memory used to make the file is freed.
            made = get_context("fork").Process(target=CASES[name], args=(path,))
            made.start()
            made.join()
            report.add({"file": name} | measured(path))
    report.finish()


if __name__ == "__main__":
    main()

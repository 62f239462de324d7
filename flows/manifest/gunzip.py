"""Decompress a gzip file up to a limit, as a small file can expand to a very large one."""

import gzip
import io
import sys
import zlib

from flows.errors import ManifestError

MAGIC = b"\x1f\x8b"


def unpacked(data: bytes, name: str, max_bytes: int) -> bytes:
    """Return the decompressed bytes of a gzip file.

    Raises:
        ManifestError: the file is damaged, or decompresses to more than `max_bytes`; it is then not decompressed much
            further than that.
    """
    most = max_bytes + 1 if max_bytes < sys.maxsize else -1
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            contents = file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(f"{name}: expected a gzip file, found a damaged one ({error}); pack it again") from error
    if len(contents) > max_bytes:
        raise ManifestError(f"{name}: expected at most {max_bytes:,} bytes when unpacked, found more; split it")
    return contents

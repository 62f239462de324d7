"""A gzip file -> what is in it, as far as it may be: a small file can hold a very large one."""

import gzip
import io
import sys
import zlib

from flows.errors import ManifestError

MAGIC = b"\x1f\x8b"


def unpacked(data: bytes, name: str, max_bytes: int) -> bytes:
    """The bytes in a gzip file.

    Raises:
        ManifestError: it is damaged, or holds more than `max_bytes`; not much more than that is unpacked.
    """
    most = max_bytes + 1 if max_bytes < sys.maxsize else -1
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            found = file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise ManifestError(f"{name}: expected a gzip file, found a damaged one ({error}); pack it again") from error
    if len(found) > max_bytes:
        raise ManifestError(f"{name}: expected at most {max_bytes:,} bytes when unpacked, found more; split it")
    return found

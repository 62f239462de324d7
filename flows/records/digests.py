"""Short digests of values, used as fingerprints and in names."""

import hashlib
import json
from typing import Any


def short_digest(value: Any, digits: int) -> str:
    """Return the first hex digits of the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]

"""Which code this is, to the byte: two machines that do one run must have the same."""

import functools
import hashlib
from importlib import resources
from pathlib import Path

from nst_core import __version__

PACKAGES = ("flows", "nst_core")


@functools.cache
def code_version() -> str:
    """The version and a digest of all modules, such as `0.2.0 (code 1a2b3c4d5e6f)`."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(str(resources.files(package)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return f"{__version__} (code {digest.hexdigest()[:12]})"

"""A pair's pictures: read, checked against what was planned, decoded, and the content at the pastiche's size."""

import functools
import hashlib
from dataclasses import dataclass, field

from PIL import Image

from flows import storage
from flows.errors import InputChanged, NotFound
from flows.manifest.lookalikes import hint
from flows.records import PlannedPair
from nst_core.errors import OutOfMemory
from nst_core.images import MAX_BYTES, decode_image, resize
from nst_core.sizes import pastiche_size

STYLES_KEPT = 4
"""In memory, and their targets beside them: batches of one style follow each other."""


@dataclass(frozen=True)
class Input:
    """A decoded picture. Two of the same bytes are equal, whatever their address."""

    sha256: str
    picture: Image.Image = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(compare=False)


@dataclass(frozen=True)
class LoadedPair:
    """A pair whose content picture, in 8 bits, has the pastiche's size."""

    pair: PlannedPair
    content: Input

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pastiche."""
        return self.content.picture.size


def load_pair(pair: PlannedPair, max_bytes: int = MAX_BYTES, within: storage.Places | None = None) -> LoadedPair:
    """Read, check, decode and resize the content of a pair; called on threads beside the device's work."""
    options = pair.spec.options
    original = read_input(pair.spec.content, pair.content_identity, max_bytes, within)
    width, height = pastiche_size(*original.picture.size, options.size_px, enlarge=options.enlarge)
    try:
        # The original is let go here: pairs wait for the device by the hundred, and at their final size are small.
        content = Input(original.sha256, resize(original.picture, width, height), original.notes)
    except MemoryError as error:
        raise OutOfMemory(f"{pair.spec.content}: too little memory to resize it to {width} x {height}") from error
    return LoadedPair(pair, content)


def read_input(address: str, identity: str, max_bytes: int = MAX_BYTES, within: storage.Places | None = None) -> Input:
    """A picture, decoded; a local one really lies `within` those places.

    Raises:
        InputChanged: if its file is not the one that the run was planned with.
        StorageError, BadImage, OutOfMemory: naming the file.
    """
    try:
        data = storage.read(address, min(max_bytes, MAX_BYTES), within=within)
        sha256 = hashlib.sha256(data).hexdigest()
        now = f"sha256:{sha256}" if identity.startswith("sha256:") else storage.identity(address)
        if now != identity:
            raise InputChanged(f"{address}: was replaced after this run was planned. Run again to use the new file")
        decoded = decode_image(data, address)
    except NotFound as error:
        raise NotFound(f"{error}{hint(address)}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{address}: too little memory to read and decode it") from error
    return Input(sha256, decoded.picture, decoded.notes)


@functools.lru_cache(maxsize=STYLES_KEPT)
def read_style(address: str, identity: str, max_bytes: int = MAX_BYTES, within: storage.Places | None = None) -> Input:
    """A style picture, decoded once for all pairs that use it."""
    return read_input(address, identity, max_bytes, within)

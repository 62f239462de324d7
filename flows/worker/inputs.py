"""A pair's pictures: read, checked against what was planned, decoded, the content at the pastiche's size."""

import functools
import math
from dataclasses import dataclass, field, replace

from PIL import Image

from flows.decoding.decoder_pool import AS_IT_IS, decode
from flows.decoding.decoder_process import WantedPicture
from flows.decoding.image_bytes import PictureLimits, picture_bytes
from flows.errors import InputChanged, NotAFile, NotFound, TooLarge
from flows.manifest.lookalikes import hint
from flows.records.pairs import OF_THE_STYLE
from flows.records.plans import PlannedPair
from nst_core.errors import BadImage, OutOfMemory
from nst_core.images import MAX_BYTES, Origin
from nst_core.images.refusals import REPLACE, SHRINK
from nst_core.options import StylizeOptions

ENGINE_LIMITS = PictureLimits()
"""Those of the engine alone."""
STYLES_KEPT = 4
"""In memory, and their targets beside them: batches of one style follow each other."""
LEAST_MASK_PX = 512
"""Of the long edge of a mask: what counts as a region of it is told at that size, whatever the pastiche's."""
LEAST_STYLE_PX = 4096
"""Of the long edge of a style of more than 50 megapixels, which comes out reduced."""


@dataclass(frozen=True)
class Input:
    """A decoded picture. Two of the same bytes are equal, whatever their address.

    Attributes:
        alpha: its transparency, mode L and of its size, where its pair keeps that; None where it is opaque.
        origin: what may be carried on of its file.
        version_id: of the object that it was read from, where S3 keeps versions.
    """

    sha256: str
    picture: Image.Image = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(compare=False)
    alpha: Image.Image | None = field(default=None, compare=False, repr=False)
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)
    version_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class LoadedPair:
    """A pair whose content picture, in 8 bits, has the pastiche's size; its masks and the like have about that."""

    pair: PlannedPair
    content: Input
    others: dict[str, Input] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pastiche."""
        return self.content.picture.size


def load_pair(pair: PlannedPair, limits: PictureLimits = ENGINE_LIMITS) -> LoadedPair:
    """Read, check, decode and resize the content of a pair; called on threads beside the device's work."""
    options = pair.spec.options
    # Pairs wait for the device by the hundred, and at their final size are small.
    wanted = WantedPicture("pastiche", options.size_px, options.enlarge, keep_alpha=options.alpha == "keep")
    content = read_input(pair.spec.content, pair.content_identity, limits, wanted)
    own = {column: address for column, address in pair.spec.others.items() if column not in OF_THE_STYLE}
    mask = WantedPicture("mask", max(options.size_px, LEAST_MASK_PX), options.enlarge)
    # Transparent parts protect nothing, and what is started from has no white behind them.
    wanted_of = {"content_mask": mask, "protect": replace(mask, keep_alpha=True), "init_image": wanted}
    others = {
        column: read_input(address, pair.other_identities[column], limits, wanted_of[column])
        for column, address in own.items()
    }
    return LoadedPair(pair, content, others)


@dataclass(frozen=True)
class StyleInputs:
    """The pictures of a style: `style` first, then those of a blend or a mask, by column."""

    by_column: tuple[tuple[str, Input], ...]

    @property
    def first(self) -> Input:
        """The picture of the column `style`."""
        return self.by_column[0][1]

    @property
    def pictures(self) -> tuple[Input, ...]:
        """All but a mask."""
        return tuple(one for column, one in self.by_column if column != "style_mask")

    @property
    def mask(self) -> Input | None:
        """Whose colours are regions."""
        return dict(self.by_column).get("style_mask")


def read_styles(pair: PlannedPair, limits: PictureLimits = ENGINE_LIMITS) -> StyleInputs:
    """The pictures of a pair's style, each decoded once for all pairs that use it."""
    identities = {"style": pair.style_identity, **pair.other_identities}
    columns = ("style", *(column for column in OF_THE_STYLE if column in pair.spec.others))
    addresses = pair.spec.pictures
    wanted = WantedPicture("style", _needed_of_a_style(pair.spec.options))
    return StyleInputs(
        tuple((column, read_style(addresses[column], identities[column], limits, wanted)) for column in columns)
    )


def _needed_of_a_style(options: StylizeOptions) -> int:
    """The long edge that a style has to keep: the same for most sizes, which then share what was decoded."""
    exactly = math.ceil(options.size_px * options.style_scale)
    return max(LEAST_STYLE_PX, 1 << (exactly - 1).bit_length())


def read_input(
    address: str,
    identity: str,
    limits: PictureLimits = ENGINE_LIMITS,
    wanted: WantedPicture = AS_IT_IS,
) -> Input:
    """A picture, decoded.

    Raises:
        InputChanged: if its file is not the one that the run was planned with.
        StorageError, BadImage, OutOfMemory, TookTooLong, WorkerDied: naming the file.
    """
    try:
        with picture_bytes(address, min(limits.max_bytes, MAX_BYTES), limits.within, identity) as found:
            if found.identity != identity:
                raise InputChanged(f"{address}: was replaced after this run was planned. Run again to use the new file")
            decoded = decode(found.data, address, replace(wanted, most_pixels=limits.max_pixels))
            sha256, version_id = found.sha256, found.version_id
    except NotFound as error:
        raise NotFound(f"{error}{hint(address)}") from error
    except (NotAFile, TooLarge) as error:
        reason, advice = ("too_large", SHRINK) if isinstance(error, TooLarge) else ("not_an_image", REPLACE)
        raise BadImage(address, reason, f"{str(error).removeprefix(f'{address}: ')}. {advice}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{address}: too little memory to read and decode it") from error
    return Input(sha256, decoded.picture, decoded.notes, decoded.alpha, decoded.origin, version_id)


@functools.lru_cache(maxsize=STYLES_KEPT)
def read_style(
    address: str,
    identity: str,
    limits: PictureLimits = ENGINE_LIMITS,
    wanted: WantedPicture = AS_IT_IS,
) -> Input:
    """A style picture, decoded once for all pairs that use it."""
    return read_input(address, identity, limits, wanted)

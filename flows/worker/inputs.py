"""Load a pair's images: read, check against the plan, decode, and resize the content to the pastiche's size."""

import functools
import math
from dataclasses import dataclass, field, replace

from PIL import Image

from flows.decoding.decoder_pool import AS_IT_IS, decode
from flows.decoding.decoder_process import WantedPicture
from flows.decoding.image_bytes import PictureLimits, picture_bytes
from flows.errors import InputChanged, NotAFile, NotFound, TooLarge
from flows.manifest.lookalikes import hint
from flows.records.pairs import STYLE_COLUMNS
from flows.records.plans import PlannedPair
from nst_core.errors import BadImage, OutOfMemory
from nst_core.images import MAX_BYTES, Origin
from nst_core.images.refusals import REPLACE, SHRINK
from nst_core.options import StylizeOptions

ENGINE_LIMITS = PictureLimits()
"""The engine's own limits, where the operator has set none."""
STYLES_KEPT = 4
"""How many decoded styles, and how many encoded ones, stay in memory: batches of one style follow each other."""
LEAST_MASK_PX = 512
"""The least long edge that a mask is reduced to: its regions are found at this size, however small the pastiche is."""
LEAST_STYLE_PX = 4096
"""The least long edge that a style of more than 50 megapixels is reduced to while it is decoded."""


@dataclass(frozen=True)
class Input:
    """A decoded image. Inputs with the same file content are equal, whatever their addresses.

    Attributes:
        sha256: the hash of the file.
        picture: the pixels, of mode RGB.
        notes: what the decoder has to tell the user about the file.
        alpha: the transparency, of mode L and the image's size, where the pair keeps it; None where it is opaque.
        origin: what of the file's metadata may be copied to the output.
        version_id: the version of the S3 object that was read; empty where there are no versions.
    """

    sha256: str
    picture: Image.Image = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(compare=False)
    alpha: Image.Image | None = field(default=None, compare=False, repr=False)
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)
    version_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class LoadedPair:
    """A pair with its decoded images.

    Attributes:
        pair: the planned pair.
        content: the content image, in 8 bits and at the pastiche's size.
        others: the images of the columns `content_mask`, `protect` and `init_image`. The start image is scaled like the
            content; a mask is at most reduced.
    """

    pair: PlannedPair
    content: Input
    others: dict[str, Input] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the pastiche."""
        return self.content.picture.size


def load_pair(pair: PlannedPair, limits: PictureLimits = ENGINE_LIMITS) -> LoadedPair:
    """Read, check, decode and resize the images of a pair, except those of its style.

    Called on threads while the device works.
    """
    options = pair.spec.options
    # Hundreds of pairs may wait for the device, which takes little memory at their final size.
    wanted = WantedPicture("pastiche", options.size_px, options.enlarge, keep_alpha=options.alpha == "keep")
    content = read_input(pair.spec.content, pair.content_identity, limits, wanted)
    own = {column: address for column, address in pair.spec.others.items() if column not in STYLE_COLUMNS}
    # A mask is never enlarged here: each pixel would become a square, while the engine interpolates.
    mask = WantedPicture("mask", max(options.size_px, LEAST_MASK_PX))
    # Transparent parts of `protect` protect nothing, and those of `init_image` are not laid over white.
    wanted_of = {"content_mask": mask, "protect": replace(mask, keep_alpha=True), "init_image": wanted}
    others = {
        column: read_input(address, pair.other_identities[column], limits, wanted_of[column])
        for column, address in own.items()
    }
    return LoadedPair(pair, content, others)


@dataclass(frozen=True)
class StyleInputs:
    """The images of a style.

    Attributes:
        by_column: pairs of column and image: `style` first, then the other images of a blend, or the mask.
    """

    by_column: tuple[tuple[str, Input], ...]

    @property
    def first(self) -> Input:
        """The image of the column `style`."""
        return self.by_column[0][1]

    @property
    def pictures(self) -> tuple[Input, ...]:
        """All images of the style, without its mask."""
        return tuple(picture for column, picture in self.by_column if column != "style_mask")

    @property
    def mask(self) -> Input | None:
        """The image whose colours mark the style's regions; None where there is none."""
        return dict(self.by_column).get("style_mask")


def read_styles(pair: PlannedPair, limits: PictureLimits = ENGINE_LIMITS) -> StyleInputs:
    """Return the images of a pair's style, each decoded once for all pairs that use it."""
    identities = {"style": pair.style_identity, **pair.other_identities}
    columns = ("style", *(column for column in STYLE_COLUMNS if column in pair.spec.others))
    addresses = pair.spec.pictures
    wanted = WantedPicture("style", _needed_of_a_style(pair.spec.options))
    return StyleInputs(
        tuple((column, read_style(addresses[column], identities[column], limits, wanted)) for column in columns)
    )


def _needed_of_a_style(options: StylizeOptions) -> int:
    """Return the long edge that a decoded style must have at least.

    It is rounded up to a power of two, so that pastiches of most sizes share one decoded style.
    """
    exact = math.ceil(options.size_px * options.style_scale)
    return max(LEAST_STYLE_PX, 1 << (exact - 1).bit_length())


def read_input(
    address: str,
    identity: str,
    limits: PictureLimits = ENGINE_LIMITS,
    wanted: WantedPicture = AS_IT_IS,
) -> Input:
    """Read and decode an image.

    Args:
        address: where it is, locally or on S3.
        identity: the identity of its file when the run was planned.
        limits: the limits for its bytes and pixels, and where it may lie.
        wanted: the size at which it is needed.

    Raises:
        InputChanged: if the file is not the one that the run was planned with.
        StorageError, BadImage, OutOfMemory, TookTooLong, WorkerDied: if it cannot be read or decoded; the message names
            the file.
    """
    try:
        with picture_bytes(address, min(limits.max_bytes, MAX_BYTES), limits.within, identity) as file:
            if file.identity != identity:
                raise InputChanged(f"{address}: was replaced after this run was planned. Run again to use the new file")
            decoded = decode(file.data, address, replace(wanted, most_pixels=limits.max_pixels))
            sha256, version_id = file.sha256, file.version_id
    except NotFound as error:
        raise NotFound(f"{error}{hint(address)}") from error
    except (NotAFile, TooLarge) as error:
        too_large = "too_large" if limits.max_bytes >= MAX_BYTES else "over_limit"
        reason, advice = (too_large, SHRINK) if isinstance(error, TooLarge) else ("not_an_image", REPLACE)
        raise BadImage(address, reason, f"{str(error).removeprefix(f'{address}: ')}. {advice}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{address}: too little memory to read and decode it") from error
    return Input(sha256, decoded.picture, decoded.notes, decoded.alpha, decoded.origin, version_id)


read_style = functools.lru_cache(maxsize=STYLES_KEPT)(read_input)
"""Reads and decodes a style image, once for all pairs that use it."""

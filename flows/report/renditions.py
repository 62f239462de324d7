"""Decide where the small images of a page are stored, and how large they are so that the page stays easy to send."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows import storage
from flows.limits import limits_in_force
from flows.records import layout
from flows.report.gather import Pair
from flows.report.thumbnails import Shown, Thumbnail, Wanted, small_pictures

STYLE_PX = 224
"""Long edge of the small style images in pixels."""
FILE_PX = 384
"""Long edge in pixels of small images that are separate files, which a browser loads only when they are visible."""
_NAME = re.compile(r"([0-9a-f]{32}-\d+)-(\d+)x(\d+)\.webp")


@dataclass(frozen=True)
class Pictures:
    """The small images of a page, and which of them belong to a row.

    Attributes:
        shown: maps a key to a small image, or the reason why there is none.
        content, style: map the address of an original to a key.
        pastiche: maps the output prefix and a pair's `output` to a key.
    """

    shown: Mapping[str, Shown]
    content: Mapping[str, str]
    style: Mapping[str, str]
    pastiche: Mapping[tuple[str, str], str]


def content_px(number: int) -> int:
    """Return the long edge in pixels of a number of content images.

    The slider shows these copies, so they are as large as the size of the page allows.
    """
    return _step(number, ((60, 800), (240, 512), (600, 320), (1500, 240)), 160)


def pastiche_px(number: int) -> int:
    """Return the long edge in pixels of a number of pastiches.

    The slider links to the full file and shows these copies only if it cannot be loaded.
    """
    return _step(number, ((60, 512), (600, 288), (1500, 208)), 144)


def _step(number: int, steps: Sequence[tuple[int, int]], last: int) -> int:
    """Return the edge of the first step, (most images, edge), whose limit the number does not exceed; else `last`."""
    return next((edge for most, edge in steps if number <= most), last)


def pictures_of(pairs: Iterable[tuple[str, Pair]], thumbs_folder: str | None) -> Pictures:
    """Make the small images of pairs.

    Args:
        pairs: the pairs of one or more runs, each with its output prefix; an image of several pairs is read once.
        thumbs_folder: the output prefix below which the images are written as files; None embeds them in the page.
    """
    pairs = list(pairs)
    content = _hashes((pair.content, pair.values["content_sha256"]) for _, pair in pairs)
    style = _hashes((pair.style, pair.values["style_sha256"]) for _, pair in pairs)
    pastiches = {(output, pair.output): pair for output, pair in pairs if pair.output is not None}
    edges = content_px(len(content)), STYLE_PX, pastiche_px(len(pastiches))
    if thumbs_folder is not None:
        edges = FILE_PX, STYLE_PX, FILE_PX
    wanted = {f"c{n}": Wanted(address, edges[0], content[address]) for n, address in enumerate(content)}
    wanted |= {f"s{n}": Wanted(address, edges[1], style[address]) for n, address in enumerate(style)}
    wanted |= {
        f"p{n}": Wanted(storage.join(*place), edges[2], str(pair.values["output_sha256"]), is_pastiche=True)
        for n, (place, pair) in enumerate(pastiches.items())
    }
    return Pictures(
        _embedded(wanted) if thumbs_folder is None else _as_files(wanted, thumbs_folder),
        {address: f"c{n}" for n, address in enumerate(content)},
        {address: f"s{n}" for n, address in enumerate(style)},
        {place: f"p{n}" for n, place in enumerate(pastiches)},
    )


def _hashes(files: Iterable[tuple[str | None, str | None]]) -> dict[str, str]:
    """Map an address to the sha256 of the file in the records; empty if no pair with it has finished."""
    hashes: dict[str, str] = {}
    for address, sha256 in files:
        if address is not None:
            hashes[address] = hashes.get(address) or sha256 or ""
    return hashes


def _embedded(wanted: Mapping[str, Wanted]) -> dict[str, Shown]:
    return small_pictures(wanted, lambda _, thumbnail: thumbnail.as_uri(), limits_in_force())


def _as_files(wanted: Mapping[str, Wanted], output: str) -> dict[str, Shown]:
    """Write small images as files named by the hash of their source, so that the next page makes only new ones."""
    folder = storage.join(output, layout.THUMBNAILS)
    existing = {found[1]: found for found in map(_NAME.fullmatch, storage.names(folder)) if found}
    ready = {key: found for key, file in wanted.items() if file.sha256 and (found := existing.get(_name_prefix(file)))}

    def keep(key: str, thumbnail: Thumbnail) -> str:
        own_hash = hashlib.sha256(thumbnail.data).hexdigest()[:32]
        prefix = _name_prefix(wanted[key]) if wanted[key].sha256 else f"{own_hash}-0"
        name = f"{prefix}-{thumbnail.width}x{thumbnail.height}.webp"
        if prefix not in existing:
            storage.replace(storage.join(folder, name), thumbnail.data)
        return f"{layout.THUMBNAILS}/{name}"

    shown = small_pictures({key: file for key, file in wanted.items() if key not in ready}, keep, limits_in_force())
    shown |= {
        key: Shown(f"{layout.THUMBNAILS}/{found[0]}", int(found[2]), int(found[3])) for key, found in ready.items()
    }
    return {key: shown[key] for key in wanted}


def _name_prefix(wanted: Wanted) -> str:
    return f"{wanted.sha256[:32]}-{wanted.edge_px}"

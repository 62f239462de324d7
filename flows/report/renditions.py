"""Where a page keeps its small pictures, and how large they may be so that the page stays easy to send."""

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
BESIDE_PX = 384
"""Long edge of small pictures that are files of their own: they are loaded when they are seen."""
_NAME = re.compile(r"([0-9a-f]{32}-\d+)-(\d+)x(\d+)\.webp")


@dataclass(frozen=True)
class Pictures:
    """The small pictures of a page, and which of them belong to a row.

    Attributes:
        shown: key -> small picture, or why there is none.
        content, style: address of an original -> key.
        pastiche: (output prefix, `output` of a pair) -> key.
    """

    shown: Mapping[str, Shown]
    content: Mapping[str, str]
    style: Mapping[str, str]
    pastiche: Mapping[tuple[str, str], str]


def content_px(number: int) -> int:
    """Long edge of so many content pictures: the slider shows this copy, so it is as large as a page can bear."""
    return _step(number, ((60, 800), (240, 512), (600, 320), (1500, 240)), 160)


def pastiche_px(number: int) -> int:
    """Long edge of so many pastiches; the slider links the file itself, and falls back on this copy."""
    return _step(number, ((60, 512), (600, 288), (1500, 208)), 144)


def _step(number: int, steps: Sequence[tuple[int, int]], last: int) -> int:
    """The edge of the first step that so many pictures are within."""
    return next((edge for most, edge in steps if number <= most), last)


def pictures_of(pairs: Iterable[tuple[str, Pair]], thumbs_folder: str | None) -> Pictures:
    """The small pictures of some pairs, each with the output prefix it is from.

    Args:
        pairs: of one run or several; a picture that several pairs show is made once.
        thumbs_folder: an output prefix below which they are written; None puts them into the page.
    """
    pairs = list(pairs)
    content = _hashes((pair.content, pair.values["content_sha256"]) for _, pair in pairs)
    style = _hashes((pair.style, pair.values["style_sha256"]) for _, pair in pairs)
    made = {(output, pair.output): pair for output, pair in pairs if pair.output is not None}
    edges = content_px(len(content)), STYLE_PX, pastiche_px(len(made))
    if thumbs_folder is not None:
        edges = BESIDE_PX, STYLE_PX, BESIDE_PX
    wanted = {f"c{n}": Wanted(address, edges[0], content[address]) for n, address in enumerate(content)}
    wanted |= {f"s{n}": Wanted(address, edges[1], style[address]) for n, address in enumerate(style)}
    wanted |= {
        f"p{n}": Wanted(storage.join(*place), edges[2], str(pair.values["output_sha256"]), is_pastiche=True)
        for n, (place, pair) in enumerate(made.items())
    }
    return Pictures(
        _embedded(wanted) if thumbs_folder is None else _beside(wanted, thumbs_folder),
        {address: f"c{n}" for n, address in enumerate(content)},
        {address: f"s{n}" for n, address in enumerate(style)},
        {place: f"p{n}" for n, place in enumerate(made)},
    )


def _hashes(files: Iterable[tuple[str | None, str | None]]) -> dict[str, str]:
    """Address -> the file's sha256 as a record has it; empty where no pair with it was finished."""
    found: dict[str, str] = {}
    for address, sha256 in files:
        if address is not None:
            found[address] = found.get(address) or sha256 or ""
    return found


def _embedded(wanted: Mapping[str, Wanted]) -> dict[str, Shown]:
    return small_pictures(wanted, lambda _, thumbnail: thumbnail.as_uri(), limits_in_force())


def _beside(wanted: Mapping[str, Wanted], output: str) -> dict[str, Shown]:
    """Small pictures as files, named by what they were made from, so that the next page makes only the new ones."""
    folder = storage.join(output, layout.THUMBNAILS)
    there = {found[1]: found for found in map(_NAME.fullmatch, storage.names(folder)) if found}
    ready = {key: found for key, one in wanted.items() if one.sha256 and (found := there.get(_start(one)))}

    def keep(key: str, thumbnail: Thumbnail) -> str:
        start = _start(wanted[key]) if wanted[key].sha256 else f"{hashlib.sha256(thumbnail.data).hexdigest()[:32]}-0"
        name = f"{start}-{thumbnail.width}x{thumbnail.height}.webp"
        if start not in there:
            storage.replace(storage.join(folder, name), thumbnail.data)
        return f"{layout.THUMBNAILS}/{name}"

    made = small_pictures({key: one for key, one in wanted.items() if key not in ready}, keep, limits_in_force())
    made |= {
        key: Shown(f"{layout.THUMBNAILS}/{found[0]}", int(found[2]), int(found[3])) for key, found in ready.items()
    }
    return {key: made[key] for key in wanted}


def _start(wanted: Wanted) -> str:
    return f"{wanted.sha256[:32]}-{wanted.edge_px}"

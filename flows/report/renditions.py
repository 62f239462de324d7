"""Where a page keeps its small pictures, and how large they may be so that the page stays easy to send."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flows import storage
from flows.limits import Limits, limits_in_force
from flows.report.gather import Pair
from flows.report.thumbnails import Shown, Thumbnail, Wanted, small_pictures

STYLE_PX = 224
FOLDER = ("_nst", "thumbs")


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
    return 800 if number <= 60 else 512 if number <= 240 else 320


def pastiche_px(number: int) -> int:
    """Long edge of so many pastiches; the slider links the file itself, and falls back on this copy."""
    return 512 if number <= 60 else 288 if number <= 600 else 224


def pictures_of(pairs: Iterable[tuple[str, Pair]], thumbs_folder: str | None) -> Pictures:
    """The small pictures of some pairs, each with the output prefix it is from.

    Args:
        pairs: of one run or several; a picture that several pairs show is made once.
        thumbs_folder: an output prefix below which they are written; None puts them into the page.
    """
    pairs = list(pairs)
    content = _keys("c", (pair.content for _, pair in pairs))
    style = _keys("s", (pair.style for _, pair in pairs))
    made = [(output, pair.output) for output, pair in pairs if pair.output is not None]
    pastiche = {place: f"p{number}" for number, place in enumerate(dict.fromkeys(made))}
    wanted = {key: Wanted(address, content_px(len(content))) for address, key in content.items()}
    wanted |= {key: Wanted(address, STYLE_PX) for address, key in style.items()}
    edge = pastiche_px(len(pastiche))
    wanted |= {key: Wanted(storage.join(*place), edge) for place, key in pastiche.items()}
    limits = limits_in_force()
    shown = small_pictures(wanted, _embedded, limits) if thumbs_folder is None else _in_folder(wanted, thumbs_folder)
    return Pictures(shown, content, style, pastiche)


def _keys(letter: str, addresses: Iterable[str | None]) -> dict[str, str]:
    distinct = dict.fromkeys(address for address in addresses if address is not None)
    return {address: f"{letter}{number}" for number, address in enumerate(distinct)}


def _embedded(_key: str, thumbnail: Thumbnail) -> str:
    return thumbnail.as_uri()


def _in_folder(wanted: Mapping[str, Wanted], output: str) -> dict[str, Shown]:
    """Small pictures as files, named by what is in them: the next page finds those that have not changed."""
    folder = storage.join(output, *FOLDER)
    there = set(storage.names(folder))

    def keep(_key: str, thumbnail: Thumbnail) -> str:
        name = f"{hashlib.sha256(thumbnail.data).hexdigest()[:32]}.webp"
        if name not in there:
            storage.replace(storage.join(folder, name), thumbnail.data)
        return "/".join((*FOLDER, name))

    limits: Limits = limits_in_force()
    return small_pictures(wanted, keep, limits)

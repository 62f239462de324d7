"""A template over a row's columns -> the name of its picture below a destination, or why there can be none.

`{style}/{content}` is a folder per style. Of a column of pictures the file's name without folder and ending is taken,
of any other the value; a `/` in it makes a folder, and numbers take a format: `{row:04d}`. A dataset has to be the same
on every file system and in every reader, so what one of them cannot have in a name becomes `_`.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flows import storage
from flows.export.pictures import Picture, Unfinished
from flows.output.selection import column_named
from flows.records.pairs import OTHER_PICTURES
from flows.spreadsheets import as_plain_text
from flows.wording import is_seen, shown
from nst_core.errors import OptionsError

PICTURES = ("content", "style", *OTHER_PICTURES)
ENDINGS = {".png": ".png", ".jpg": ".jpg", ".jpeg": ".jpg", ".webp": ".webp", ".tif": ".tif", ".tiff": ".tif"}
"""Endings that a template may write -> that of the files which it is true of."""
NAMED = 3
"""Problems that one message names: what is wrong with a template is wrong with many rows."""
MOST_BYTES, MOST_BYTES_OF_A_PART = 900, 240
"""Of a name, and between two `/`: file systems take 255, S3 1,024 together with its prefix."""

_FORMAT = re.compile(r"[<>=^+ ]?0?\d{0,2},?(\.\d{1,2})?[dfeg]?")
_NOT_EVERYWHERE = re.compile(r'[\\:*?"<>|#%]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for itself."""


@dataclass(frozen=True)
class Template:
    """A parsed template: texts, each with the column that follows it and how its value is formatted.

    Attributes:
        text: as it was given.
        parts: (text, column or None, format).
        ending: that the template itself writes; empty if it leaves that to the files.
    """

    text: str
    parts: tuple[tuple[str, str | None, str], ...]
    ending: str = ""

    def filled(self, row: Mapping[str, Any]) -> str:
        """The template with a row's values, its ending left out.

        Raises:
            ValueError: a value cannot be formatted so.
        """
        texts = [text + (_value(row, column, wanted) if column else "") for text, column, wanted in self.parts]
        return "".join(texts).removesuffix(self.ending)


def template(text: str, columns: Sequence[str]) -> Template:
    """A template over these columns.

    Raises:
        OptionsError: it has an unknown column, with the one that was meant, or is no template at all.
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise OptionsError(f"--name {text!a}: {error}; write columns as {{style}}, a brace itself twice") from error
    parts = tuple((literal, _column(text, name, columns), wanted or "") for literal, name, wanted, _ in parsed)
    for (_, column, wanted), (*_, conversion) in zip(parts, parsed, strict=True):
        if conversion or not _FORMAT.fullmatch(wanted):
            raise OptionsError(f"--name {text!a}: column {column!a}: expected a format like :04d or :.3f")
    if not any(column for _, column, _ in parts):
        raise OptionsError(f"--name {text!a}: expected a column in braces, such as {{pair_id}}, found none")
    last, column, _ = parts[-1]
    found = re.search(r"\.[A-Za-z]+$", last) if column is None else None
    return Template(text, parts, found[0] if found and found[0].lower() in ENDINGS else "")


def names_of(pictures: Sequence[Picture], by: Template, *, in_folders: bool, has_dots: bool) -> dict[str, Picture]:
    """Name below the destination -> picture.

    Args:
        pictures: of one run.
        by: which their names are made.
        in_folders: whether the folders of the contents come before them.
        has_dots: whether a file's name may have dots before its ending: to WebDataset the ending starts at the first.

    Raises:
        OptionsError: names that are alike, lead out of the destination or are no names, each with its row.
    """
    found: dict[str, Picture] = {}
    taken: dict[str, Picture] = {}
    problems: list[str] = []
    for picture in pictures:
        try:
            name = _name_of(picture.row, picture.folder, picture.ending, by, in_folders, has_dots)
        except ValueError as error:
            problems.append(f"{picture.said}: {error}")
            continue
        first = taken.setdefault(folded(name), picture)
        if first is not picture:
            problems.append(
                f"{first.said} and {picture.said} would both be {shown(name)}, so add a column, such as {{pair_id}}"
            )
        found[name] = picture
    problems += _under_a_file(found)
    if problems:
        left = f"; and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
        raise OptionsError(f"--name {by.text!a}: nothing was written. {'; '.join(problems[:NAMED])}{left}")
    return found


def stems_of(rows: Iterable[Unfinished], by: Template, *, in_folders: bool, has_dots: bool) -> frozenset[str]:
    """What the pictures of some rows would be called, folded and without their ending, which a run may change.

    A template over what only a run tells, such as `{device}`, has no such name.
    """
    ending = ENDINGS.get(by.ending.lower(), ".png")
    found = set()
    for one in rows:
        with suppress(ValueError):
            found.add(stem(_name_of(one.row, one.folder, ending, by, in_folders, has_dots)))
    return frozenset(found)


def stem(name: str) -> str:
    """A picture's name, folded and without its ending.

    >>> stem("waves/Dog.v2.png")
    'waves/dog.v2'
    """
    return folded(name).rpartition(".")[0]


def folded(name: str) -> str:
    """What names have in common that are one name where letters of both cases, or two ways to write accents, are alike.

    >>> folded("Cat.png") == folded("cat.png")
    True
    """
    return unicodedata.normalize("NFC", name.casefold())


def _under_a_file(found: Mapping[str, Picture]) -> list[str]:
    """Names that would need a folder of the name of a file."""
    folders = {name: name.split("/")[:-1] for name in found}
    above = {name: ["/".join(parts[: end + 1]) for end in range(len(parts))] for name, parts in folders.items()}
    return [
        f"{found[folder].said} would be the file, and {found[name].said} lie in the folder {shown(folder)}"
        for name, parents in above.items()
        for folder in parents
        if folder in found
    ]


def _column(text: str, name: str | None, columns: Sequence[str]) -> str | None:
    if name is None:
        return None
    try:
        return column_named(name, columns)
    except OptionsError as error:
        raise OptionsError(f"--name {text!a}: {error}") from error


def _value(row: Mapping[str, Any], column: str, wanted: str) -> str:
    value = row[column]
    if value is None:
        return ""
    if column in PICTURES:
        name = storage.name_of(str(value).replace("\\", "/"))
        return name.rpartition(".")[0] or name
    try:
        return format(value, wanted)
    except ValueError as error:
        raise ValueError(f"column {column!a}: a number has the format {wanted!r}, found {shown(value)}") from error


def _name_of(
    row: Mapping[str, Any],
    folder: str,
    ending: str,
    by: Template,
    in_folders: bool,  # noqa: FBT001  # as those who call it were asked
    has_dots: bool,  # noqa: FBT001
) -> str:
    """The name of one row's picture, which has that ending.

    Raises:
        ValueError: why there can be none.
    """
    filled = by.filled(row)
    if by.ending and ENDINGS[by.ending.lower()] != ending:
        raise ValueError(f"is a {ending} file, the template says {by.ending}: leave the ending out")
    parts = filled.split("/")
    if not {"", ".", ".."}.isdisjoint(part.strip() for part in parts):
        raise ValueError(f"{shown(filled)} leads out of the destination, or has a part without a name")
    above = folder.split("/") if in_folders and folder else []
    *folders, last = map(_everywhere, (*above, *parts))
    name = "/".join((*folders, (last if has_dots else last.replace(".", "_")) + ending))
    if as_plain_text(name) != name:
        name = f"_{name[1:]}"  # a spreadsheet would run it, and a shell take it for an option
    longest = max(len(part.encode()) for part in name.split("/"))
    if longest > MOST_BYTES_OF_A_PART or len(name.encode()) > MOST_BYTES:
        raise ValueError(f"expected a name of at most {MOST_BYTES_OF_A_PART} bytes, found {shown(name)}")
    return name


def _everywhere(part: str) -> str:
    """A folder's or a file's name that every file system can have, and no reader takes for hidden."""
    seen = "".join(letter if is_seen(letter) else "_" for letter in _NOT_EVERYWHERE.sub("_", part))
    plain = re.sub(r"^(\.|__| )|[. ]$", "_", seen)
    return f"_{plain}" if _DEVICE.fullmatch(plain) else plain

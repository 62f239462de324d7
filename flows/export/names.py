"""Renders the template of a name with the columns of a row: the name of its image below the destination.

`{style}/{content}` makes a folder per style. A column of images gives the file's name without its folder and extension,
any other column its value; a `/` in a value makes a folder, and numbers take a format: `{row:04d}`. A dataset has to be
the same on every file system and in every reader, so a character that one of them does not allow becomes `_`.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flows import storage
from flows.export.layouts import LayoutSpec
from flows.export.pictures import Picture, Unfinished
from flows.output.selection import find_column
from flows.records.pairs import OTHER_PICTURES
from flows.spreadsheets import as_plain_text
from flows.wording import is_visible, quoted
from nst_core.errors import OptionsError
from nst_core.options.file_formats import FILE_FORMATS

PICTURES = ("content", "style", *OTHER_PICTURES)
ENDINGS = {f".{ending}": f".{kind.ending}" for kind in FILE_FORMATS.values() for ending in kind.endings}
"""Extension that a template may end with -> the extension that the files need to have then."""
NAMED = 3
"""How many problems one message names: an error in a template occurs in many rows."""
MOST_BYTES, MOST_BYTES_OF_A_PART = 900, 240
"""Longest name, and longest part between two `/`: file systems allow 255 bytes, S3 1,024 together with the prefix."""

_FORMAT = re.compile(r"[<>=^+ ]?0?\d{0,2},?(\.\d{1,2})?[dfeg]?")
_NOT_PORTABLE = re.compile(r'[\\:*?"<>|#%]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


@dataclass(frozen=True)
class Template:
    """A parsed template of an image's name.

    Attributes:
        text: the template as the user wrote it.
        parts: (literal text, column that follows it or None, format of the column's value).
        ending: the extension that the template ends with; empty if it leaves the extension to the files.
    """

    text: str
    parts: tuple[tuple[str, str | None, str], ...]
    ending: str = ""

    def filled(self, row: Mapping[str, Any]) -> str:
        """Return the template with a row's values filled in, without its extension.

        Raises:
            ValueError: if a value does not suit its format.
        """
        texts = [text + (_value(row, column, spec) if column else "") for text, column, spec in self.parts]
        return "".join(texts).removesuffix(self.ending)


def parse_template(text: str, columns: Sequence[str]) -> Template:
    """Parse a template.

    Args:
        text: the template as the user wrote it.
        columns: the columns that it may use.

    Raises:
        OptionsError: if it cannot be parsed or has no column, or if a column is unknown; the message then suggests a
            similar one.
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise OptionsError(f"--name {text!a}: {error}; write columns as {{style}}, a brace itself twice") from error
    parts = tuple((literal, _column(text, name, columns), spec or "") for literal, name, spec, _ in parsed)
    for (_, column, spec), (*_, conversion) in zip(parts, parsed, strict=True):
        if conversion or not _FORMAT.fullmatch(spec):
            raise OptionsError(f"--name {text!a}: column {column!a}: expected a format like :04d or :.3f")
    if not any(column for _, column, _ in parts):
        raise OptionsError(f"--name {text!a}: expected a column in braces, such as {{pair_id}}, found none")
    last, column, _ = parts[-1]
    match = re.search(r"\.[A-Za-z]+$", last) if column is None else None
    return Template(text, parts, match[0] if match and match[0].lower() in ENDINGS else "")


def names_of(pictures: Sequence[Picture], template: Template, layout: LayoutSpec) -> dict[str, Picture]:
    """Return the images by their names below the destination.

    Args:
        pictures: the images of one run.
        template: the template of their names.
        layout: the layout of the dataset.

    Raises:
        OptionsError: if two names are the same, or a name leads out of the destination or is not possible; the message
            names the rows.
    """
    names: dict[str, Picture] = {}
    taken: dict[str, Picture] = {}
    problems: list[str] = []
    for picture in pictures:
        try:
            name = _name_of(picture, picture.ending, template, layout)
        except ValueError as error:
            problems.append(f"{picture.label}: {error}")
            continue
        first = taken.setdefault(folded(name), picture)
        if first is not picture:
            problems.append(
                f"{first.label} and {picture.label} would both be {quoted(name)}, so add a column, such as {{pair_id}}"
            )
        names[name] = picture
    problems += _files_that_are_folders(names)
    if problems:
        more = f"; and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
        raise OptionsError(f"--name {template.text!a}: nothing was written. {'; '.join(problems[:NAMED])}{more}")
    return names


def stems_of(rows: Iterable[Unfinished], template: Template, layout: LayoutSpec) -> frozenset[str]:
    """Return the names that the images of unfinished rows would have, as `stem` gives them.

    The extension is left out, because a run may change it. A row has no such name if the template uses a column that
    only a run fills in, such as `{device}`.
    """
    ending = ENDINGS.get(template.ending.lower(), ".png")
    stems = set()
    for unfinished in rows:
        with suppress(ValueError):
            stems.add(stem(_name_of(unfinished, ending, template, layout)))
    return frozenset(stems)


def stem(name: str) -> str:
    """Return an image's name folded, without its extension.

    >>> stem("waves/Dog.v2.png")
    'waves/dog.v2'
    """
    return folded(name).rpartition(".")[0]


def folded(name: str) -> str:
    """Fold the case of a name and normalise its accents: two names that a file system may confuse become equal.

    >>> folded("Cat.png") == folded("cat.png")
    True
    """
    return unicodedata.normalize("NFC", name.casefold())


def _files_that_are_folders(pictures: Mapping[str, Picture]) -> list[str]:
    """Return a message for each name that would be a file, and also a folder of another image."""
    parts_of = {name: name.split("/")[:-1] for name in pictures}
    folders_of = {name: ["/".join(parts[: end + 1]) for end in range(len(parts))] for name, parts in parts_of.items()}
    return [
        f"{pictures[folder].label} would be the file, and {pictures[name].label} lie in the folder {quoted(folder)}"
        for name, folders in folders_of.items()
        for folder in folders
        if folder in pictures
    ]


def _column(text: str, name: str | None, columns: Sequence[str]) -> str | None:
    if name is None:
        return None
    try:
        return find_column(name, columns)
    except OptionsError as error:
        raise OptionsError(f"--name {text!a}: {error}") from error


def _value(row: Mapping[str, Any], column: str, spec: str) -> str:
    """Return a row's value as it appears in a name, formatted by a format spec."""
    value = row[column]
    if value is None:
        return ""
    if column in PICTURES:
        return storage.stem_of(str(value).replace("\\", "/"))
    try:
        return format(value, spec)
    except ValueError as error:
        raise ValueError(f"column {column!a}: a number has the format {spec!r}, found {quoted(value)}") from error


def _name_of(picture: Picture | Unfinished, ending: str, template: Template, layout: LayoutSpec) -> str:
    """Return the name of an image, which ends with `ending`.

    Raises:
        ValueError: if the name is not possible; the message says why.
    """
    filled = template.filled(picture.row)
    if template.ending and ENDINGS[template.ending.lower()] != ending:
        raise ValueError(f"is a {ending} file, the template says {template.ending}: leave the ending out")
    parts = filled.split("/")
    if not {"", ".", ".."}.isdisjoint(part.strip() for part in parts):
        raise ValueError(f"{quoted(filled)} leads out of the destination, or has a part without a name")
    content_folders = picture.folder.split("/") if layout.in_folders and picture.folder else []
    *folders, last = map(_portable, (*content_folders, *parts))
    if layout.in_shards:  # WebDataset takes all from the first dot for the extension
        last = last.replace(".", "_")
    name = "/".join((*folders, last + ending))
    if as_plain_text(name) != name:
        name = name.replace(";", "_")  # a spreadsheet would take what follows one of them for a formula
    if as_plain_text(name) != name:
        name = f"_{name[1:]}"  # a spreadsheet would take it for a formula, and a shell for an option
    longest = max(len(part.encode()) for part in name.split("/"))
    if longest > MOST_BYTES_OF_A_PART or len(name.encode()) > MOST_BYTES:
        raise ValueError(f"expected a name of at most {MOST_BYTES_OF_A_PART} bytes, found {quoted(name)}")
    return name


def _portable(part: str) -> str:
    """Return the name of a file or folder with `_` for all that some file system refuses or some reader hides."""
    visible = "".join(letter if is_visible(letter) else "_" for letter in _NOT_PORTABLE.sub("_", part))
    plain = re.sub(r"^(\.|__| )|[. ]$", "_", visible)
    return f"_{plain}" if _DEVICE.fullmatch(plain) else plain

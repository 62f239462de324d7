"""Pair contents and styles and write the pairs as the rows of a manifest.

Pairs are generated one at a time, so that millions of rows take no memory. Does no I/O of its own.
"""

import codecs
import hashlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from flows.manifest.columns import FIELDS, OPTIONS
from flows.manifest.image_columns import check_settings
from flows.manifest.listing import ListedImage
from flows.spreadsheets import csv_writer
from nst_core.errors import OptionsError

FOLDER = "folder"
"""The column with the content's folder, relative to the start of the search for contents."""
MOST_KEY_CHARS = 48
"""The most characters of an image's part of an id: two such parts and their separator fit an id's 100 characters."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_PLAIN = re.compile(rf"(?!.*(?:--|__))({_NAME}(?:/{_NAME})*)(\.[A-Za-z0-9]+)")
"""A path whose key is unique without a digest."""


class PairingMethod(StrEnum):
    """How contents and styles are paired."""

    PRODUCT = "product"
    ZIP = "zip"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to pair.

    Attributes:
        key: its part of the ids of the rows.
        cell: the manifest cell that names it.
        folder: its folder relative to the start of the search.
    """

    key: str
    cell: str
    folder: str


@dataclass(frozen=True)
class Pairing:
    """Which pairs are made.

    Attributes:
        how: every content with every style, the first with the first and so on, or each content with random styles.
        per_content: the number of random styles of each content.
        seed: the seed of the random choice.
    """

    how: PairingMethod = PairingMethod.PRODUCT
    per_content: int | None = None
    seed: int | None = None

    def check(self, contents: int, styles: int) -> None:
        """Refuse numbers of contents and styles that cannot be paired in this way.

        Raises:
            OptionsError: they cannot be paired; the message says what was expected and what was found.
        """
        is_sample = self.how is PairingMethod.SAMPLE
        if is_sample and (self.per_content is None or not 1 <= self.per_content <= styles):
            got = "none" if self.per_content is None else f"{self.per_content:,}"
            raise OptionsError(f"--per-content: expected 1 to {styles:,}, the number of styles, got {got}")
        if not is_sample and (self.per_content is not None or self.seed is not None):
            raise OptionsError(f"--per-content and --seed go with --how sample, got --how {self.how}")
        if self.how is PairingMethod.ZIP and contents != styles:
            raise OptionsError(f"--how zip: expected as many styles as contents, found {contents:,} and {styles:,}")

    def count(self, contents: int, styles: int) -> int:
        """Return the number of pairs."""
        return {
            PairingMethod.PRODUCT: contents * styles,
            PairingMethod.ZIP: contents,
            PairingMethod.SAMPLE: contents * (self.per_content or 0),
        }[self.how]

    def pairs(self, contents: Sequence[Picture], styles: Sequence[Picture]) -> Iterator[tuple[Picture, Picture]]:
        """Yield the pairs in the order of the contents, and for each content in the order of the styles."""
        if self.how is PairingMethod.ZIP:
            return zip(contents, styles, strict=True)
        if self.how is PairingMethod.PRODUCT:
            return itertools.product(contents, styles)
        return ((content, style) for content in contents for style in self._drawn(content, styles))

    def _drawn(self, content: Picture, styles: Sequence[Picture]) -> Iterator[Picture]:
        """Yield the random styles of one content, which do not depend on the other contents."""
        draw = random.Random(f"{self.seed or 0} {content.key}")
        return (styles[index] for index in sorted(draw.sample(range(len(styles)), self.per_content or 0)))


def keyed(found: Iterable[ListedImage]) -> list[Picture]:
    """Give each image a unique key, made from its path and independent of the other images.

    The one exception are paths that differ only in case, which get longer keys if they are listed together.

    >>> [
    ...     picture.key
    ...     for picture in keyed([ListedImage("a/cat.jpg", ""), ListedImage("dog.png", ""), ListedImage("é.jpg", "")])
    ... ]
    ['a__cat', 'dog.png', 'image.b83fca42']
    """
    found = list(found)
    keys = [_key(image.path) for image in found]
    counts = Counter(map(str.casefold, keys))
    return [
        Picture(
            key if counts[key.casefold()] == 1 else _with_digest(image.path, 16),
            image.cell,
            image.path.rpartition("/")[0],
        )
        for image, key in zip(found, keys, strict=True)
    ]


def parsed_settings(texts: Sequence[str]) -> dict[str, str]:
    """Parse the values of `--set NAME=VALUE`; return the cell that every row has for an option.

    Raises:
        OptionsError: a text has another form, names an unknown option or one twice, or has an invalid value.
    """
    settings: dict[str, str] = {}
    for text in texts:
        title, sign, value = text.partition("=")
        name = FIELDS.get(title.strip().replace("-", "_"))
        value = " ".join(value.split())
        if not sign or not value:
            raise OptionsError(f"--set {text}: expected NAME=VALUE, such as size_px=512")
        if name not in OPTIONS:
            raise OptionsError(f"--set {text}: there is no option {title.strip()!r}; `nst run --help` lists them all")
        if name in settings:
            raise OptionsError(f"--set {text}: {name} is there twice")
        settings[name] = value
    check_settings(settings, "--set ")
    return settings


def write_rows(stream: IO[bytes], pairs: Iterable[tuple[Picture, Picture]], settings: Mapping[str, str]) -> int:
    """Write a manifest as its pairs are generated, and return the number of its rows."""
    writer = csv_writer(codecs.getwriter("utf-8")(stream))
    writer.writerow(["id", "content", "style", FOLDER, *settings])
    rows = 0
    for content, style in pairs:
        # No key contains '--' or starts or ends with '-', so no two pairs have the same id.
        writer.writerow([f"{content.key}--{style.key}", content.cell, style.cell, content.folder, *settings.values()])
        rows += 1
    return rows


def _key(path: str) -> str:
    """Return the key of a path: without `.jpg`, with `__` for each slash, and with a digest if that were ambiguous."""
    if plain := _PLAIN.fullmatch(path):
        ending = "" if plain[2].lower() == ".jpg" else plain[2]
        key = plain[1].replace("/", "__") + ending
        if len(key) <= MOST_KEY_CHARS:
            return key
    return _with_digest(path, 8)


def _with_digest(path: str, digits: int) -> str:
    """Return the characters of a path that are allowed in an id, with a digest of the whole path."""
    digest = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:digits]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.rpartition(".")[0]).strip("-")
    return f"{stem[: MOST_KEY_CHARS - digits - 1].strip('-') or 'image'}.{digest}"

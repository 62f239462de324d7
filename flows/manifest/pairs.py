"""Contents and styles -> the rows of a manifest that pairs them, one by one: millions take no memory. No I/O."""

import codecs
import csv
import hashlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from pydantic import ValidationError

from flows.manifest.columns import FIELDS, OPTIONS
from flows.manifest.image_columns import check_alone
from flows.manifest.listing import Found
from flows.wording import option_errors
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

FOLDER = "folder"
"""Column of the content's folder, as seen from where the contents were looked for."""
MOST_KEY_CHARS = 48
"""Of a picture's part of an id: two of them and what stands between fit its 100 characters."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_PLAIN = re.compile(rf"(?!.*(?:--|__))({_NAME}(?:/{_NAME})*)(\.[A-Za-z0-9]+)")
"""A path that its key says in full."""


class How(StrEnum):
    """How contents and styles are paired."""

    PRODUCT = "product"
    ZIP = "zip"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with what the rows say of it; `key` is its part of their ids."""

    key: str
    cell: str
    folder: str


@dataclass(frozen=True)
class Pairing:
    """Which pairs are made: every content with every style, one by one, or each content with some random styles."""

    how: How = How.PRODUCT
    per_content: int | None = None
    seed: int | None = None

    def check(self, contents: int, styles: int) -> None:
        """Refuse what cannot be paired so.

        Raises:
            OptionsError: with what was expected, and what was found.
        """
        is_sample = self.how is How.SAMPLE
        if is_sample and (self.per_content is None or not 1 <= self.per_content <= styles):
            got = "none" if self.per_content is None else f"{self.per_content:,}"
            raise OptionsError(f"--per-content: expected 1 to {styles:,}, the number of styles, got {got}")
        if not is_sample and (self.per_content is not None or self.seed is not None):
            raise OptionsError(f"--per-content and --seed go with --how sample, got --how {self.how}")
        if self.how is How.ZIP and contents != styles:
            raise OptionsError(f"--how zip: expected as many styles as contents, found {contents:,} and {styles:,}")

    def count(self, contents: int, styles: int) -> int:
        """How many pairs that makes."""
        return {How.PRODUCT: contents * styles, How.ZIP: contents, How.SAMPLE: contents * (self.per_content or 0)}[
            self.how
        ]

    def pairs(self, contents: Sequence[Picture], styles: Sequence[Picture]) -> Iterator[tuple[Picture, Picture]]:
        """The pairs, in the order of the contents, and of the styles for each."""
        if self.how is How.ZIP:
            return zip(contents, styles, strict=True)
        if self.how is How.PRODUCT:
            return itertools.product(contents, styles)
        return ((content, style) for content in contents for style in self._drawn(content, styles))

    def _drawn(self, content: Picture, styles: Sequence[Picture]) -> Iterator[Picture]:
        """The styles of one content, which do not depend on the other contents."""
        draw = random.Random(f"{self.seed or 0} {content.key}")
        return (styles[index] for index in sorted(draw.sample(range(len(styles)), self.per_content or 0)))


def keyed(found: Iterable[Found]) -> list[Picture]:
    """The pictures with their keys: unique, made of their paths, and for each the same whatever the others are.

    Only paths that differ in nothing but the case of their letters change each other's keys.

    >>> [one.key for one in keyed([Found("a/cat.jpg", ""), Found("dog.png", ""), Found("é.jpg", "")])]
    ['a__cat', 'dog.png', 'image.b83fca42']
    """
    found = list(found)
    keys = [_key(one.path) for one in found]
    taken = Counter(map(str.casefold, keys))
    return [
        Picture(key if taken[key.casefold()] == 1 else _marked(one.path, 16), one.cell, one.path.rpartition("/")[0])
        for one, key in zip(found, keys, strict=True)
    ]


def parsed_settings(texts: Sequence[str]) -> dict[str, str]:
    """What `--set NAME=VALUE` says: option -> the cell of every row.

    Raises:
        OptionsError: naming the text that is no such thing, an option that there is not, or a value that it refuses.
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
    try:
        check_alone(StylizeOptions.model_validate(settings))
    except ValidationError as error:
        name, reason = option_errors(error)[0]
        raise OptionsError(f"--set {f'{name}: ' if name else ''}{reason}") from error
    except OptionsError as error:
        raise OptionsError(f"--set {error}") from error
    return settings


def write_rows(stream: IO[bytes], pairs: Iterable[tuple[Picture, Picture]], settings: Mapping[str, str]) -> int:
    """Write a manifest as it is made; how many rows it has."""
    writer = csv.writer(codecs.getwriter("utf-8")(stream), lineterminator="\n")
    writer.writerow(["id", "content", "style", FOLDER, *settings])
    rows = 0
    for content, style in pairs:
        # No key has '--' in it or a '-' at an end, so that no two pairs have one id.
        writer.writerow([f"{content.key}--{style.key}", content.cell, style.cell, content.folder, *settings.values()])
        rows += 1
    return rows


def _key(path: str) -> str:
    """A path as a part of an id, without `.jpg` and with `__` for each slash; where that does not say all, marked."""
    if plain := _PLAIN.fullmatch(path):
        ending = "" if plain[2].lower() == ".jpg" else plain[2]
        key = plain[1].replace("/", "__") + ending
        if len(key) <= MOST_KEY_CHARS:
            return key
    return _marked(path, 8)


def _marked(path: str, digits: int) -> str:
    """What of a path can stand in an id, with a digest of all of it."""
    digest = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:digits]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.rpartition(".")[0]).strip("-")
    return f"{stem[: MOST_KEY_CHARS - digits - 1].strip('-') or 'image'}.{digest}"

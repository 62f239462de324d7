"""Turn the rows of a manifest, one after the other, into pairs, or into everything that is wrong with their cells."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flows.manifest.columns import CONTROL_CHARACTER, OPTIONS, Column
from flows.manifest.image_columns import picture_errors
from flows.manifest.table import TableRow
from flows.records.digests import short_digest
from flows.records.pairs import OTHER_PICTURES, CellError, PairSpec, RejectedRow
from flows.storage.addresses import normal, resolved_address
from flows.wording import option_errors, quoted, shortened
from nst_core.options import StylizeOptions

MAX_CELL_CHARS = 4096
ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ID_RULE = "expected 1 to 100 of the characters A-Z a-z 0-9 . _ -, a letter or digit first and no dot last"
MOST_EXTRAS_NAMED = 10
"""Bad extra cells of a row that get an error each; the rest are counted."""
_STEM_CHARS = 43
"""Characters of each image's name in a generated id: two names, two dashes and 12 digits fit 100 characters."""


@dataclass(frozen=True)
class _RowOptions:
    """The options of a row.

    Attributes:
        options: the resolved options.
        given: the options that the row itself sets.
        errors: what is wrong with the row's option cells. If there are any, `options` has no own option of the row but
            `style_blend`, which the images of the row are checked with.
    """

    options: StylizeOptions
    given: dict[str, Any]
    errors: tuple[CellError, ...] = ()


class RowReader:
    """Reads rows one after the other, and remembers the ids in use and the options that many rows share."""

    def __init__(
        self,
        columns: Sequence[Column],
        defaults: StylizeOptions,
        base: str,
        overrides: Mapping[str, Any],
        *,
        recorded: bool = False,
    ) -> None:
        self._recorded = recorded
        self._columns, self._defaults, self._base, self._overrides = columns, defaults, base, overrides
        self._fields = [(column.title, column.field, index) for index, column in enumerate(columns) if column.field]
        self._extras = [(column.title, index) for index, column in enumerate(columns) if not column.field]
        self._ride_along = [(column.title, index) for index, column in enumerate(columns) if column.rides_along]
        self._titles = {column.field: column.title for column in columns if column.field}
        self._option_names = [name for name in self._titles if name in OPTIONS]
        self._other_pictures = [name for name in OTHER_PICTURES if name in self._titles]
        self._options: dict[tuple[str, ...], _RowOptions] = {}
        self._ids: dict[str, tuple[str, int]] = {}
        self._pairs: dict[str, int] = {}

    def read(self, row: TableRow) -> PairSpec | RejectedRow:
        """Return the row's pair, or the row as rejected, with everything that is wrong with it."""
        if row.problem:
            return self._rejected(row, [CellError(None, shortened(row.text), row.problem)])
        errors: list[CellError] = []  # every check below adds to it
        values = self._values(row, errors)
        content, style = self._address("content", values, errors), self._address("style", values, errors)
        # A cell that is not usable text, which has an error already, still counts as an image.
        others = {name: self._address(name, values, errors) for name in self._other_pictures if values.get(name) != ""}
        chosen = self._chosen_options(values)
        errors += chosen.errors
        errors += picture_errors(others, chosen.options, chosen.given)
        pair_id = values.get("id", "")
        if pair_id:
            errors += self._claim(pair_id, row.line)
        elif not errors:
            pair_id, duplicate = self._generated_id(
                values, {"content": content, "style": style, **others}, chosen, row.line
            )
            errors += duplicate
        if errors:
            return self._rejected(row, errors)
        cells_as_written = values["content"], values["style"]
        kept = {title: row.cells[index] for title, index in self._ride_along}
        return PairSpec(row.line, pair_id, content, style, chosen.options, kept, *cells_as_written, others)

    def _values(self, row: TableRow, errors: list[CellError]) -> dict[str, str]:
        """Return the texts of the columns that set a field; cells that are not usable text are left out."""
        values: dict[str, str] = {}
        for title, field, index in self._fields:
            text = row.cells[index].strip(" ")
            if problem := _text_problem(text, is_extra=False):
                errors.append(CellError(title, shortened(text), problem))
            else:
                values[field] = text
        extra = {title: row.cells[index] for title, index in self._extras}
        # Checked for all extra cells at once, as hardly any row of a large manifest has such a cell.
        if "\0" in "".join(extra.values()) or max(map(len, extra.values()), default=0) > MAX_CELL_CHARS:
            errors += _extra_errors(extra)
        return values

    def _rejected(self, row: TableRow, errors: Sequence[CellError]) -> RejectedRow:
        cells = {column.title: cell for column, cell in zip(self._columns, row.cells, strict=False)}
        return RejectedRow(row.line, tuple(errors), cells)

    def _address(self, field: str, values: dict[str, str], errors: list[CellError]) -> str:
        cell = values.get(field)
        if cell is None:
            return ""
        try:
            return resolved_address(cell, self._base)
        except ValueError as error:
            errors.append(CellError(self._titles[field], shortened(cell), str(error)))
            return ""

    def _chosen_options(self, values: Mapping[str, str]) -> _RowOptions:
        cells = tuple(values.get(name, "") for name in self._option_names)
        if cells not in self._options:
            self._options[cells] = self._parsed_options(cells)
        return self._options[cells]

    def _parsed_options(self, cells: tuple[str, ...]) -> _RowOptions:
        given = {name: cell for name, cell in zip(self._option_names, cells, strict=True) if cell}
        try:
            options = self._defaults.overridden(given, recorded=self._recorded)
            # The row's own options, without the overrides, are part of a generated id, which a retry must not change.
            own = options.model_dump(mode="json", include=set(given))
            return _RowOptions(options.overridden(self._overrides, recorded=self._recorded).resolved(), own)
        except ValidationError as error:
            errors = tuple(
                CellError(self._titles.get(name), shortened(given.get(name, "")), reason)
                for name, reason in option_errors(error)
            )
            return _RowOptions(self._blend_options(given), given, errors)

    def _blend_options(self, given: Mapping[str, str]) -> StylizeOptions:
        """Return options with only a row's `style_blend` on top of the run's; without any blend if that is invalid."""
        own = {name: cell for name, cell in given.items() if name == "style_blend"}
        try:
            return self._defaults.overridden(own).overridden(self._overrides)
        except ValidationError:
            return StylizeOptions()

    def _claim(self, pair_id: str, line: int) -> list[CellError]:
        """Reserve an id for a line; return what is wrong with the id, such as an earlier line that has it already."""
        title = self._titles.get("id")
        if not ID_PATTERN.fullmatch(pair_id) or pair_id.endswith("."):
            return [CellError(title, shortened(pair_id), f"{ID_RULE}, got {quoted(pair_id)}")]
        written, first_line = self._ids.setdefault(pair_id.casefold(), (pair_id, line))
        if first_line == line:
            return []
        spelling = "" if written == pair_id else f" as {written!r}"
        return [CellError(title, pair_id, f"id {pair_id!r} is already used on line {first_line}{spelling}")]

    def _generated_id(
        self, values: Mapping[str, str], addresses: Mapping[str, str], chosen: _RowOptions, line: int
    ) -> tuple[str, list[CellError]]:
        """Generate an id from the file names and a digest of the cells as written, which does not depend on the folder.

        Returns:
            The id, and an error if an earlier row has the same id or is the same pair with the same options.
        """
        first_line = self._pairs.setdefault(short_digest([addresses, chosen.given], 16), line)
        if first_line != line:
            reason = f"the same pair with the same options is already on line {first_line}"
            return "", [CellError(None, "", reason)]
        written = {name: normal(values[name], address) for name, address in addresses.items()}
        content, style = written.pop("content"), written.pop("style")
        # Additional images are hashed only if there are any, so that the ids of all other rows do not change.
        digest = short_digest([content, style, chosen.given, *([written] if written else [])], 12)
        stems = f"{_id_part(addresses['content'])}-{_id_part(addresses['style'])}"
        pair_id = f"{stems}-{digest[:6]}"  # with all 12 digits if that is in use
        if pair_id.casefold() in self._ids:
            pair_id = f"{stems}-{digest}"
        return pair_id, self._claim(pair_id, line)


def _id_part(address: str) -> str:
    """Return a file's name without folder and ending, with only characters that are allowed in an id."""
    stem = os.path.splitext(os.path.basename(address))[0]
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:_STEM_CHARS] or "image"


def _extra_errors(extra: Mapping[str, str]) -> list[CellError]:
    """Return what is wrong with the extra cells: an error for each of the first few, and one that counts the rest."""
    wrong = [(title, cell) for title, cell in extra.items() if "\0" in cell or len(cell) > MAX_CELL_CHARS]
    errors = [
        CellError(title, shortened(cell), _text_problem(cell, is_extra=True) or "")
        for title, cell in wrong[:MOST_EXTRAS_NAMED]
    ]
    left = len(wrong) - MOST_EXTRAS_NAMED
    return [*errors, CellError(None, "", f"and {left:,} more cells like it")] if left > 0 else errors


def _text_problem(text: str, *, is_extra: bool) -> str | None:
    if len(text) > MAX_CELL_CHARS:
        return f"expected at most {MAX_CELL_CHARS:,} characters, got {len(text):,}"
    if "\0" in text:
        return "expected text, got a NUL character; save the file as UTF-8 text"
    if not is_extra and (control := CONTROL_CHARACTER.search(text)):
        return f"expected no control characters, got {control[0]!r}"
    return None

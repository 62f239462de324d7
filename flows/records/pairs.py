"""The rows of a manifest: each is a pair, or is rejected with all of its errors."""

from dataclasses import dataclass, field

from flows.wording import problem_lines, quoted
from nst_core.options import StylizeOptions

FURTHER_STYLES = ("style_2", "style_3", "style_4")
OTHER_PICTURES = (*FURTHER_STYLES, "content_mask", "style_mask", "protect", "init_image")
"""The manifest's optional image columns, in addition to `content` and `style`."""
STYLE_COLUMNS = (*FURTHER_STYLES, "style_mask")
"""The optional image columns that belong to the style: all pairs of one style have the same values."""


@dataclass(frozen=True)
class CellError:
    """An error in one cell of a manifest row; `column` is None if the error concerns the whole row."""

    column: str | None
    value: str
    reason: str

    def in_words(self) -> str:
        """Return the reason, preceded by the column's name."""
        return self.reason if self.column is None else f"column {quoted(self.column)}: {self.reason}"


@dataclass(frozen=True)
class RejectedRow:
    """A manifest row that cannot become a pair, with all of its errors.

    `row` is the line of the manifest on which the row starts; the header is line 1. `cells` are the row's cells as
    written, by column, as far as they could be parsed.
    """

    row: int
    errors: tuple[CellError, ...]
    cells: dict[str, str] = field(default_factory=dict)
    kind: str = "manifest"
    """The row's `error_kind` in the results table."""

    def reason(self) -> str:
        """Return the row's errors in one line."""
        return "; ".join(problem_lines(self.errors, CellError.in_words))


@dataclass(frozen=True)
class PairSpec:
    """One pair to stylize.

    Attributes:
        row: the line of the manifest on which the row starts; the header is line 1.
        pair_id: the pair's id: unique in the manifest, and the start of the output file's name.
        content, style: the images' absolute local paths or `s3://` addresses.
        options: the resolved options: the run's, overridden by the row's own.
        extra: the cells of columns that are not the results table's own, unchanged.
        content_cell, style_cell: the images' addresses as written in the manifest, for the results table.
        others: the addresses of the row's optional images (see `OTHER_PICTURES`), by column.
    """

    row: int
    pair_id: str
    content: str
    style: str
    options: StylizeOptions
    extra: dict[str, str] = field(default_factory=dict)
    content_cell: str = ""
    style_cell: str = ""
    others: dict[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> dict[str, str]:
        """The addresses of all input images, by column."""
        return {"content": self.content, "style": self.style, **self.others}

    def cell_of(self, column: str) -> str:
        """Return an image's address as written in the manifest."""
        return {"content": self.content_cell, "style": self.style_cell}.get(column, self.extra.get(column, ""))


@dataclass(frozen=True)
class Manifest:
    """A parsed manifest: `pairs` and `rejected` together are all its rows; `notes` describe what was ignored."""

    uri: str
    sha256: str
    extra_columns: tuple[str, ...]
    pairs: tuple[PairSpec, ...]
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...] = ()

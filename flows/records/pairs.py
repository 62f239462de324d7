"""The rows of a manifest: pairs, or refused with everything that is wrong with them."""

from dataclasses import dataclass, field

from flows.wording import named, shown
from nst_core.options import StylizeOptions

FURTHER_STYLES = ("style_2", "style_3", "style_4")
OTHER_PICTURES = (*FURTHER_STYLES, "content_mask", "style_mask", "protect", "init_image")
"""Columns of a manifest for pictures beyond `content` and `style`."""
OF_THE_STYLE = (*FURTHER_STYLES, "style_mask")
"""Those of them that pairs of one style share."""


@dataclass(frozen=True)
class CellError:
    """What is wrong in one cell of a manifest row; `column` is None when it is the whole row."""

    column: str | None
    value: str
    reason: str

    def in_words(self) -> str:
        """The reason, with its column."""
        return self.reason if self.column is None else f"column {shown(self.column)}: {self.reason}"


@dataclass(frozen=True)
class RejectedRow:
    """A manifest row that cannot become a pair, with everything that is wrong with it.

    `row` is the line of the manifest on which the row starts; the header is line 1. `cells` are the row's cells as
    written, by column, as far as they could be told.
    """

    row: int
    errors: tuple[CellError, ...]
    cells: dict[str, str] = field(default_factory=dict)
    kind: str = "manifest"
    """The word for it in the results table."""

    def reason(self) -> str:
        """What is wrong with the row, in one line."""
        return "; ".join(named(self.errors, CellError.in_words))


@dataclass(frozen=True)
class PairSpec:
    """One pair to stylize.

    Attributes:
        row: line of the manifest on which the row starts; the header is line 1.
        pair_id: unique in the manifest, and the start of the output's name.
        content, style: absolute local paths or `s3://` addresses.
        options: resolved: the run's options with the row's own on top.
        extra: cells of columns that the results table does not have of itself, untouched.
        content_cell, style_cell: the addresses as the manifest has them, for the results table.
        others: the addresses of further pictures, by column; those that the row has.
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
        """The addresses of all pictures, by column."""
        return {"content": self.content, "style": self.style, **self.others}

    def cell_of(self, column: str) -> str:
        """The address of a picture as the manifest has it."""
        return {"content": self.content_cell, "style": self.style_cell}.get(column, self.extra.get(column, ""))


@dataclass(frozen=True)
class Manifest:
    """A manifest as read: `pairs` and `rejected` together are all its rows; `notes` say what was passed over."""

    uri: str
    sha256: str
    extra_columns: tuple[str, ...]
    pairs: tuple[PairSpec, ...]
    rejected: tuple[RejectedRow, ...]
    notes: tuple[str, ...] = ()

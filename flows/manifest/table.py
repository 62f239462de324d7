"""What every format of a manifest gives: a header and numbered rows of text. Knows nothing of pairs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row, and the line (from 1) on which it starts; in a file without lines, its number.

    `problem` says why it cannot be used: a stray quote, no object, another number of cells than the header has. `cells`
    are those that could be told. `text` is the line of a row with a problem. `digest` is what a results table says of
    the row's options, perhaps nothing; None in any other file. `output` is the picture that it tells.
    """

    line: int
    cells: list[str]
    problem: str | None = None
    text: str = ""
    digest: str | None = None
    output: str = ""


class Table(Protocol):
    """A file with its header read, ready for its rows to be read."""

    @property
    def header(self) -> TableRow:
        """The names of the columns, as they are written."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over."""

    @property
    def is_guarded(self) -> bool:
        """Whether a `'` may stand before what a spreadsheet would run, as in our own `results.csv`."""

    def line_of_row(self, number: int) -> int | None:
        """The line of the n-th row, where that is told without reading the others."""

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:
        """The rows under the header, in order, those without any content left out.

        Args:
            one_line: indices of the columns whose cells never hold a line break.

        Raises:
            ManifestError: if the file turns out to be damaged, or larger than it may be.
        """

"""Define the interface of all manifest formats: a header and numbered rows of text. Knows nothing of pairs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        line: the line, from 1, on which the row starts; in a format without lines, the number of the row.
        cells: the cells of the row; if it has a problem, those that could be read.
        problem: why the row cannot be used, such as a stray quote, a line that is not an object, or a number of cells
            other than the header's; None if it can.
        text: the line of a row that has a problem.
        digest: the digest of the row's options in a results table, possibly empty; None in any other file.
        output: the row's output image in a results table; empty in any other file.
    """

    line: int
    cells: list[str]
    problem: str | None = None
    text: str = ""
    digest: str | None = None
    output: str = ""


def is_empty(cells: list[str]) -> bool:
    """Return whether a row has no text in any of its cells."""
    return not any(map(str.strip, cells))


class Table(Protocol):
    """A file whose header has been read and whose rows can be read."""

    @property
    def header(self) -> TableRow:
        """The titles of the columns, as written in the file."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was ignored."""

    @property
    def is_guarded(self) -> bool:
        """Whether cells that a spreadsheet would run as formulas may be prefixed with `'`, as in our `results.csv`."""

    def line_of_row(self, number: int) -> int | None:
        """Return the line of the n-th row; None if there are fewer rows or it is unknown without parsing them."""

    def rows(self, one_line: Collection[int]) -> Iterator[TableRow]:
        """Yield the rows below the header in order, without empty ones.

        Args:
            one_line: the indices of the columns whose cells never contain a line break.

        Raises:
            ManifestError: the file turns out to be damaged or too large.
        """

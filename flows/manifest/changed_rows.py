"""Rows of a results table that ask for other than it says they did, named line by line.

A spreadsheet that such a table went through has changed what looks like a number or a date to it: `0042` is `42` there.
The table has what a row asks for only as far as it has columns of that: options of the run that made it, and what was
written into a rejected row's own columns, are not in it. What is done of such rows would be made again.
"""

import re
from dataclasses import dataclass, field

from flows.manifest.table import TableRow
from flows.records import layout
from flows.records.pairs import PairSpec
from flows.wording import some
from nst_core.options import StylizeOptions

LINES_NAMED = 10
"""Of each kind; the others are counted."""
OWN_COLUMNS = "recipe, seed, quality and steps"
_FROM_A_SPREADSHEET = ", as spreadsheets make of what looks like a number or a date,"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_IMAGE = re.compile(rf"{layout.IMAGES}/(.+)-[0-9a-f]{{8}}\.[a-z]+")
"""What `output` says of a pair that is done."""


@dataclass
class Otherwise:
    """Looks at every row of a table that becomes a pair; of any table but one of results there is nothing to say."""

    _other: list[int] = field(default_factory=list)
    _unknown: list[int] = field(default_factory=list)
    _unreadable: list[int] = field(default_factory=list)
    _renamed: list[int] = field(default_factory=list)
    _digests: dict[StylizeOptions, str] = field(default_factory=dict)

    def see(self, row: TableRow, pair: PairSpec) -> None:
        """A row, and what it was understood as."""
        if (image := _IMAGE.fullmatch(row.output)) and image[1] != pair.pair_id:
            self._renamed.append(row.line)
        if row.digest is None:
            return
        if not row.digest:
            self._unknown.append(row.line)
        elif not _DIGEST.fullmatch(row.digest):
            self._unreadable.append(row.line)
        elif row.digest != self._digest(pair.options):
            self._other.append(row.line)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found."""
        other = f"other options than the table tells (options_digest) at {_lines(self._other)}: they are made anew"
        unknown = (
            f"no options_digest at {_lines(self._unknown)}: what a rejected row asked for as {OWN_COLUMNS} is not in "
            "the table; write it in, or hand in what `nst status OUT --failed --csv` prints"
        )
        unreadable = f"an options_digest that is none{_FROM_A_SPREADSHEET} at {_lines(self._unreadable)}: not compared"
        renamed = (
            f"another id than that of its output{_FROM_A_SPREADSHEET} at {_lines(self._renamed)}: they are made anew;"
            " write the ids in, or hand in results.parquet"
        )
        found = {renamed: self._renamed, other: self._other, unknown: self._unknown, unreadable: self._unreadable}
        return tuple(note for note, lines in found.items() if lines)

    def _digest(self, options: StylizeOptions) -> str:
        # Rows of the same cells have the same options, and a digest takes longer than to look it up.
        if options not in self._digests:
            self._digests[options] = options.digest()
        return self._digests[options]


def _lines(found: list[int]) -> str:
    return f"line{'s' if len(found) > 1 else ''} {some(map(str, found), LINES_NAMED)}"

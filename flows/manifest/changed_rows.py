"""Detect rows of a results table, used as a manifest, whose options or id differ from those that the table records.

A spreadsheet changes cells that look like a number or a date: `0042` becomes `42`. And a results table has only those
options for which it has columns: the options of the run that wrote it, and what was written in the option cells of a
rejected row, are not in it. Finished pairs of such rows would be stylized again.
"""

import re
from dataclasses import dataclass, field

from flows.manifest.table import TableRow
from flows.records import layout
from flows.records.pairs import PairSpec
from flows.wording import first_few
from nst_core.options import StylizeOptions

LINES_NAMED = 10
"""Lines that a note names; the rest are counted."""
OWN_COLUMNS = "recipe, seed, quality and steps"
_FROM_A_SPREADSHEET = ", as spreadsheets make of what looks like a number or a date,"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_IMAGE = re.compile(rf"{layout.IMAGES}/(.+)-[0-9a-f]{{8}}\.[a-z]+")
"""The form of `output` in the row of a finished pair."""


@dataclass
class ChangedRows:
    """Collects the changed rows of a results table; any other table has none."""

    _other: list[int] = field(default_factory=list)
    _unknown: list[int] = field(default_factory=list)
    _unreadable: list[int] = field(default_factory=list)
    _renamed: list[int] = field(default_factory=list)
    _digests: dict[StylizeOptions, str] = field(default_factory=dict)

    def check(self, row: TableRow, pair: PairSpec) -> None:
        """Compare a row of the table with the pair that was parsed from it."""
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
        """A note for each kind of change that was found."""
        other = f"other options than the table tells (options_digest) at {_lines(self._other)}: they are computed again"
        unknown = (
            f"no options_digest at {_lines(self._unknown)}: what a rejected row asked for as {OWN_COLUMNS} is not in "
            "the table; write it in, or hand in what `nst status OUT --failed --csv` prints"
        )
        unreadable = f"an options_digest that is none{_FROM_A_SPREADSHEET} at {_lines(self._unreadable)}: not compared"
        renamed = (
            f"another id than that of its output{_FROM_A_SPREADSHEET} at {_lines(self._renamed)}: they are computed "
            "again; write the ids in, or hand in results.parquet"
        )
        changes = {renamed: self._renamed, other: self._other, unknown: self._unknown, unreadable: self._unreadable}
        return tuple(note for note, lines in changes.items() if lines)

    def _digest(self, options: StylizeOptions) -> str:
        # Many rows have the same options, and computing a digest takes longer than looking it up.
        if options not in self._digests:
            self._digests[options] = options.digest()
        return self._digests[options]


def _lines(numbers: list[int]) -> str:
    return f"line{'s' if len(numbers) > 1 else ''} {first_few(map(str, numbers), LINES_NAMED)}"

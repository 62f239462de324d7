"""The commands `nst validate`, which checks a manifest, and `nst split`, which cuts one. Nothing is stylized."""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, ManifestArgument
from flows.cli.options import options_from, validated
from flows.costs.estimate import Estimate, estimate, local_size
from flows.errors import StorageError
from flows.limits import limits_in_force
from flows.manifest.load import load_manifest
from flows.manifest.lookalikes import hint
from flows.manifest.split import split_manifest
from flows.records.pairs import Manifest, PairSpec
from flows.run.plan import examine_files
from flows.settings import RunSettings
from flows.wording import MOST_NAMED, counted, printable, problem_lines, problems_as_json
from nst_core.options import StylizeOptions

MOST_EXAMINED = 500
"""The most content images whose headers are read for an estimate."""


@options_from(options=StylizeOptions)
def validate(
    manifest: ManifestArgument,
    *,
    options: dict[str, Any],
    files: Annotated[bool, typer.Option(help="Check that every image file exists.")] = True,
    as_json: JsonSwitch = False,
) -> None:
    """Check every row of a manifest, and that its files exist.

    Also estimates how long its pairs will take, from earlier runs on this machine. Nothing is stylized.
    """
    chosen = validated(StylizeOptions, options)
    _, loaded = load_manifest(manifest, chosen, limits_in_force())
    checked = _checked(loaded, with_files=files)
    if as_json:
        typer.echo(json.dumps(checked.as_json(), indent=1))
    else:
        for line in checked.lines():
            typer.echo(line)
    raise typer.Exit(ExitCode.SOME_FAILED if checked.problems else ExitCode.OK)


@dataclasses.dataclass(frozen=True)
class _Checked:
    """The result of checking a manifest.

    Attributes:
        manifest: the manifest that was checked.
        problems: (line, reason) of each problem, sorted; a row may have several.
        valid: the pairs without problems.
        expected: the estimated time for the valid pairs; None if there are none.
        with_files: whether the check included that every file exists.
    """

    manifest: Manifest
    problems: Sequence[tuple[int, str]]
    valid: Sequence[PairSpec]
    expected: Estimate | None
    with_files: bool

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values, for programs."""
        manifest, expected = self.manifest, self.expected
        return {
            "manifest": manifest.uri,
            "rows": len(manifest.pairs) + len(manifest.rejected),
            "valid": [{"row": pair.row, "id": pair.pair_id} for pair in self.valid],
            **({"notes": list(map(printable, manifest.notes))} if manifest.notes else {}),
            **problems_as_json(
                "problems", self.problems, lambda problem: {"row": problem[0], "reason": printable(problem[1])}
            ),
            **({"estimate": expected.as_json()} if expected else {}),
        }

    def lines(self) -> Iterator[str]:
        """Yield the result as lines, for people."""
        name = printable(storage.name_of(self.manifest.uri))
        yield from (printable(f"{name}: {note}") for note in self.manifest.notes)
        yield from problem_lines(self.problems, lambda problem: f"{name} line {problem[0]}: {problem[1]}")
        one = len(self.valid) == 1
        exist = f" and {'its' if one else 'their'} files exist" if self.with_files else ""
        bad_rows = len({row for row, _ in self.problems})
        yield (
            f"{name}: {counted(len(self.valid), 'row')} {'is' if one else 'are'} valid{exist}; "
            f"{bad_rows} cannot be stylized"
        )
        if self.expected:
            yield from problem_lines(
                self.expected.refused, lambda row: f"{name} line {row[0]}: it does not fit in memory now: {row[1]}"
            )
            yield f"{name}: {self.expected}"


def _checked(manifest: Manifest, *, with_files: bool) -> _Checked:
    rejected = [(row.row, row.reason()) for row in manifest.rejected]
    problems = sorted([*rejected, *(_missing_files(manifest) if with_files else [])])
    bad_rows = {row for row, _ in problems}
    valid = [pair for pair in manifest.pairs if pair.row not in bad_rows]
    expected = estimate(valid, _sizes_of(valid) if with_files else {}, RunSettings().backbone)
    return _Checked(manifest, problems, valid, expected, with_files)


def split(
    manifest: ManifestArgument,
    *,
    parts: Annotated[int, typer.Option(min=2, max=10_000, metavar="INTEGER", help="The number of parts.")],
    as_json: JsonSwitch = False,
) -> None:
    """Cut a manifest into parts, and print their addresses.

    The parts are written next to the manifest, each for a run and an output of its own.
    """
    address, limits = storage.absolute(manifest), limits_in_force()
    limits.check_readable(address)
    with limits.writing(storage.parent_of(address)):
        written = split_manifest(address, parts, limits.readable)
    typer.echo(json.dumps(written, indent=1) if as_json else "\n".join(written))


def _sizes_of(pairs: Sequence[PairSpec]) -> dict[str, tuple[int, int]]:
    """Return the sizes, by address, of a sample of the content images, evenly spread over the manifest."""
    contents = list(dict.fromkeys(pair.content for pair in pairs))
    sample = contents[:: -(-len(contents) // MOST_EXAMINED)] if contents else []
    return {address: size for address in sample if (size := local_size(address)) is not None}


def _missing_files(manifest: Manifest) -> list[tuple[int, str]]:
    """Return (line, reason) for each file that does not exist or cannot be read."""
    found = examine_files(sorted({address for pair in manifest.pairs for address in pair.pictures.values()}))
    missing = [
        (pair.row, column, address)
        for pair in manifest.pairs
        for column, address in pair.pictures.items()
        if not isinstance(found[address], str)
    ]
    # Only the first MOST_NAMED problems are listed by name, so similar file names are searched for those alone.
    return [
        (row, f"column {column!r}: {_problem_of_file(address, found[address], looks_near=number < MOST_NAMED)}")
        for number, (row, column, address) in enumerate(missing)
    ]


def _problem_of_file(address: str, found: str | StorageError | None, *, looks_near: bool) -> str:
    if isinstance(found, StorageError):
        is_folder = not storage.is_s3(address) and os.path.isdir(address)
        return f"{found}; nst pairs makes a manifest of the images in it" if is_folder else str(found)
    return f"there is no file {address}{hint(address) if looks_near else ''}"

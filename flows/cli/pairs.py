"""The command `nst pairs`, which writes a manifest that pairs the images of two folders."""

import functools
import itertools
import os
import sys
from collections.abc import Callable
from typing import IO, Annotated

import typer

from flows import storage
from flows.limits import Limits, limits_in_force
from flows.manifest.listing import Listing, pictures_of
from flows.manifest.pairs import Pairing, PairingMethod, keyed, parsed_settings, write_rows
from flows.manifest.refusals import option_refusals
from flows.storage.addresses import resolved_address
from flows.storage.temporary import named_as_temporary, temporary_file
from flows.wording import printable, shortened
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions

MOST_ROWS = 10_000_000
"""The most rows of a manifest that is written here."""
NAMED = 3
"""The number of files that are named, of all those left out for the same reason."""

Place = Annotated[str, typer.Argument(help="Folder, s3:// prefix, glob in quotes, or one image.")]


def pairs(
    contents: Place,
    styles: Place,
    *,
    how: Annotated[
        PairingMethod, typer.Option(help="Pair every content with every style, one by one, or with random styles.")
    ] = PairingMethod.PRODUCT,
    per_content: Annotated[
        int | None, typer.Option(min=1, metavar="INTEGER", help="Random styles for each content, with --how sample.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="INTEGER", help="Seed of the random styles. [default: 0]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option for every row; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="INTEGER", help="Write at most this many rows.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The manifest, local or s3://. [default: stdout]"),
    ] = None,
) -> None:
    """Make a manifest of all images below two folders.

    The manifest is a CSV with ids derived from the paths, and the content's folder as a column.
    """
    limits, options = limits_in_force(), parsed_settings(settings or [])
    _check_options(options, limits)
    target = None if output is None else storage.absolute(output)
    base = None if target is None else storage.parent_of(target)
    found = [pictures_of(storage.absolute(place), base, limits) for place in (contents, styles)]
    if target is not None:
        _check_no_picture(target, found)
    many, few = (keyed(listing.pictures) for listing in found)
    pairing = Pairing(how, per_content, seed)
    pairing.check(len(many), len(few))
    rows = min(pairing.count(len(many), len(few)), limit or sys.maxsize)
    if rows > MOST_ROWS:
        raise OptionsError(f"expected at most {MOST_ROWS:,} rows, found {rows:,}: set a --limit, or --how sample")
    paired = itertools.islice(pairing.pairs(many, few), limit)
    written = _write(target, limits, lambda stream: write_rows(stream, paired, options))
    _print_summary([contents, styles], found, written, limits)


def _check_options(options: dict[str, str], limits: Limits) -> None:
    """Raise an error if the options make rows that every run here would refuse.

    Raises:
        OptionsError: the operator's limits do not allow an option; the message says what is allowed.
    """
    chosen = StylizeOptions.model_validate(options).resolved()
    if refused := option_refusals(chosen, limits.max_options):
        raise OptionsError(f"--set {refused[0].column}=...: {refused[0].reason}")


def _check_no_picture(target: str, found: list[Listing]) -> None:
    """Raise an error if the manifest would replace one of its own images.

    Raises:
        OptionsError: it would; the message names the file.
    """
    base, name = storage.parent_of(target), storage.name_of(target)
    same_name = (
        picture for listing in found for picture in listing.pictures if picture.path.rpartition("/")[2] == name
    )
    if _real(target) in {_real(resolved_address(picture.cell.strip(" "), base)) for picture in same_name}:
        raise OptionsError(
            f"--output {target}: expected a place for the manifest, found one of its images; name another file"
        )


def _real(address: str) -> str:
    """Resolve the links in a local file's folder, but not the file itself: replacing a file replaces a link too."""
    if not storage.is_local(address):
        return address
    return storage.join(_real_folder(storage.parent_of(address)), storage.name_of(address))


@functools.cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _write(target: str | None, limits: Limits, write: Callable[[IO[bytes]], int]) -> int:
    """Write the manifest to its address, or to stdout if there is none, and return the number of its rows."""
    if target is None:
        stream = typer.get_binary_stream("stdout")
        rows = write(stream)
        stream.flush()
        return rows
    with limits.writing(storage.parent_of(target)), temporary_file() as file:
        with named_as_temporary():
            rows = write(file)
            file.flush()
        storage.replace_by(target, file.name)
    return rows


def _print_summary(places: list[str], found: list[Listing], rows: int, limits: Limits) -> None:
    """Print on stderr how many rows were written and which files were left out."""
    for place, listing in zip(places, found, strict=True):
        for reason, paths in listing.left_out.items():
            left = f", and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
            names = ", ".join(map(shortened, paths[:NAMED]))
            _print(f"left out of {place}: {len(paths):,} {reason}: {names}{left}")
    contents, styles = (len(listing.pictures) for listing in found)
    _print(f"{rows:,} rows, of {contents:,} contents and {styles:,} styles")
    if rows > limits.max_rows:
        _print(f"a run takes {limits.max_rows:,} rows at most here: cut the manifest with `nst split`")


def _print(line: str) -> None:
    typer.echo(printable(line), err=True)

"""`nst export`: the finished pictures of an output as a dataset."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, OutputArgument, QuietSwitch
from flows.export import Exported, Layout, Request
from flows.export import export as carried_out
from flows.export.dataset import SHARD_MB, Tell
from flows.limits import limits_in_force
from flows.wording import named, printable

SECONDS_BETWEEN_LINES = 30.0
"""Of progress, where nobody sees a line that is written over."""


def export(
    output: OutputArgument,
    destination: Annotated[str, typer.Argument(metavar="DEST", help="Folder or s3:// prefix of the dataset.")],
    *,
    layout: Annotated[
        Layout,
        typer.Option(
            metavar="imagefolder|webdataset|tree",
            help="Pictures with metadata.csv, tar shards, or the contents' folders.",
        ),
    ] = Layout.IMAGEFOLDER,
    name: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="Of the pictures' names, such as '{style}/{content}.png'."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Make hard links in place of copies.")] = False,
    shard_mb: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="INTEGER", help="Megabytes of a shard.")
    ] = SHARD_MB,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove exported pictures that the table no longer has.")
    ] = False,
    quiet: QuietSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Copy finished pictures into a dataset.

    Under stable names, only what is new; while a run goes on, too.
    """
    limits = limits_in_force()
    source, target = storage.absolute(output), storage.absolute(destination)
    limits.check_readable(source, is_ours=True)
    request = Request(source, target, layout, name, link, shard_mb, delete, limits.readable_of_ours)
    with limits.writing(target), _progress(is_shown=not quiet) as tell:
        done = carried_out(request, tell)
    for line in named(done.left_out, lambda one: f"{one[0]}: left out: {one[1]}"):
        typer.echo(line, err=True)
    if as_json:
        facts = dataclasses.asdict(done) | {"there": done.there, "left_out": len(done.left_out)}
        typer.echo(json.dumps({"destination": target, **facts}, indent=1))
    elif not quiet:
        typer.echo(f"{printable(target)}: {_in_words(done)}")
    raise typer.Exit(ExitCode.SOME_FAILED if done.left_out else ExitCode.OK)


def _in_words(done: Exported) -> str:
    counts = {"new": done.new, "replaced": done.replaced, "there already": done.there, "removed": done.removed}
    counts |= {"of an earlier state": done.earlier, "left out": len(done.left_out)}
    told = [f"{count:,} {word}" for word, count in counts.items() if count or word in ("new", "there already")]
    return f"{done.pictures:,} pictures, {', '.join(told)}"


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Tell]:
    """A line on stderr, written over in a terminal, and now and then a new one elsewhere."""
    in_terminal = sys.stderr.isatty()
    began = time.monotonic()
    told = began
    first: int | None = None

    def tell(done: int, of: int) -> None:
        nonlocal told, first
        now = time.monotonic()
        first = done if first is None else first
        if now - told < (0.2 if in_terminal else SECONDS_BETWEEN_LINES):
            return
        told = now
        left = (now - began) / (done - first) * (of - done) if done > first else 0.0
        line = f"{done:,} of {of:,} pictures, some {left:,.0f} s left"
        typer.echo(f"\r\x1b[K{line}" if in_terminal else line, err=True, nl=not in_terminal)

    yield tell if is_shown else lambda _done, _of: None
    if is_shown and in_terminal:
        typer.echo("\r\x1b[K", err=True, nl=False)

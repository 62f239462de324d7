"""The command `nst export`, which copies an output's finished images into a dataset."""

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
from flows.wording import printable, problem_lines

SECONDS_BETWEEN_LINES = 30.0
"""The interval of progress lines if stderr is not a terminal, where one line cannot be updated in place."""


def export(
    output: OutputArgument,
    destination: Annotated[str, typer.Argument(metavar="DEST", help="Folder or s3:// prefix of the dataset.")],
    *,
    layout: Annotated[
        Layout,
        typer.Option(
            metavar="imagefolder|webdataset|tree",
            help="Images with metadata.csv, tar shards, or the folders of the contents.",
        ),
    ] = Layout.IMAGEFOLDER,
    name: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="The images' names, such as '{style}/{content}.png'."),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Make hard links instead of copies.")] = False,
    shard_mb: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="INTEGER", help="Size of a shard in megabytes.")
    ] = SHARD_MB,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove exported images that are no longer in the table.")
    ] = False,
    quiet: QuietSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Copy finished images into a dataset.

    Their names are stable, and only new images are copied. It also works while a run goes on.
    """
    limits = limits_in_force()
    source, target = storage.absolute(output), storage.absolute(destination)
    limits.check_readable(source, is_ours=True)
    request = Request(source, target, layout, name, link, shard_mb, delete, limits.readable_by_runs)
    with limits.writing(target), _progress(is_shown=not quiet) as tell:
        done = carried_out(request, tell)
    for line in problem_lines(done.left_out, lambda one: f"{one[0]}: left out: {one[1]}"):
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
    parts = [f"{count:,} {word}" for word, count in counts.items() if count or word in ("new", "there already")]
    return f"{done.pictures:,} images, {', '.join(parts)}"


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Tell]:
    """Yield a function that shows progress on stderr: one line updated in place in a terminal, else a line at times."""
    in_terminal = sys.stderr.isatty()
    began = time.monotonic()
    last_shown = began
    first: int | None = None

    def show(done: int, of: int) -> None:
        nonlocal last_shown, first
        now = time.monotonic()
        first = done if first is None else first
        if now - last_shown < (0.2 if in_terminal else SECONDS_BETWEEN_LINES):
            return
        last_shown = now
        left = (now - began) / (done - first) * (of - done) if done > first else 0.0
        line = f"{done:,} of {of:,} images, some {left:,.0f} s left"
        typer.echo(f"\r\x1b[K{line}" if in_terminal else line, err=True, nl=not in_terminal)

    yield show if is_shown else lambda _done, _of: None
    if is_shown and in_terminal:
        typer.echo("\r\x1b[K", err=True, nl=False)

"""`nst ladder`: one pair over a grid of settings, small and soon, before a manifest asks for hundreds."""

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, QuietSwitch
from flows.cli.options import options_from, settings_of, validated
from flows.cli.run import Shown, run_manifest
from flows.errors import NotFound, OutputError
from flows.limits import limits_in_force
from flows.manifest.ladder import ladder_manifest, parse_varied, pictures_of_ladder, rungs_of
from flows.output import lease
from flows.output.ledger import Ledger
from flows.output.ownership import check_ours
from flows.records import layout
from flows.records.digests import short_digest
from flows.run.request import Asked, check_means
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

SIZE_PX = 256
"""Long edge of a rung, where the user asks for no other."""


@options_from(options=StylizeOptions, settings=RunSettings)
def ladder(
    content: Annotated[str, typer.Argument(help="Content picture, local or s3://.")],
    style: Annotated[str, typer.Argument(help="Style picture, local or s3://.")],
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=A,B,...",
            help="An option of a pair and its values; may be repeated: all combinations are made.",
            rich_help_panel="Selection",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder or s3:// prefix. [default: runs/ladder-<content>-<style>]",
            rich_help_panel="Output",
        ),
    ] = None,
    quiet: QuietSwitch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Try one pair over a grid of settings, on one sheet.

    At 256 px unless --size-px says otherwise. Prints the sheet's address and a manifest row for each picture.
    """
    validated(StylizeOptions, options)
    pictures = {"content": storage.absolute(content), "style": storage.absolute(style)}
    varied = parse_varied(vary)
    size = {} if any(one.name == "size_px" for one in varied) else {"size_px": options.get("size_px", SIZE_PX)}
    # A row is to be copied into a manifest: it holds all but the size, which is the ladder's own.
    base = {name: value for name, value in options.items() if name != "size_px"}
    rungs = rungs_of(varied, base)
    target = storage.absolute(output) if output else default_output(pictures)
    manifest, data = storage.join(target, layout.LADDER_MANIFEST), ladder_manifest(rungs, pictures, base)
    chosen = validated(StylizeOptions, size)
    asked = Asked(target, manifest, chosen, settings_of(settings), Selection())
    _keep_manifest(asked, manifest, data, pictures)
    summary, code = run_manifest(asked, Shown(quiet=quiet or as_json))
    if code in (ExitCode.OK, ExitCode.SOME_FAILED) and summary.succeeded:
        # Here, as Pillow takes its time to import.
        from flows.report.ladder_sheet import write_ladder_sheet

        with limits_in_force().writing(target):
            sheet, rows = write_ladder_sheet(target, varied, rungs), data.decode().splitlines()
        if as_json:
            typer.echo(json.dumps({"sheet": sheet, "manifest": manifest, "results": summary.results_csv}, indent=1))
        elif not quiet:
            for line in (f"the sheet is {sheet}", f"a row for each picture, from {manifest}:", *rows):
                typer.echo(printable(line))
    raise typer.Exit(code)


def default_output(pictures: Mapping[str, str]) -> str:
    """Where a ladder goes whose user names no place: by the two pictures' names, and where a ladder of others is, more.

    Args:
        pictures: column -> address.
    """
    addresses = _addresses(pictures)
    target = storage.absolute(os.path.join("runs", "-".join(["ladder", *map(_stem, addresses)])))
    before = _read(storage.join(target, layout.LADDER_MANIFEST))
    is_of_others = before is not None and not _is_ladder_of(before, pictures)
    return f"{target}-{short_digest(addresses, 8)}" if is_of_others else target


def _addresses(pictures: Mapping[str, str]) -> tuple[str, str]:
    return pictures["content"], pictures["style"]


def _is_ladder_of(manifest: bytes, pictures: Mapping[str, str]) -> bool:
    return pictures_of_ladder(manifest) == {_addresses(pictures)}


def _keep_manifest(asked: Asked, manifest: str, data: bytes, pictures: Mapping[str, str]) -> None:
    """Put the ladder's manifest into its output, where it is not there already and what can be refused now is not.

    Raises:
        OutputError: if another file of its name is there, and no output.
        OutputBusy: if a run holds the output, which may not have read its own manifest yet.
        OptionsError, WeightsError, ClusterError: if there is nothing to carry it out with.
    """
    settings = asked.settings or RunSettings()
    with limits_in_force().writing(asked.output):
        before = _read(manifest)
        if before == data:
            return
        if before is not None and not (_is_ladder_of(before, pictures) or Ledger(asked.output).has_run()):
            raise OutputError(
                f"{manifest}: expected none, or one in the output of a ladder, found a file where no run was made; "
                "move it away, or name another folder with --output"
            )
        check_ours(asked.output)
        check_means(settings)
        with lease.held(asked.output, settings.wait_for_output_seconds, take_over=settings.take_over):
            storage.replace(manifest, data)


def _read(address: str) -> bytes | None:
    try:
        return storage.read(address)
    except NotFound:
        return None


def _stem(address: str) -> str:
    name = storage.name_of(address)
    return name.rpartition(".")[0] or name

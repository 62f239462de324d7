"""The command `nst ladder`, which stylizes one pair over a grid of options: a quick trial before a large manifest.

Its images are small, so that they are soon done. A combination of options is called a rung.
"""

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flows import storage
from flows.cli.app import ExitCode, JsonSwitch, QuietSwitch
from flows.cli.options import options_from, settings_of, validated
from flows.cli.run import Shown, run_manifest
from flows.errors import OutputError
from flows.limits import limits_in_force
from flows.manifest.ladder import ladder_manifest, parse_varied, pictures_of_ladder, rungs_of
from flows.output import lease
from flows.output.ledger import Ledger
from flows.output.ownership import check_ownership
from flows.records import layout
from flows.records.digests import short_digest
from flows.run.request import RunArguments, check_means
from flows.settings import RunSettings, Selection
from flows.wording import printable
from nst_core.options import StylizeOptions

SIZE_PX = 256
"""The default long edge of a rung's image."""


@options_from(options=StylizeOptions, settings=RunSettings)
def ladder(
    content: Annotated[str, typer.Argument(help="Content image, local or s3://.")],
    style: Annotated[str, typer.Argument(help="Style image, local or s3://.")],
    *,
    options: dict[str, Any],
    settings: dict[str, Any],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=A,B,...",
            help="An option of a pair and its values; may be repeated, for all combinations.",
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
    """Try a grid of options on one pair, and make one sheet of it.

    At 256 px unless --size-px says otherwise. Prints the sheet's address and a manifest row for each image.
    """
    validated(StylizeOptions, options)
    pictures = {"content": storage.absolute(content), "style": storage.absolute(style)}
    varied = parse_varied(vary, options)
    size = {} if any(one.name == "size_px" for one in varied) else {"size_px": options.get("size_px", SIZE_PX)}
    # A row is meant to be copied into a manifest, so it holds all options but the size, which is for the ladder only.
    base = {name: value for name, value in options.items() if name != "size_px"}
    rungs = rungs_of(varied, base)
    target = storage.absolute(output) if output else default_output(pictures)
    manifest, data = storage.join(target, layout.LADDER_MANIFEST), ladder_manifest(rungs, pictures, base)
    chosen = validated(StylizeOptions, size)
    arguments = RunArguments(target, manifest, chosen, settings_of(settings), Selection())
    _keep_manifest(arguments, manifest, data, pictures)
    summary, code = run_manifest(arguments, Shown(quiet=quiet or as_json))
    if code in (ExitCode.OK, ExitCode.SOME_FAILED) and summary.succeeded:
        # Imported only here because importing Pillow takes time.
        from flows.report.ladder_sheet import write_ladder_sheet

        with limits_in_force().writing(target):
            sheet, rows = write_ladder_sheet(target, varied, rungs), data.decode().splitlines()
        if as_json:
            typer.echo(json.dumps({"sheet": sheet, "manifest": manifest, "results": summary.results_csv}, indent=1))
        elif not quiet:
            for line in (f"the sheet is {sheet}", f"a row for each image, from {manifest}:", *rows):
                typer.echo(printable(line))
    raise typer.Exit(code)


def default_output(pictures: Mapping[str, str]) -> str:
    """Return the default output of a ladder: a folder named after its two images.

    If that folder holds the ladder of other images with the same names, a digest of the addresses is appended.

    Args:
        pictures: the addresses of the images by column, `content` and `style`.
    """
    addresses = _addresses(pictures)
    target = storage.absolute(os.path.join("runs", "-".join(["ladder", *map(storage.stem_of, addresses)])))
    existing = storage.read_if_there(storage.join(target, layout.LADDER_MANIFEST))
    is_of_others = existing is not None and not _is_ladder_of(existing, pictures)
    return f"{target}-{short_digest(addresses, 8)}" if is_of_others else target


def _addresses(pictures: Mapping[str, str]) -> tuple[str, str]:
    return pictures["content"], pictures["style"]


def _is_ladder_of(manifest: bytes, pictures: Mapping[str, str]) -> bool:
    return pictures_of_ladder(manifest) == {_addresses(pictures)}


def _keep_manifest(arguments: RunArguments, manifest: str, data: bytes, pictures: Mapping[str, str]) -> None:
    """Write the ladder's manifest into its output unless it is there already.

    Everything that can be refused at this point is checked first.

    Raises:
        OutputError: a file of that name exists where no run was made.
        OutputBusy: another run holds the output's lease, and may not have read its own manifest yet.
        OptionsError, WeightsError, ClusterError: the backbone, its weights or the Ray cluster cannot be used.
    """
    settings = arguments.settings or RunSettings()
    with limits_in_force().writing(arguments.output):
        existing = storage.read_if_there(manifest)
        if existing == data:
            return
        if existing is not None and not (_is_ladder_of(existing, pictures) or Ledger(arguments.output).has_run()):
            raise OutputError(
                f"{manifest}: expected none, or one in the output of a ladder, found a file where no run was made; "
                "move it away, or name another folder with --output"
            )
        check_ownership(arguments.output)
        check_means(settings)
        with lease.held(arguments.output, settings.wait_for_output_seconds, take_over=settings.take_over):
            storage.replace(manifest, data)

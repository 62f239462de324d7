"""`nst split`: a manifest cut into parts."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from flows import storage
from flows.limits import limits_in_force
from flows.manifest.split import split_manifest


def register(app: typer.Typer, exit_codes: Callable[[], AbstractContextManager[None]]) -> None:
    """Give the command its `split`."""

    @app.command()
    def split(
        manifest: Annotated[str, typer.Argument(help="CSV of content/style pairs, local or s3://.")],
        *,
        parts: Annotated[int, typer.Option(min=2, max=10_000, help="How many manifests it becomes.")],
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    ) -> None:
        """Cut a manifest into parts beside it, each for a run and an output of its own; prints their addresses."""
        with exit_codes():
            address, limits = storage.absolute(manifest), limits_in_force()
            limits.check_readable(address)
            limits.check_writable(address)
            written = split_manifest(address, parts)
            typer.echo(json.dumps(written, indent=1) if as_json else "\n".join(written))

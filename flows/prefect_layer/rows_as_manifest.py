"""A flow that takes rows of Python for a manifest: Prefect is handed the address of a file that holds them."""

import os
from typing import Any, TypeVar

from prefect import Flow

from flows import storage
from flows.limits import limits_in_force
from flows.manifest.rows_of_python import Rows, save_rows

Result = TypeVar("Result")


class TakesRows(Flow[..., Result]):
    """A flow over the rows of a manifest."""

    def __call__(  # type: ignore[override]  # Prefect's takes anything
        self,
        output: str | os.PathLike[str],
        manifest: str | os.PathLike[str] | Rows | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Result:
        """Run the flow; a DataFrame or a list of dictionaries is first kept in the output, as a CSV.

        Raises:
            NstError: as the flow does, or as the file cannot be written.
        """
        output = os.fspath(output)
        if isinstance(manifest, os.PathLike):
            manifest = os.fspath(manifest)
        if not isinstance(manifest, str | None):
            manifest = save_rows(manifest, storage.absolute(output), limits_in_force())
        answer: Result = super().__call__(output, manifest, *args, **kwargs)
        return answer


def takes_rows(made: "Flow[..., Result]") -> TakesRows[Result]:
    """The flow, taking rows too."""
    made.__class__ = TakesRows  # all else that Prefect has set stays
    assert isinstance(made, TakesRows)
    return made

"""A flow whose manifest may be a DataFrame or a list: the rows are stored as a file, and Prefect gets its address."""

import os
from typing import Any, TypeVar

from prefect import Flow

from flows import storage
from flows.limits import limits_in_force
from flows.manifest.rows_of_python import Rows, save_rows

Result = TypeVar("Result")


class TakesRows(Flow[..., Result]):
    """A flow over a manifest that may be called with the manifest's rows instead of its address."""

    def __call__(  # type: ignore[override]  # Prefect's `__call__` takes any arguments
        self,
        output: str | os.PathLike[str],
        manifest: str | os.PathLike[str] | Rows | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Result:
        """Run the flow; a DataFrame or a list of dictionaries is first stored in the output, as a CSV.

        Raises:
            NstError: if the flow raises it, or the CSV cannot be written.
        """
        output = os.fspath(output)
        if isinstance(manifest, os.PathLike):
            manifest = os.fspath(manifest)
        if not isinstance(manifest, str | None):
            manifest = save_rows(manifest, storage.absolute(output), limits_in_force())
        answer: Result = super().__call__(output, manifest, *args, **kwargs)
        return answer


def takes_rows(flow: "Flow[..., Result]") -> TakesRows[Result]:
    """Change a flow, in place, into one that also takes rows, and return it."""
    flow.__class__ = TakesRows  # everything else that Prefect has set stays
    assert isinstance(flow, TakesRows)
    return flow

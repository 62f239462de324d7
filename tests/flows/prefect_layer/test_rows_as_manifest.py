"""flows.prefect_layer.rows_as_manifest: the arguments with which a flow is called from Python."""

from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from flows.errors import ManifestError
from flows.prefect_layer.rows_as_manifest import takes_rows


def test_paths_are_passed_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output and manifest may be `pathlib` paths; an empty list of rows is refused before anything is written."""
    called: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Flow, "__call__", lambda _flow, *args: called.append(args))

    @takes_rows
    @Flow
    def stylized(output: str, manifest: str | None = None) -> None:
        """Nothing."""

    stylized(tmp_path / "out", tmp_path / "pairs.csv")
    stylized(output=tmp_path / "out")

    assert called == [(f"{tmp_path}/out", f"{tmp_path}/pairs.csv"), (f"{tmp_path}/out", None)]
    with pytest.raises(ManifestError, match=r"^expected rows, found none$"):
        stylized(tmp_path / "out", [])
    assert not (tmp_path / "out").exists()

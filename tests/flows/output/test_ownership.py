"""flows.output.ownership: files of somebody else, on file systems that ignore case."""

import os
from pathlib import Path

import pytest

from flows.errors import OutputError
from flows.output.ledger import Ledger
from flows.output.ownership import check_ownership
from tests.flows.builders import run_record


@pytest.fixture
def ignores_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is found by its name in other letters, too, and is listed as it was written."""

    def exists(address: str) -> bool:
        folder, name = os.path.split(address)
        return name.casefold() in map(str.casefold, os.listdir(folder))

    monkeypatch.setattr("os.path.lexists", exists)


@pytest.mark.usefixtures("ignores_case")
def test_a_file_whose_name_differs_in_case_is_not_overwritten(tmp_path: Path) -> None:
    """`Results.CSV` is the very file that a run would overwrite as `results.csv`, so that the output is refused."""
    (tmp_path / "Results.CSV").write_text("mine")

    with pytest.raises(OutputError, match=r"found results\.csv, which no run wrote here"):
        check_ownership(str(tmp_path))


@pytest.mark.usefixtures("ignores_case")
def test_other_files_do_not_matter_where_case_is_ignored(tmp_path: Path) -> None:
    """A folder with files of other names is accepted, and so is an output of earlier runs."""
    (tmp_path / "pairs.csv").write_text("content,style\n")
    check_ownership(str(tmp_path))

    Ledger(str(tmp_path)).start_run(run_record(), b"content,style\n")
    (tmp_path / "Results.CSV").write_text("of the run before")
    check_ownership(str(tmp_path))

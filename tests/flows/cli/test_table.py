"""flows.cli.table: `nst table`."""

import csv
import io
import json
import os
import sys

import pytest

from flows.cli import ExitCode, app
from flows.cli.table import _padded, _width
from flows.output.failed_rows import FailedRows
from flows.records.columns import RESULT_COLUMNS
from tests.flows.commands import nst, output_of_a_run


@pytest.fixture(autouse=True)
def out() -> str:
    """An output of three rows: cat succeeded, dog failed, and the third was rejected."""
    return output_of_a_run("out", failures=True)


def test_the_table_has_aligned_columns() -> None:
    """The usual columns are aligned, numbers to the right; the number of rows goes to stderr."""
    result = nst("table", "out")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "row  pair_id  status     total_loss  content_loss  style_loss  steps  seconds",
        "  2  cat      succeeded         0.3         1e-07       12346     20     1.25",
        "  3  dog      failed".ljust(74) + "0.5",
        "  4           rejected",
    ]
    assert result.stderr == "3 of 3 rows\n"


def test_rows_are_selected_sorted_and_limited() -> None:
    """A condition, sort orders, columns and a limit work together; a column that is sorted by is shown."""
    result = nst("table", "out", "--where", 'status != "rejected"', "--sort", "status,-seconds", "--sort", "id")
    first = nst("table", "out", "--sort", "-attempts", "--columns", "id,error_kind", "--limit", "1")

    assert [line.split()[1] for line in result.stdout.splitlines()] == ["pair_id", "dog", "cat"]
    assert nst("table", "out", "--sort", "-attempts").stdout.splitlines()[0].split()[-1] == "attempts"
    assert first.stdout == "pair_id  error_kind\ncat\n"
    assert first.stderr == "3 of 3 rows, the first 1 shown\n"


def test_only_a_terminal_gets_the_first_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal shows a limited number of rows; a pipe or file gets all of them."""
    monkeypatch.setattr("flows.cli.table.SHOWN_ROWS", 2)
    piped = nst("table", "out")
    terminal, ours = os.openpty()
    with open(ours, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        app(["table", "out"], standalone_mode=False)
    os.close(terminal)

    assert piped.stderr == "3 of 3 rows\n"
    assert capsys.readouterr().err == "3 of 3 rows, the first 2 shown\n"


def test_csv_has_all_columns() -> None:
    """--csv prints the selected rows with all columns of results.csv, or with those named by --columns."""
    result = nst("table", "out", "--csv", "--where", 'status == "failed"')
    (row,) = csv.DictReader(io.StringIO(result.stdout, newline=""))

    assert list(row) == list(RESULT_COLUMNS)
    assert (row["row"], row["pair_id"], row["seconds"], row["total_loss"]) == ("3", "dog", "0.5", "")
    assert nst("table", "out", "--csv", "--columns", "row,status").stdout.splitlines()[1] == "2,succeeded"


@pytest.mark.parametrize("command", [("table", "--csv"), ("status", "--failed", "--csv")], ids=["table", "status"])
def test_csv_on_a_terminal_has_no_control_characters(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a manifest cannot control the terminal on which CSV is printed; a file gets the cell as it is."""
    cell = "a\x1b]0;mine\x07"
    monkeypatch.setattr("flows.cli.table._csv", lambda *_: f"note\n{cell}\n".encode())
    monkeypatch.setattr(
        "flows.cli.outputs.failed_rows_manifest", lambda _: FailedRows(f"note\n{cell}\n".encode(), 1, ())
    )
    name, *switches = command
    assert nst(name, "out", *switches).stdout == f"note\n{cell}\n"

    terminal, ours = os.openpty()
    with open(ours, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        app([name, "out", *switches], standalone_mode=False)
        shown = os.read(terminal, 1000).decode()
    os.close(terminal)
    assert shown.splitlines() == ["note", r"a\x1b]0;mine\x07"]


def test_json_has_numbers_and_null() -> None:
    """--json prints a list of rows with numbers, and null for an empty cell."""
    rows = json.loads(nst("table", "out", "--json", "--columns", "row,total_loss").stdout)

    assert rows == [{"row": 2, "total_loss": 0.1 + 0.2}, {"row": 3, "total_loss": None}, {"row": 4, "total_loss": None}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "stile_loss > 1"], "--where 'stile_loss > 1': there is no column 'stile_loss'; was 'style_loss' "),
        (["--sort", "-secnds"], "--sort: there is no column 'secnds'; was 'seconds' meant?"),
        (["--columns", "row,eror"], "--columns: there is no column 'eror'; was 'error' meant?"),
    ],
)
def test_an_unknown_column_names_the_nearest_one(arguments: list[str], message: str) -> None:
    """An unknown column ends with exit code 2 and one line that says where it was and what was probably meant."""
    result = nst("table", "out", *arguments)

    assert result.exit_code == ExitCode.UNUSABLE
    assert result.stderr.startswith(f"nst: {message}")
    assert result.stdout == ""


def test_wide_and_combining_letters_are_aligned() -> None:
    """In the width of a cell a Chinese letter counts as two columns, a combining accent as none."""
    assert [_width(_padded(text, 8, is_right=False)) for text in ("\u732b\u732b", "e\u0301", "cat")] == [8, 8, 8]
    assert _padded("\u732b", 4, is_right=True) == "  \u732b"

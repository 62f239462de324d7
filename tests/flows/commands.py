"""Helpers that call the command `nst` in this process, and write manifests and outputs for it."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from flows.cli import app
from flows.output.ledger import Ledger
from tests.flows.builders import FINGERPRINT, attempt_record, commit_with_image, pair_record, run_record

GOOD = "id,content,style\ncat,cat.png,waves.png\ndog,cat.png,waves.png\n"


def nst(*arguments: str, columns: int = 200) -> Result:
    """Run the command and return its result."""
    return CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})


def manifest(text: str = GOOD) -> str:
    """Write a manifest into the working folder and return its name."""
    Path("pairs.csv").write_text(text)
    return "pairs.csv"


def output_of_a_run(output: str, *, failures: bool) -> str:
    """Write an output whose latest run has done cat; dog is pending, or has failed beside a rejected row."""
    text = GOOD + (",,waves.png\n" if failures else "")
    ledger = Ledger(output)
    run = run_record({"cat": FINGERPRINT, "dog": FINGERPRINT}, manifest_uri="/in/pairs.csv")
    ledger.start_run(run, text.encode())
    commit_with_image(ledger.output, pair_record("cat"))
    if failures:
        ledger.add_attempt(attempt_record("dog"))
    return output

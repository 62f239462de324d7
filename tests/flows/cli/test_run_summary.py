"""flows.cli.run: the lines at the end of a run, for people."""

from pathlib import Path

import pytest

from flows.cli.run import _summary_text
from flows.records.runs import RunSummary
from flows.report.at_end import MOST_ROWS


def summary(**changes: object) -> RunSummary:
    counts = {"rows": 4, "succeeded": 4, "failed": 0, "rejected": 0, "pending": 0, "done_before": 4, "stylized_now": 0}
    places = {"manifest": "/m.csv", "output": "/my runs", "results_csv": "/my runs/results.csv", "results_parquet": ""}
    work = {"seconds": 1.0, "seconds_per_pair": None, "device": "cpu", "precision": "fp32", "backbone": "vgg19"}
    return RunSummary.model_validate({"run_id": "r", **counts, **places, **work, **changes})


def test_the_summary_names_images_table_and_page(tmp_path: Path) -> None:
    """The last line says where the images, the table and the page are, as nothing else in the terminal does."""
    (tmp_path / "report.html").touch()

    assert _summary_text(summary(output=str(tmp_path))).splitlines()[1:] == [
        "nothing was left to do",
        f"images in {tmp_path}/images, table in /my runs/results.csv, page in {tmp_path}/report.html",
    ]


def test_a_page_that_is_not_made_is_not_named(tmp_path: Path) -> None:
    """A page that could not be written is not named, nor one by `nst report` of a run with too many rows."""
    assert ", page in" not in _summary_text(summary(output=str(tmp_path)))

    (tmp_path / "report.html").touch()
    assert ", page in" not in _summary_text(summary(output=str(tmp_path), rows=MOST_ROWS + 1))


@pytest.mark.parametrize("kind", ["failed", "rejected"])
def test_rows_without_an_image_are_followed_by_what_to_do(kind: str) -> None:
    """The command that writes the failed and rejected rows as a manifest is given, ready for a shell."""
    assert _summary_text(summary(succeeded=3, **{kind: 1})).splitlines()[-1] == (
        "failed and rejected rows, to be corrected: nst status '/my runs' --failed --csv > again.csv"
    )

"""flows.cli.manifests and flows.cli.outputs: `nst validate` and `nst status`; gc and split are tested elsewhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.cli import ExitCode
from flows.wording import MOST_NAMED
from tests.flows.builders import FINGERPRINT
from tests.flows.commands import GOOD, manifest, nst, output_of_a_run
from tests.flows.fault_proxy import FaultProxy

# ---------------------------------------------------------------- validate


def test_a_good_manifest_is_valid(images: None) -> None:
    """If every row can be stylized, validate prints its counts and the estimate, and ends with exit code 0."""
    result = nst("validate", manifest())

    assert (result.exit_code, result.stdout) == (
        0,
        "pairs.csv: 2 rows are valid and their files exist; 0 cannot be stylized\n"
        "pairs.csv: 2 pairs at up to 64 px: time unknown until a first run on this machine\n",
    )


def test_validate_names_every_problem_by_its_line(images: None) -> None:
    """Rejected rows and missing images are reported in the order of their lines, and the exit code is 3."""
    text = (
        "id,content,style,steps\n"
        "a,gone.png,waves.png,\n"
        "b,cat.png,waves.png,\n"
        "c,cat.png,waves.png,ten\n"
        "d,gone.png,also-gone.png,\n"
    )
    result = nst("validate", manifest(text))
    folder = os.getcwd()

    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stdout.splitlines() == [
        f"pairs.csv line 2: column 'content': there is no file {folder}/gone.png",
        "pairs.csv line 4: column 'steps': expected a whole number, got 'ten'",
        f"pairs.csv line 5: column 'content': there is no file {folder}/gone.png",
        f"pairs.csv line 5: column 'style': there is no file {folder}/also-gone.png",
        "pairs.csv: 1 row is valid and its files exist; 3 cannot be stylized",
        "pairs.csv: 1 pair at up to 64 px: time unknown until a first run on this machine",
    ]


def test_validate_limits_the_number_of_problems(images: None) -> None:
    """However many rows are bad, text and JSON name the first ones and say how many more there are."""
    name = manifest("content,style\n" + "gone.png,waves.png\n" * 500)
    told, machine = nst("validate", name).stdout.splitlines(), json.loads(nst("validate", name, "--json").stdout)

    assert told[0].startswith("pairs.csv line 2: column 'content': there is no file ")
    assert told[MOST_NAMED:] == [
        f"and {500 - MOST_NAMED} more",
        "pairs.csv: 0 rows are valid and their files exist; 500 cannot be stylized",
    ]
    assert (len(machine["problems"]), machine["problems_left"], machine["rows"]) == (MOST_NAMED, 500 - MOST_NAMED, 500)


def test_validate_shows_invisible_characters_of_a_cell(images: None) -> None:
    """Invisible characters of a cell are printed as escapes, and the file that was probably meant is named."""
    result = nst("validate", manifest("id,content,style\nx,\u200bcat.png,waves.png\ny,p/\u202egnp.a,waves.png\n"))
    folder = os.getcwd()

    assert result.stdout.splitlines()[:2] == [
        f"pairs.csv line 2: column 'content': there is no file {folder}/\\u200bcat.png"
        f"; was '{folder}/cat.png' meant, where '\\u200bcat.png' is written?",
        f"pairs.csv line 3: column 'content': there is no file {folder}/p/\\u202egnp.a; there is no folder {folder}/p",
    ]


def test_validate_prints_json(images: None) -> None:
    """--json prints one JSON document with the valid rows, the problems of the others, and the estimate."""
    text = "id,content,style\na,gone.png,waves.png\nb,cat.png,waves.png\n"
    result = nst("validate", manifest(text), "--json")
    folder = os.getcwd()

    assert result.exit_code == ExitCode.SOME_FAILED
    assert json.loads(result.stdout) == {
        "manifest": f"{folder}/pairs.csv",
        "rows": 2,
        "valid": [{"row": 3, "id": "b"}],
        "problems": [{"row": 2, "reason": f"column 'content': there is no file {folder}/gone.png"}],
        "estimate": {
            "pairs": 1,
            "largest_px": 64,
            "seconds_at_least": None,
            "seconds_likely": None,
            "seconds_at_most": None,
            "measured_by_pairs": 0,
            "no_room": [],
        },
    }


def test_validate_can_skip_the_files() -> None:
    """With --no-files a manifest is checked without looking for its images."""
    result = nst("validate", manifest(), "--no-files")

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "pairs.csv: 2 rows are valid; 0 cannot be stylized")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("kind", "make"), [("folder", os.mkdir), ("pipe", os.mkfifo)])
def test_validate_reports_a_folder_or_pipe_as_a_bad_row(images: None, kind: str, make: Callable[[str], None]) -> None:
    """A cell that names a folder or a pipe is a problem of its row; the other rows are checked too."""
    make("album")
    result = nst("validate", manifest("content,style\nalbum,waves.png\ncat.png,waves.png\n"))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'content': {Path.cwd()}/album: expected a file, found a {kind}" in result.stdout
    assert ("nst pairs makes a manifest of the images in it" in result.stdout) == (kind == "folder")
    assert "pairs.csv: 1 row is valid and its files exist; 1 cannot be stylized" in result.stdout


def test_a_folder_given_as_the_manifest_is_told_of_nst_pairs(images: None) -> None:
    """A folder given as the manifest is refused with a hint at `nst pairs`, as its images were probably meant."""
    os.mkdir("album")
    result = nst("validate", "album")

    assert result.exit_code == ExitCode.UNUSABLE
    assert result.stderr == (
        f"nst: no manifest: {Path.cwd()}/album: expected a file, found a folder; nst pairs makes a manifest of folders "
        "of images\n"
    )


def test_validate_changes_nothing(images: None) -> None:
    """Validating a manifest creates no file."""
    name = manifest()
    before = sorted(os.listdir())
    nst("validate", name)

    assert sorted(os.listdir()) == before


def test_validate_reads_s3(s3_bucket: str, images: None) -> None:
    """A manifest on S3 and the images beside it are checked there."""
    storage.create(f"{s3_bucket}/in/pairs.csv", GOOD.encode())
    storage.create(f"{s3_bucket}/in/cat.png", Path("cat.png").read_bytes())
    result = nst("validate", f"{s3_bucket}/in/pairs.csv")

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'style': there is no file {s3_bucket}/in/waves.png" in result.stdout


def test_validate_does_not_call_a_forbidden_image_missing(s3_bucket: str, s3_proxy: FaultProxy, images: None) -> None:
    """An image that this user may not read is reported as denied, not as missing."""
    storage.create(f"{s3_bucket}/in/cat.png", Path("cat.png").read_bytes())
    s3_proxy.rule = lambda _method, path: (403, "AccessDenied") if path.endswith("cat.png") else None
    result = nst("validate", manifest(f"content,style\n{s3_bucket}/in/cat.png,waves.png\n"))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'content': {s3_bucket}/in/cat.png: access denied to s3:Get" in result.stdout
    assert "there is no file" not in result.stdout


# ---------------------------------------------------------------- status


@pytest.mark.parametrize("place", ["local", "s3"])
def test_status_counts_the_rows(place: str, request: pytest.FixtureRequest) -> None:
    """Status counts the rows of an output's latest run from its records; pending rows give exit code 75."""
    output = "out" if place == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    output_of_a_run(storage.absolute(output), failures=False)
    result = nst("status", output)

    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.stdout.splitlines() == [
        "run 20260102T000000Z-000002 of /in/pairs.csv",
        "1 succeeded, 0 failed, 0 rejected, 1 pending",
    ]


def test_status_names_failed_and_rejected_rows() -> None:
    """Failed and rejected rows are reported with their reasons, and the exit code is 3."""
    result = nst("status", output_of_a_run("out", failures=True))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stdout.splitlines()[1:] == [
        "1 succeeded, 1 failed, 1 rejected, 0 pending",
        "line 3 dog: failed (bad_image) /in/cat.png: expected a whole PNG",
        "line 4: rejected (manifest) column 'content': expected a local path or s3://bucket/key, the cell is empty",
    ]


def test_status_prints_json() -> None:
    """--json prints one JSON document with the counts and the failed and rejected rows."""
    result = nst("status", output_of_a_run("out", failures=True), "--json")
    found = json.loads(result.stdout)

    assert result.exit_code == ExitCode.SOME_FAILED
    assert [found[name] for name in ("succeeded", "failed", "rejected", "pending")] == [1, 1, 1, 0]
    assert found["run_id"] == "20260102T000000Z-000002"
    assert [(problem["row"], problem["status"], problem["error_kind"]) for problem in found["problems"]] == [
        (3, "failed", "bad_image"),
        (4, "rejected", "manifest"),
    ]


def test_status_of_a_damaged_ledger_says_which_file() -> None:
    """A record that was cut short, as by a full disk, is named on stderr and gives an exit code other than 0."""
    output_of_a_run("out", failures=False)
    Path(f"out/_nst/records/cat-{FINGERPRINT}.json").write_text('{"pair_id": "cat", "fing')
    result = nst("status", "out")

    assert result.stderr.startswith("nst: ")
    assert f"cat-{FINGERPRINT}.json" in result.stderr
    assert result.exit_code in set(ExitCode) - {ExitCode.OK}


def test_status_changes_nothing() -> None:
    """Status creates, changes and removes no file of the output."""
    output_of_a_run("out", failures=True)
    files = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    nst("status", "out")

    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == files


def test_status_prints_failed_rows_as_a_manifest() -> None:
    """--failed --csv prints a manifest to correct and run again, with exit code 0 and the count on stderr."""
    result = nst("status", output_of_a_run("out", failures=True), "--failed", "--csv")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "id,content,style,size_px,steps,row,status,error_kind,error",
        "dog,/in/cat.png,/in/waves.png,64,20,3,failed,bad_image,/in/cat.png: expected a whole PNG",
        ",,/in/waves.png,64,20,4,rejected,manifest,"
        "\"column 'content': expected a local path or s3://bucket/key, the cell is empty\"",
    ]
    assert result.stderr == "2 rows to correct or to run again\n"
    Path("again.csv").write_text(result.stdout)
    checked = nst("validate", "again.csv", "--no-files").stdout
    assert "1 row is valid; 1 cannot be stylized" in checked


def test_status_failed_names_every_failed_row() -> None:
    """--failed prints the failed and rejected rows without the counts; --csv needs it, and excludes --json."""
    result = nst("status", output_of_a_run("out", failures=True), "--failed")

    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["line 3 dog", "line 4"]
    assert nst("status", "out", "--csv").exit_code == ExitCode.UNUSABLE
    assert nst("status", "out", "--csv", "--failed", "--json").exit_code == ExitCode.UNUSABLE

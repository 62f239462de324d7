"""flows.cli.manifests and flows.cli.outputs: validate and status; gc and split are tried with what they carry out."""

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


def test_a_good_manifest_is_valid(pictures: None) -> None:
    """Every row can be stylized: exit code 0 and one line."""
    result = nst("validate", manifest())

    assert (result.exit_code, result.stdout) == (
        0,
        "pairs.csv: 2 rows are valid and their files exist; 0 cannot be stylized\n"
        "pairs.csv: 2 pairs at up to 64 px: time unknown until a first run on this machine\n",
    )


def test_validate_names_every_problem_by_its_line(pictures: None) -> None:
    """Rejected rows and missing pictures are told in the order of their lines, and the exit code is 3."""
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
        "pairs.csv: 1 rows are valid and their files exist; 3 cannot be stylized",
        "pairs.csv: 1 pair at up to 64 px: time unknown until a first run on this machine",
    ]


def test_validate_names_dozens_and_counts_the_rest(pictures: None) -> None:
    """However many rows are bad, the text and the JSON name the first, and say how many more there are."""
    name = manifest("content,style\n" + "gone.png,waves.png\n" * 500)
    told, machine = nst("validate", name).stdout.splitlines(), json.loads(nst("validate", name, "--json").stdout)

    assert told[0].startswith("pairs.csv line 2: column 'content': there is no file ")
    assert told[MOST_NAMED:] == [
        f"and {500 - MOST_NAMED} more",
        "pairs.csv: 0 rows are valid and their files exist; 500 cannot be stylized",
    ]
    assert (len(machine["problems"]), machine["problems_left"], machine["rows"]) == (MOST_NAMED, 500 - MOST_NAMED, 500)


def test_validate_shows_what_a_cell_hides_and_which_file_was_meant(pictures: None) -> None:
    """A letter that is not seen, or turns the line, stands there as an escape."""
    result = nst("validate", manifest("id,content,style\nx,\u200bcat.png,waves.png\ny,p/\u202egnp.a,waves.png\n"))
    folder = os.getcwd()

    assert result.stdout.splitlines()[:2] == [
        f"pairs.csv line 2: column 'content': there is no file {folder}/\\u200bcat.png"
        f"; was '{folder}/cat.png' meant, where '\\u200bcat.png' is written?",
        f"pairs.csv line 3: column 'content': there is no file {folder}/p/\\u202egnp.a",
    ]


def test_validate_prints_json_for_machines(pictures: None) -> None:
    """--json is one JSON document with the valid rows and the problems of the others."""
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


def test_validate_can_leave_the_files_alone() -> None:
    """With --no-files a manifest is checked where its pictures are not."""
    result = nst("validate", manifest(), "--no-files")

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "pairs.csv: 2 rows are valid; 0 cannot be stylized")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("kind", "make"), [("folder", os.mkdir), ("pipe", os.mkfifo)])
def test_validate_goes_on_past_what_is_no_file(pictures: None, kind: str, make: Callable[[str], None]) -> None:
    """A cell that names a folder or a pipe is a problem of its row; the other rows are judged all the same."""
    make("album")
    result = nst("validate", manifest("content,style\nalbum,waves.png\ncat.png,waves.png\n"))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'content': {Path.cwd()}/album: expected a file, found a {kind}" in result.stdout
    assert "pairs.csv: 1 rows are valid and their files exist; 1 cannot be stylized" in result.stdout


def test_a_folder_in_place_of_a_manifest_is_told_of_pairs(pictures: None) -> None:
    """Whoever names one wants its pictures stylized."""
    os.mkdir("album")
    result = nst("validate", "album")

    assert result.exit_code == ExitCode.UNUSABLE
    assert result.stderr == (
        f"nst: no manifest: {Path.cwd()}/album: expected a file, found a folder; nst pairs makes a manifest of folders "
        "of pictures\n"
    )


def test_validate_changes_nothing(pictures: None) -> None:
    """Checking a manifest makes no file."""
    name = manifest()
    before = sorted(os.listdir())
    nst("validate", name)

    assert sorted(os.listdir()) == before


def test_validate_reads_s3(s3_bucket: str, pictures: None) -> None:
    """A manifest on S3 and the pictures beside it are checked there."""
    storage.create(f"{s3_bucket}/in/pairs.csv", GOOD.encode())
    storage.create(f"{s3_bucket}/in/cat.png", Path("cat.png").read_bytes())
    result = nst("validate", f"{s3_bucket}/in/pairs.csv")

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'style': there is no file {s3_bucket}/in/waves.png" in result.stdout


def test_validate_says_why_a_file_that_is_there_cannot_be_read(
    s3_bucket: str, s3_proxy: FaultProxy, pictures: None
) -> None:
    """A picture that this user may not read is not called missing."""
    storage.create(f"{s3_bucket}/in/cat.png", Path("cat.png").read_bytes())
    s3_proxy.rule = lambda _method, path: (403, "AccessDenied") if path.endswith("cat.png") else None
    result = nst("validate", manifest(f"content,style\n{s3_bucket}/in/cat.png,waves.png\n"))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert f"pairs.csv line 2: column 'content': {s3_bucket}/in/cat.png: access denied to s3:Get" in result.stdout
    assert "there is no file" not in result.stdout


# ---------------------------------------------------------------- status


@pytest.mark.parametrize("place", ["local", "s3"])
def test_status_counts_the_rows(place: str, request: pytest.FixtureRequest) -> None:
    """The state of an output's latest run, from its records alone; rows are pending, so exit code 75."""
    output = "out" if place == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    output_of_a_run(storage.absolute(output), failures=False)
    result = nst("status", output)

    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.stdout.splitlines() == [
        "run 20260102T000000Z-000002 of /in/pairs.csv",
        "1 succeeded, 0 failed, 0 rejected, 1 pending",
    ]


def test_status_names_what_failed() -> None:
    """Failed and rejected rows are told with their reasons, and the exit code is 3."""
    result = nst("status", output_of_a_run("out", failures=True))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stdout.splitlines()[1:] == [
        "1 succeeded, 1 failed, 1 rejected, 0 pending",
        "line 3 dog: failed (bad_image) /in/cat.png: expected a whole PNG",
        "line 4: rejected (manifest) column 'content': expected a local path or s3://bucket/key, the cell is empty",
    ]


def test_status_prints_json_for_machines() -> None:
    """--json is one JSON document with the counts and the rows in trouble."""
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
    """A record that was cut short, as by a full disk, is named in one line instead of a traceback."""
    output_of_a_run("out", failures=False)
    Path(f"out/_nst/records/cat-{FINGERPRINT}.json").write_text('{"pair_id": "cat", "fing')
    result = nst("status", "out")

    assert result.stderr.startswith("nst: ")
    assert f"cat-{FINGERPRINT}.json" in result.stderr
    assert result.exit_code in set(ExitCode) - {ExitCode.OK}


def test_status_changes_nothing() -> None:
    """Looking at an output makes, changes and removes no file."""
    output_of_a_run("out", failures=True)
    files = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    nst("status", "out")

    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == files


def test_status_prints_the_rows_in_trouble_as_a_manifest() -> None:
    """--failed --csv goes to a file that can be put right and run: exit code 0, and the count on stderr."""
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
    assert "1 rows are valid; 1 cannot be stylized" in checked


def test_status_of_the_failed_names_all_of_them() -> None:
    """--failed leaves the counts out and none of the rows."""
    result = nst("status", output_of_a_run("out", failures=True), "--failed")

    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["line 3 dog", "line 4"]
    assert nst("status", "out", "--csv").exit_code == ExitCode.UNUSABLE
    assert nst("status", "out", "--csv", "--failed", "--json").exit_code == ExitCode.UNUSABLE

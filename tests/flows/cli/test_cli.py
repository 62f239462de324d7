"""flows.cli.run: the command without a run: validate, status, wrong arguments, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import FINGERPRINT, Painter, attempt_record, commit_with_image, pair_record, run_record
from click.testing import Result
from typer.testing import CliRunner

from flows import storage
from flows.cli.run import ExitCode, app
from flows.output.ledger import Ledger
from flows.settings import RunSettings
from nst_core import __version__
from nst_core.options import StylizeOptions

GOOD = "id,content,style\ncat,cat.png,waves.png\ndog,cat.png,waves.png\n"
HEAVY = ("torch", "torchvision", "prefect", "pandas", "pyarrow", "s3fs", "boto3")
"""What takes a second or more to import."""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def nst(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def manifest(text: str = GOOD) -> str:
    Path("pairs.csv").write_text(text)
    return "pairs.csv"


@pytest.fixture
def pictures(photo: Painter, style: Painter) -> None:
    """The pictures that GOOD names."""
    photo("cat.png")
    style("waves.png")


# ---------------------------------------------------------------- the command itself


def test_the_version_is_printed() -> None:
    """--version prints the version alone and succeeds."""
    result = nst("--version")

    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


def test_no_arguments_show_the_help() -> None:
    """Without a command there is nothing to do: the help, and the code of an unusable command."""
    result = nst()

    assert result.exit_code == ExitCode.UNUSABLE
    for command in ("run", "retry", "validate", "status", "gc"):
        assert f"\n  {command} " in result.output


@pytest.mark.parametrize(
    ("command", "models"),
    [("run", (StylizeOptions, RunSettings)), ("retry", (StylizeOptions, RunSettings)), ("validate", (StylizeOptions,))],
)
def test_the_help_lists_every_option(command: str, models: Sequence[type[StylizeOptions | RunSettings]]) -> None:
    """The help of a command has an option for every field of the models that it takes, and for no other."""
    result = nst(command, "--help")
    listed = {word for line in result.output.splitlines() for word in line.split()[:2] if word.startswith("--")}
    flags = {f"--{name.replace('_', '-')}" for model in (StylizeOptions, RunSettings) for name in model.model_fields}
    wanted = {f"--{name.replace('_', '-')}" for model in models for name in model.model_fields}

    assert result.exit_code == 0
    assert listed & flags == wanted


def test_the_exit_codes_are_the_documented_ones() -> None:
    """Scripts and schedulers rely on these numbers."""
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "UNUSABLE": 2,
        "SOME_FAILED": 3,
        "NOTHING_DONE": 4,
        "INTERRUPTED": 75,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument 'manifest'"),
        (["status"], "Missing argument 'output'"),
        (["run", "pairs.csv", "--frobnicate"], "No such option: --frobnicate"),
        (["run", "pairs.csv", "--size-px", "8"], "--size-px: expected a number greater than or equal to 16, got '8'"),
        (["run", "pairs.csv", "--steps", "many"], "--steps: expected a whole number, got 'many'"),
        (["run", "pairs.csv", "--recipe", "gaty"], "--recipe: expected one of relative, gatys"),
        (["run", "pairs.csv", "--device", "tpu"], "--device"),
        (["run", "pairs.csv", "--limit", "0"], "--limit"),
        (["run", "pairs.csv", "--content-weight", "0", "--style-weight", "0"], "nothing to optimise"),
        (["run", "pairs.csv", "--only", "cow"], "no valid row has the id 'cow'"),
        (["run", "pairs.csv", "--device", "cuda:77"], "no device 'cuda:77'"),
        (["run", "none.csv"], "none.csv: no such file"),
        (["validate", "none.csv"], "none.csv: no such file"),
        (["status", "nowhere"], "nowhere: no run has been made into this output"),
        (["retry", "nowhere"], "nowhere: no run has been made into this output"),
    ],
)
def test_an_unusable_command_says_why(arguments: list[str], message: str) -> None:
    """Wrong arguments end with exit code 2 and a message on stderr, before Prefect starts or a file is made."""
    manifest()
    result = nst(*arguments)

    assert result.exit_code == ExitCode.UNUSABLE
    assert message in result.stderr
    assert result.stdout == ""
    assert os.listdir() == ["pairs.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found an empty file"),
        ("content,style\n", "expected rows under the header"),
        ("content,stile\na,b\n", "'stile' looks like 'style'"),
        ("content;style\na;b\n", "expected commas"),
        ("content,style,n_steps\na,b,3\n", "looks like 'steps'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "validate"])
def test_an_unusable_manifest_says_why(command: str, text: str, message: str) -> None:
    """A manifest that cannot be used as a whole ends with exit code 2, and the message names the file."""
    result = nst(command, manifest(text))

    assert result.exit_code == ExitCode.UNUSABLE
    assert result.stderr.startswith("nst: pairs.csv")
    assert message in result.stderr


def test_a_manifest_that_is_too_large_is_unusable() -> None:
    """A file of more than 100 MB is refused by its size, as any other manifest that cannot be used."""
    Path("large.csv").touch()
    os.truncate("large.csv", 100_000_001)
    result = nst("validate", "large.csv")

    assert "large.csv: expected at most 100" in result.stderr
    assert result.exit_code == ExitCode.UNUSABLE


def test_a_folder_is_no_manifest() -> None:
    """A folder in place of the manifest is an unusable command, not a trouble of the storage."""
    os.mkdir("folder")
    result = nst("validate", "folder")

    assert "folder" in result.stderr
    assert result.exit_code == ExitCode.UNUSABLE


def test_weights_that_are_not_there_stop_the_command() -> None:
    """Without its weights nothing can be done: exit code 4 before Prefect starts."""
    result = nst("run", manifest(), "--weights", "none.bin")

    assert result.exit_code == ExitCode.NOTHING_DONE
    assert "none.bin" in result.stderr
    assert os.listdir() == ["pairs.csv"]


def test_a_storage_that_does_not_answer_stops_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """An output on a server that is gone ends with exit code 4 and one line that names it."""
    from flows.storage import s3

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NST_OBJECT_SECONDS", "2")
    s3._filesystem.cache_clear()
    result = nst("status", "s3://bucket/out")
    s3._filesystem.cache_clear()

    assert result.exit_code == ExitCode.NOTHING_DONE
    assert result.stderr.startswith("nst: s3://bucket/out/")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_says_that_the_run_can_go_on() -> None:
    """SIGINT ends a command with exit code 75 and a line that says what to do, not with a traceback."""
    os.mkfifo("pipe.csv")
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "from flows.cli.run import main\n"
        "sys.argv[1:] = ['validate', 'pipe.csv']\n"
        "main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    with open("pipe.csv", "wb", buffering=0):  # goes on once the command has opened it, and waits for what we write
        for _ in range(10):
            process.send_signal(signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=3)
                break
            except subprocess.TimeoutExpired:  # it came in the moment before the command began to wait
                continue

    assert process.returncode == ExitCode.INTERRUPTED
    assert errors == "interrupted: what is finished is kept; run the same command again to go on\n"


# ---------------------------------------------------------------- validate


def test_a_good_manifest_is_valid(pictures: None) -> None:
    """Every row can be stylized: exit code 0 and one line."""
    result = nst("validate", manifest())

    assert (result.exit_code, result.stdout) == (0, "pairs.csv: 2 rows in order, files there; 0 cannot be stylized\n")


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
        "pairs.csv: 1 rows in order, files there; 3 cannot be stylized",
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
    }


def test_validate_can_leave_the_files_alone() -> None:
    """With --no-files a manifest is checked where its pictures are not."""
    result = nst("validate", manifest(), "--no-files")

    assert (result.exit_code, result.stdout) == (0, "pairs.csv: 2 rows in order; 0 cannot be stylized\n")


def test_validate_goes_on_past_a_folder(pictures: None) -> None:
    """A cell that names a folder is a problem of its row; the other rows are judged all the same."""
    os.mkdir("album")
    result = nst("validate", manifest("content,style\nalbum,waves.png\ncat.png,waves.png\n"))

    assert result.exit_code == ExitCode.SOME_FAILED
    assert "pairs.csv line 2: column 'content'" in result.stdout
    assert "pairs.csv: 1 rows in order, files there; 1 cannot be stylized" in result.stdout


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


# ---------------------------------------------------------------- status


def output_of_a_run(output: str, *, failures: bool) -> str:
    """An output whose latest run has done cat; dog is pending, or failed beside a rejected row."""
    text = GOOD + (",,waves.png\n" if failures else "")
    ledger = Ledger(output)
    run = run_record({"cat": FINGERPRINT, "dog": FINGERPRINT}, manifest_uri="/in/pairs.csv")
    ledger.start_run(run, text.encode())
    commit_with_image(ledger.output, pair_record("cat"))
    if failures:
        ledger.add_attempt(attempt_record("dog"))
    return output


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


# ---------------------------------------------------------------- what is imported


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["validate", "pairs.csv"], ["status", "out"], ["run", "pairs.csv", "--steps", "x"]],
    ids=" ".join,
)
def test_quick_commands_import_nothing_slow(pictures: None, arguments: list[str]) -> None:
    """Help, validate, status and a wrong option do without torch, Prefect, pandas and the S3 libraries."""
    manifest()
    output_of_a_run("out", failures=True)
    code = (
        "import sys\n"
        "from flows.cli.run import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode in (0, 2, 3)
    assert done.stderr.splitlines()[-1] == "[]"

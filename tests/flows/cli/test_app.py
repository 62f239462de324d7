"""flows.cli: what all commands share: help, wrong arguments, exit codes, standard streams, and what they import."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import typer

from flows.cli import ExitCode, app
from flows.cli.app import exit_codes, output_of
from flows.cli.options import THEMES
from flows.cli.run import _shortest
from flows.errors import DeviceUnusable, ResultsNotKept
from flows.output import lease
from flows.settings import RunSettings
from nst_core import __version__
from nst_core.options import StylizeOptions
from tests.flows.commands import manifest, nst, output_of_a_run

QUICKSTART = Path(__file__).parents[3] / "manifests" / "quickstart.csv"

HEAVY = ("torch", "torchvision", "prefect", "pandas", "pyarrow", "s3fs", "boto3", "rich")
"""The modules that take a second or more to import, and rich."""


# ---------------------------------------------------------------- the command itself


def test_the_version_is_printed() -> None:
    """--version prints the version alone and succeeds."""
    result = nst("--version")

    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize("command", [(), ("run",), ("status",)])
def test_h_is_short_for_help(command: tuple[str, ...]) -> None:
    """`-h` prints what `--help` prints, for `nst` and for each of its commands."""
    result = nst(*command, "-h")

    assert (result.exit_code, result.stdout) == (0, nst(*command, "--help").stdout)


def test_no_arguments_show_the_help() -> None:
    """Without a command, `nst` prints the help and ends with the exit code of an unusable command."""
    result = nst()

    assert result.exit_code == ExitCode.UNUSABLE
    for command in ("run", "retry", "validate", "status", "gc"):
        assert f"\n  {command} " in result.output


@pytest.mark.parametrize(
    ("command", "models"),
    [("run", (StylizeOptions, RunSettings)), ("retry", (StylizeOptions, RunSettings)), ("validate", (StylizeOptions,))],
)
def test_the_help_lists_every_option(command: str, models: Sequence[type[StylizeOptions | RunSettings]]) -> None:
    """The help of a command has an option for every field of the models that it takes, and for no other field."""
    result = nst(command, "--help")
    listed = {word for line in result.output.splitlines() for word in line.split()[:2] if word.startswith("--")}
    flags = {f"--{name.replace('_', '-')}" for model in (StylizeOptions, RunSettings) for name in model.model_fields}
    wanted = {f"--{name.replace('_', '-')}" for model in models for name in model.model_fields}

    assert result.exit_code == 0
    assert listed & flags == wanted


COMMANDS = [str(one.callback.__name__) for one in app.registered_commands if one.callback]
LONG = ("ladder", "run", "retry", "submit", "validate")


def sections(*arguments: str) -> dict[str, list[str]]:
    """Return the sections of a help, each with the options and arguments that it lists."""
    found: dict[str, list[str]] = {}
    for line in nst(*arguments, "--help").stdout.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line.removesuffix(":")] = []
        elif found and line.startswith("  ") and line[2] != " ":
            found[list(found)[-1]].append(re.sub(r"^ +-\w, ", "", line).split()[0])
    return found


@pytest.mark.parametrize("command", LONG)
def test_a_long_help_has_a_section_per_theme(command: str) -> None:
    """A help of many options has one section per theme, in a fixed order; options without a theme come last."""
    found = sections(command)
    titles = list(found)

    assert titles == [title for title in ("Arguments", *THEMES, "Options") if title in found]
    assert {"Images", "Objective", "Stopping", "Output"} <= set(found)
    assert {"--size-px", "--steps", "--json"} <= {*found["Images"], *found["Stopping"], *found["Output"]}
    assert found["Options"][-1] == "--help"


def test_the_help_of_run_has_all_themes() -> None:
    """The help of `nst run` has every theme, and its options that are not about the image have themes too."""
    found = sections("run")

    assert list(found) == ["Arguments", *THEMES, "Options"]
    assert found["Selection"] == ["--only", "--limit", "--max-attempts"]
    assert found["Output"][:4] == ["--output", "--quiet", "--json-lines", "--json"]
    assert found["Options"] == ["--help"]


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(LONG)))
def test_a_short_help_has_one_list(command: str) -> None:
    """The help of a command with few options has no sections for themes."""
    assert set(sections(command)) <= {"Arguments", "Options"}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_fits_the_terminal(command: str, columns: int) -> None:
    """No line is wider than the terminal, no name is cut short, and no value is named by its Python type."""
    text = nst(*command.split(), "--help", columns=columns).stdout

    assert max(map(len, text.splitlines())) <= columns
    assert not re.search(r"<(str|int|float|path|list)|range>|…|\w\.\.\.$", text.partition("\n")[2], re.MULTILINE)
    flags = {word for words in sections(*command.split()).values() for word in words}
    assert flags <= set(re.split(r"\s+", text))


def test_an_unusable_device_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An unusable device ends a command with exit code 4; stderr says which device, what is wrong and what to do."""
    with pytest.raises(typer.Exit) as caught, exit_codes():
        raise DeviceUnusable("cuda:0 cannot be used: it is taken. Wait")

    assert caught.value.exit_code == ExitCode.NOTHING_DONE
    assert capsys.readouterr().err == "nst: cuda:0 cannot be used: it is taken. Wait\n"


def test_results_that_cannot_be_written_give_exit_code_75(capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose results cannot be written ends with exit code 75, as any run with pending rows, and says why."""
    with pytest.raises(typer.Exit) as caught, exit_codes():
        raise ResultsNotKept("the run was stopped, as the disk is full")

    assert caught.value.exit_code == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "nst: the run was stopped, as the disk is full\n"


def test_the_exit_codes_are_the_documented_ones() -> None:
    """The exit codes keep their documented numbers, because scripts and schedulers rely on them."""
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
        (["run", "pairs.csv", "--recipe", "gaty"], "--recipe: expected one of relative, moments"),
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
    """Wrong arguments end with exit code 2 and a message on stderr, before any file is created."""
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
        ("content|style\na|b\n", "expected commas"),
        ("content,style,n_steps\na,b,3\n", "looks like 'steps'"),
    ],
)
@pytest.mark.parametrize("command", ["run", "validate"])
def test_an_unusable_manifest_says_why(command: str, text: str, message: str) -> None:
    """A manifest that cannot be used at all ends the command with exit code 2; the message names the file."""
    result = nst(command, manifest(text))

    assert result.exit_code == ExitCode.UNUSABLE
    assert result.stderr.startswith("nst: pairs.csv")
    assert message in result.stderr


def test_a_files_name_cannot_control_the_terminal() -> None:
    """An error that names a file shows escape sequences and line ends in the name as text, on one line."""
    name = "a\x1b]0;mine\x07\nnst: done.csv"
    Path(name).write_text("")
    result = nst("validate", name)

    assert result.stderr.startswith(r"nst: a\x1b]0;mine\x07\nnst: done.csv: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("output", "manifest_address", "address"),
    [
        (None, "/in/pairs.csv", "runs/pairs"),
        (None, "s3://bucket/in/spring.2.csv", "runs/spring.2"),
        (None, "/in/pairs", "runs/pairs"),
        ("out", "/in/pairs.csv", "out"),
    ],
)
def test_an_output_is_named_after_its_manifest(output: str | None, manifest_address: str, address: str) -> None:
    """Without --output, the output is ./runs/NAME, after the manifest; a given --output is made absolute."""
    assert output_of(output, manifest_address) == os.path.abspath(address)


def test_a_manifest_that_is_too_large_is_unusable() -> None:
    """A manifest of more than 100 MB is refused because of its size, with exit code 2."""
    Path("large.csv").touch()
    os.truncate("large.csv", 100_000_001)
    result = nst("validate", "large.csv")

    assert "large.csv: expected at most 100" in result.stderr
    assert result.exit_code == ExitCode.UNUSABLE


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("kind", "make"), [("folder", os.mkdir), ("pipe", os.mkfifo)])
def test_a_manifest_must_be_a_file(kind: str, make: Callable[[str], None]) -> None:
    """A folder or a pipe given as the manifest ends the command with exit code 2, not with that of a storage error."""
    make("pairs")
    result = nst("validate", "pairs")

    assert f"pairs: expected a file, found a {kind}" in result.stderr
    assert result.exit_code == ExitCode.UNUSABLE


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --debug the traceback is printed first; the last line and the exit code stay the same."""
    monkeypatch.setenv("NST_DEBUG", "")
    plain = nst("validate", "none.csv")
    shown = nst("validate", "none.csv", "--debug")

    assert "Traceback" not in plain.output
    assert "Traceback" in shown.output
    assert shown.output.splitlines()[-1] == plain.output.splitlines()[-1]
    assert shown.exit_code == plain.exit_code


def test_missing_weights_stop_the_command() -> None:
    """A missing weights file ends the command with exit code 4 before any file is created."""
    result = nst("run", manifest(), "--weights", "none.bin")

    assert result.exit_code == ExitCode.NOTHING_DONE
    assert "none.bin" in result.stderr
    assert os.listdir() == ["pairs.csv"]


def test_a_storage_that_does_not_answer_stops_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """An output on an S3 server that does not answer ends the command with exit code 4 and one line that names it."""
    from flows.storage import s3

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NST_OBJECT_SECONDS", "2")
    s3.requests.filesystem.cache_clear()
    result = nst("status", "s3://bucket/out")
    s3.requests.filesystem.cache_clear()

    assert result.exit_code == ExitCode.NOTHING_DONE
    assert result.stderr.startswith("nst: s3://bucket/out/")
    assert result.stderr.count("\n") == 1


def test_a_lack_of_threads_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the command says so in one line; no other RuntimeError is taken for that."""

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    Path("a.png").touch()
    name = manifest("content,style\na.png,a.png\nb.png,a.png\n")
    monkeypatch.setattr(threading.Thread, "start", refused)
    result = nst("validate", name)

    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert result.stderr == (
        "nst: no thread could be started: this machine, or its container, has no more of them to give (ulimit -u, pids "
        "limit); run the same command again to continue\n"
    )
    with pytest.raises(RuntimeError, match="another"), exit_codes():
        raise RuntimeError("another")


def test_a_removed_working_folder_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a removed working folder relative paths end with one line and exit code 4; absolute paths still work."""
    folder = tmp_path / "soon gone"
    folder.mkdir()
    kept = tmp_path / "kept.csv"
    kept.write_text("content,style\n/none/a.png,/none/b.png\n")
    monkeypatch.chdir(folder)
    folder.rmdir()
    gone = [nst("validate", "pairs.csv"), nst("validate", "-")]
    full = nst("validate", str(kept), "--no-files")

    for result in gone:
        assert result.exit_code == ExitCode.NOTHING_DONE, result.output
        assert result.stderr == ("nst: the working folder is gone: cd into one that is there, or give absolute paths\n")
    assert full.exit_code == 0, full.output
    assert _shortest(tmp_path) == str(tmp_path)


def test_ctrl_c_says_how_to_continue_the_run() -> None:
    """SIGINT ends a command with exit code 75 and a line that says what to do, without a traceback."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored if the tests run in the background
        "from flows.cli import main\n"
        "main()\n"
    )
    arguments = ["run", str(QUICKSTART), "--backbone", "stub", "-o", "out", "--wait-for-output-seconds", "100"]
    with lease.held(os.path.abspath("out")):  # so that the command waits
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "waiting for it to end" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    # A line that was being written when the signal came may be printed twice.
    assert errors.splitlines()[-1] == "interrupted: what is finished is kept; run the same command again to go on"


# ---------------------------------------------------------------- stdout and stderr that are closed or full


def nst_process(*arguments: str, stdout: int, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a shell starts it."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True, check=False, timeout=60)


FORKED = """
import os, sys
from flows.cli import main
codes = []
for arguments in {commands!r}:
    child = os.fork()
    if child == 0:
        sys.argv[1:] = arguments
        try:
            main()
        finally:
            {at_end}
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*codes, file=sys.stderr)
"""


def nst_children(
    commands: Sequence[list[str]], *, stdout: int = subprocess.DEVNULL, at_end: str = "pass"
) -> tuple[list[int], str]:
    """Run commands in child processes of a process that has imported our modules, which saves a second per command.

    Args:
        commands: the arguments of each command.
        stdout: their standard output.
        at_end: code that each child runs after its command.

    Returns:
        Their exit codes, and what they printed on stderr.
    """
    code = FORKED.format(commands=commands, at_end=at_end)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, check=True, timeout=60
    )
    *errors, codes = done.stderr.splitlines(keepends=True)
    return [int(one) for one in codes.split()], "".join(errors)


@pytest.fixture
def unread() -> Iterator[int]:
    """The writing end of a pipe whose reader has closed it."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_closed_stdout_does_not_change_the_exit_code(unread: int) -> None:
    """A command whose stdout has no reader still ends with its own exit code, and prints nothing on stderr."""
    manifest()
    output_of_a_run("out", failures=True)
    commands = (
        ["validate", "pairs.csv", "--no-files"],
        ["validate", "pairs.csv"],
        ["status", "out", "--json"],
        ["run", "--help"],
    )

    expected = [ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.SOME_FAILED, ExitCode.OK]
    assert nst_children(commands, stdout=unread) == (expected, "")


def test_a_pipe_into_head_keeps_the_exit_code() -> None:
    """`nst ... | head -1` shows the first line; the pipeline's exit code is that of the command."""
    name = manifest("content,style\n" + ",s\n" * 1_000)
    script = f"set -o pipefail; {sys.executable} -m flows.cli validate {name} | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == ExitCode.SOME_FAILED
    assert done.stdout.startswith("pairs.csv line 2: ")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_closed_stderr_does_not_change_the_exit_code(unread: int) -> None:
    """A command whose stdout and stderr have no reader still ends with its own exit code."""
    assert nst_process("status", "nowhere", stdout=unread, stderr=unread).returncode == ExitCode.UNUSABLE


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_a_stdout_on_a_full_disk_is_an_error() -> None:
    """If stdout is a full disk, the command ends with exit code 4 and one line, because its result is incomplete."""
    manifest()
    with open("/dev/full", "w") as full:
        done = nst_process("validate", "pairs.csv", "--no-files", stdout=full.fileno())

    assert (done.returncode, done.stderr) == (ExitCode.NOTHING_DONE, "nst: stdout: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_a_full_stderr_does_not_change_the_exit_code(unread: int) -> None:
    """A command whose stderr is a full disk, which cannot be reported anywhere, keeps its own exit code."""
    with open("/dev/full", "w") as full:
        done = nst_process("status", "nowhere", stdout=unread, stderr=full.fileno())

    assert done.returncode == ExitCode.UNUSABLE


# ---------------------------------------------------------------- imports


QUICK = (
    ["--version"],
    ["--help"],
    ["run", "--help"],
    ["validate", "pairs.csv"],
    ["status", "out"],
    ["status", "out", "--failed", "--csv"],
    ["table", "out", "--where", "style_loss > 0"],
    ["export", "out", "out"],
    ["run", "pairs.csv", "--steps", "x"],
)


def test_quick_commands_import_nothing_slow(images: None) -> None:
    """Help, validate, status, table, export and wrong options import no torch, Prefect, pandas or S3 library."""
    manifest()
    output_of_a_run("out", failures=True)
    code = f'print("imported by", *arguments, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)'
    codes, errors = nst_children(QUICK, at_end=code)

    assert [line for line in errors.splitlines() if line.startswith("imported by ")] == [
        f"imported by {' '.join(arguments)} []" for arguments in QUICK
    ]
    assert codes == [0, 0, 0, 0, 3, 0, 0, 2, 2]

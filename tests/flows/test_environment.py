"""flows.environment: the environment variables of Prefect and of proxies that are set before Prefect is imported."""

import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flows.environment import (
    DEFAULTS,
    STATE_FOLDER,
    keep_prefect_state_in_sight,
    refuse_windows,
    show_own_lines,
    user_folder,
)


def environment_after(code: str, **variables: str) -> dict[str, str]:
    """Return the environment of a new interpreter after it has run some code."""
    clean = {name: value for name, value in os.environ.items() if name not in DEFAULTS}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, os\nprint(json.dumps(dict(os.environ)))"],
        env=clean | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture
def no_prefect_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folder is named for Prefect's state, and the working folder is empty."""
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.setenv(name, "restored afterwards")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_importing_the_package_turns_telemetry_off() -> None:
    """Importing any part of the flow sets the defaults, among them no telemetry, before Prefect can read them."""
    found = environment_after("import flows.records")

    assert {name: found[name] for name in DEFAULTS} == DEFAULTS
    assert (found["DO_NOT_TRACK"], found["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("1", "false")


def test_values_of_the_user_are_kept() -> None:
    """A default never replaces a value that the user has set, not even an empty one."""
    chosen = {"PREFECT_LOGGING_LEVEL": "DEBUG", "DO_NOT_TRACK": ""}
    found = environment_after("import flows", **chosen)

    assert {name: found[name] for name in DEFAULTS} == DEFAULTS | chosen


def test_the_engine_alone_sets_nothing() -> None:
    """Importing nst_core alone, as a library, does not change the environment."""
    assert not set(DEFAULTS) & set(environment_after("import nst_core.options"))


def test_prefect_s_state_is_below_the_working_folder(no_prefect_home: None, tmp_path: Path) -> None:
    """Prefect's state goes into a private folder below the working folder, created with its parents."""
    home = keep_prefect_state_in_sight()

    assert home == tmp_path.resolve() / STATE_FOLDER
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert home.is_dir()
    assert os.environ["PREFECT_HOME"] == str(home)


@pytest.mark.parametrize("name", ["PREFECT_HOME", "PREFECT_API_URL"])
def test_a_named_home_or_server_is_kept(
    no_prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """If the user names a home of Prefect or a server, no folder is created and no variable is set."""
    monkeypatch.setenv(name, "chosen")
    home = keep_prefect_state_in_sight()

    assert home is None
    assert os.environ[name] == "chosen"
    assert ("PREFECT_HOME" in os.environ) == (name == "PREFECT_HOME")
    assert os.listdir(tmp_path) == []


def test_no_folder_for_prefect_s_state_is_an_error(
    no_prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no folder for Prefect's state can be written, the error says so; a temporary folder is used if it can."""
    (tmp_path / "runs").touch()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/file")
    monkeypatch.setattr(tempfile, "tempdir", f"{tmp_path}/none")

    with pytest.raises(OSError, match=r"no folder for Prefect's state can be written: .* Name one in PREFECT_HOME$"):
        keep_prefect_state_in_sight()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert keep_prefect_state_in_sight() in tmp_path.glob("nst-prefect-*")


def test_our_own_lines_are_shown_unless_the_user_chose_a_level() -> None:
    """Our loggers without a level get INFO; a level that was set is kept."""
    loggers = [logging.getLogger(name) for name in ("flows", "nst_core")]
    levels = [logger.level for logger in loggers]
    loggers[0].setLevel(logging.NOTSET)
    loggers[1].setLevel(logging.ERROR)
    show_own_lines()
    found = [logger.level for logger in loggers]
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)

    assert found == [logging.INFO, logging.ERROR]


def test_an_empty_server_address_is_removed() -> None:
    """An empty PREFECT_API_URL is removed, because Prefect would use it as an address."""
    assert "PREFECT_API_URL" not in environment_after("import flows", PREFECT_API_URL="")
    assert environment_after("import flows", PREFECT_API_URL="http://a/api")["PREFECT_API_URL"] == "http://a/api"


def test_an_empty_home_of_prefect_is_removed() -> None:
    """An empty PREFECT_HOME is removed, because Prefect would keep its state in the working folder itself."""
    assert "PREFECT_HOME" not in environment_after("import flows", PREFECT_HOME="")
    assert environment_after("import flows", PREFECT_HOME="/a")["PREFECT_HOME"] == "/a"


def test_a_user_whom_the_system_does_not_know_gets_a_home() -> None:
    """A user without HOME and without an entry in the list of users gets `/`, as in a container; others keep theirs."""
    unknown = "import os, pwd; os.environ.pop('HOME', None); pwd.getpwuid = dict().__getitem__; import flows"

    assert environment_after(unknown)["HOME"] == "/"
    assert environment_after("import flows", HOME="/home/me")["HOME"] == "/home/me"


def test_the_root_folder_is_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whose home is `/` has their files in a temporary folder, as they cannot write there; XDG comes first."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for home, folder in (("/", tmp_path), ("/home/me", Path("/home/me/.cache"))):
        monkeypatch.setenv("HOME", home)
        assert user_folder("XDG_CACHE_HOME", ".cache") == folder / "bulk-style-transfer"

    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert user_folder("XDG_CACHE_HOME", ".cache") == Path("/cache/bulk-style-transfer")


def test_windows_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that imports the package on Windows ends with a sentence that says what to do."""
    refuse_windows()
    with monkeypatch.context() as on_windows:
        on_windows.setattr(os, "name", "nt")
        with pytest.raises(SystemExit, match=r"^bulk-style-transfer: expected Linux or macOS, found Windows; .* WSL"):
            refuse_windows()


def test_loopback_is_exempt_from_proxies() -> None:
    """If a proxy is set, loopback is added to the user's exempt hosts; without a proxy the list is not changed."""
    kept = environment_after("import flows", https_proxy="http://proxy:3128", no_proxy="intranet")
    bare = environment_after("import flows", NO_PROXY="intranet")

    assert kept["no_proxy"] == kept["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    assert (bare["NO_PROXY"], "no_proxy" in bare) == ("intranet", False)


@pytest.mark.parametrize("exempt", [{"NO_PROXY": "*"}, {"no_proxy": " * "}, {"NO_PROXY": "intranet, *"}])
def test_no_host_goes_through_a_proxy_if_all_are_exempt(exempt: dict[str, str]) -> None:
    """A `*` in the list of exempt hosts becomes the whole list, as urllib and botocore recognize it only alone."""
    found = environment_after("import flows", HTTPS_PROXY="http://proxy:3128", **exempt)

    assert (found["no_proxy"], found["NO_PROXY"]) == ("*", "*")


def test_prefect_s_state_avoids_paths_with_a_question_mark(
    no_prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path with `?` is not used, as the database's address would end there; without another that is an error."""
    (tmp_path / "a?b").mkdir()
    monkeypatch.chdir(tmp_path / "a?b")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert keep_prefect_state_in_sight() == tmp_path / "state" / "bulk-style-transfer" / "prefect"
    assert os.listdir() == []

    monkeypatch.delenv("PREFECT_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a?b"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a?b"))
    with pytest.raises(OSError, match=r"no folder for Prefect's state can be written: .*expected a path without '\?'"):
        keep_prefect_state_in_sight()


def test_prefect_s_state_falls_back_to_other_folders(
    no_prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the working folder cannot be written, the state folder of the user is used, or else a temporary folder."""
    (tmp_path / "runs").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert keep_prefect_state_in_sight() == tmp_path / "state" / "bulk-style-transfer" / "prefect"

    monkeypatch.delenv("PREFECT_HOME")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    place = keep_prefect_state_in_sight()
    assert place is not None
    assert place.name.startswith("nst-prefect-")
    assert os.environ["PREFECT_HOME"] == str(place)

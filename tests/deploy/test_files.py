"""deploy/: the image, compose, systemd, Kubernetes and the runbook are consistent and name things that exist."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.environment import DEFAULTS
from flows.limits import limits_in_force
from flows.prefect_layer.servers.service_server import SETTINGS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def environment_file(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


# ---------------------------------------------------------------- the image


def dockerfile() -> list[tuple[str, str]]:
    """The instruction and argument of each line, with continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line and line[0] != "#"]


def copied_into_image() -> dict[str, list[str]]:
    """The destinations in the image, each with the files of the repository that are copied there."""
    copies = [argument.split() for word, argument in dockerfile() if word == "COPY" and "--from" not in argument]
    copied: dict[str, list[str]] = {}
    for *paths, to in copies:
        copied.setdefault(to, []).extend(paths)
    return copied


def test_the_image_copies_files_that_exist() -> None:
    """Every file that the Dockerfile copies exists, and its ignore file lets exactly these files through."""
    passed = re.findall("^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = {path for paths in copied_into_image().values() for path in paths}

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert copied == set(passed)


def test_the_image_has_every_file_of_its_wheel() -> None:
    """Every file that the build configuration of the wheel names is copied to the folder where it is built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    wanted |= set(project["project"]["license-files"])
    there = {
        str(Path(to).relative_to("/src") / (Path(path).name if to.endswith("/") else ""))
        for to, paths in copied_into_image().items()
        if to.startswith("/src")
        for path in paths
    }

    assert wanted - there == set()


def test_the_image_has_the_files_that_its_commands_name() -> None:
    """Files that the runbook's commands inside a container name are copied into the image."""
    inside = re.findall(r"compose .* exec -w /app .*?(deploy/[\w.-]+\w)$", RUNBOOK, re.MULTILINE)
    (there,) = (paths for to, paths in copied_into_image().items() if to == "/app/deploy/")

    assert len(inside) >= 2
    assert set(inside) <= set(there)


def test_the_runbook_starts_compose_with_its_secret() -> None:
    """All commands of the runbook that start containers set the database password; the first waits for them."""
    starts_of_it = re.findall(r"(.*)docker compose -f deploy/compose\.yaml up -d(.*)", RUNBOOK)

    assert len(starts_of_it) == 5
    assert compose()["secrets"] == {"postgres": {"environment": "POSTGRES_PASSWORD"}}
    assert all("POSTGRES_PASSWORD=" in before for before, _ in starts_of_it)
    assert starts_of_it[0][1] == " --wait"


def test_the_image_runs_as_its_own_user() -> None:
    """The last stage runs as user 10001, not as root, with a health check and on a CUDA base."""
    instructions = dockerfile()
    words = [word for word, _ in instructions]

    assert [argument for word, argument in instructions if word == "USER"] == ["10001:10001"]
    assert words.index("USER") > max(number for number, word in enumerate(words) if word == "FROM")
    assert "HEALTHCHECK" in words
    assert "nvidia/cuda" in dict(instructions)["ARG"]


def test_the_weights_are_inside_the_image() -> None:
    """The package that contains the weights is locked, and the build of the image finds and checks them."""
    checks = [argument for word, argument in dockerfile() if word == "RUN" and "find_weights" in argument]

    assert "\npastiche==" in (DEPLOY / "requirements.lock").read_text()
    assert len(checks) == 1


# ---------------------------------------------------------------- compose


def test_compose_publishes_ports_on_loopback_only() -> None:
    """No port of the service is open to other machines."""
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]

    assert len(ports) >= 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_names_files_that_exist() -> None:
    """Every environment file of compose has an example, and the image is built from the Dockerfile."""
    described = compose()
    for service in described["services"].values():
        for name in service.get("env_file", []):
            assert (DEPLOY / f"{name}.example").exists()
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_compose_has_the_server_on_postgres_and_a_gpu_for_the_worker() -> None:
    """The server waits for Postgres and the workers for the server; each worker takes one run at a time."""
    services = compose()["services"]
    devices = services["worker"]["deploy"]["resources"]["reservations"]["devices"]

    assert services["server"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert environment_file("server.env.example")["PREFECT_SERVER_DATABASE_CONNECTION_URL"].startswith(
        "postgresql+asyncpg"
    )
    assert devices[0]["capabilities"] == ["gpu"]
    for name, pool in (("worker", "nst-gpu"), ("light", "nst-light")):
        command = services[name]["command"]
        assert command[:2] == ["python", "/app/deploy/worker.py"]
        assert command[command.index("--pool") + 1] == pool
        assert command[command.index("--limit") + 1] == "1"
        assert services[name]["depends_on"] == {"server": {"condition": "service_healthy"}}


def test_only_the_server_gets_the_password_of_the_database() -> None:
    """No file of settings that the workers get names the database, in which all secrets of the service are kept."""
    services = compose()["services"]
    with_database = {
        name
        for name in ("server", "worker", "light")
        for file in services[name]["env_file"]
        if any(re.search("DATABASE|POSTGRES", setting) for setting in environment_file(f"{file}.example"))
    }

    assert with_database == {"server"}


# ---------------------------------------------------------------- environment, limits, policies


def test_the_service_has_the_settings_of_the_command() -> None:
    """The example environment has the settings that `nst` sets: servers and workers import prefect before our code."""
    given = environment_file("service.env.example")
    wanted = {
        name: value
        for name, value in DEFAULTS.items()
        if not name.startswith(("PREFECT_SERVER_EPHEMERAL", "PREFECT_LOGGING_TO_API", "PREFECT_LOGGING_FORMATTERS"))
    }

    assert {name: given.get(name) for name in wanted} == wanted
    assert given["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_a_server_remembers_runs_across_an_outage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The servers of units and compose keep leases on disk, and due heartbeats for a week, as that of `nst serve` does.

    They delete runs after 30 days. Prefect accepts these values.
    """
    from prefect.server.concurrency.lease_storage import filesystem
    from prefect.settings import Settings

    given = environment_file("service.env.example")
    assert {name: given.get(name) for name in SETTINGS} == dict(SETTINGS)

    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    settings = Settings().server
    assert settings.concurrency.lease_storage == filesystem.__name__
    assert settings.events.expired_bucket_buffer == timedelta(days=7)
    assert settings.services.db_vacuum.enabled_vacuum_types >= {"events", "flow_runs"}
    assert settings.services.db_vacuum.retention_period == timedelta(days=30)


def test_pages_find_the_api_through_a_proxy() -> None:
    """The example has the API's address for a browser, and the runbook says that a proxy needs it changed."""
    assert environment_file("service.env.example")["PREFECT_SERVER_UI_API_URL"].endswith("/api")
    assert "PREFECT_SERVER_UI_API_URL=https://PROXY/api" in RUNBOOK


def test_kubernetes_needs_every_address_of_the_server_changed() -> None:
    """Every setting whose example is an address on this machine is named where the runbook starts a cluster."""
    (text,) = re.findall(r"^## Start: Kubernetes\n(.*?)(?=^## )", RUNBOOK, re.MULTILINE | re.DOTALL)
    here = {name for name, value in environment_file("service.env.example").items() if "://127.0.0.1" in value}

    assert {"PREFECT_API_URL", "PREFECT_UI_URL"} <= here
    assert [name for name in sorted(here) if f"`{name}`" not in text] == []


def test_files_for_monitoring_are_where_the_units_may_write() -> None:
    """The files that the example proposes for metrics and lines lie in folders that the runbook makes writable."""
    example = (DEPLOY / "service.env.example").read_text()
    proposed = [Path(path) for path in re.findall(r"^# NST_(?:METRICS_FILE|JSON_LINES)=(\S+)$", example, re.MULTILINE)]
    made = {Path(word) for line in starts()["bare machine"] if line.startswith("install -d") for word in line.split()}

    assert len(proposed) == 2
    assert [path for path in proposed if path.parent not in {*made, Path("/srv/nst")}] == []


def test_secrets_are_private_and_not_committed() -> None:
    """The runbook makes files of secrets readable by their owner or the service only, and git ignores such files."""
    patterns = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
    lines = [line for way in starts().values() for line in way]
    made = [line for line in lines if re.match(r"(cp|install) .*(secrets|server)\.env$", line)]

    assert len(made) >= 3
    assert [line for line in made if not re.match("install -m 06[04]0 ", line)] == []
    for name in ("secrets.env", "server.env", "service.env", "limits.toml"):
        assert any(fnmatch(f"/deploy/{name}", pattern) for pattern in patterns), name


def test_the_server_writes_only_to_its_writable_folder() -> None:
    """Prefect's state and pages are in the service's home, /srv/nst, which the units and compose leave writable."""
    settings = environment_file("service.env.example")

    for name in ("PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY"):
        assert settings[name].startswith("/srv/nst/")
    assert all("ReadWritePaths=/srv/nst\n" in unit.read_text() for unit in UNITS)
    for service in ("server", "worker", "light"):
        assert any(volume.endswith(":/srv/nst") for volume in compose()["services"][service]["volumes"])


def test_settings_hold_no_secrets() -> None:
    """Passwords and keys are only in the file of secrets, in which server and clients have the same one."""
    secret = re.compile("AUTH|PASSWORD|SECRET|KEY|CONNECTION")
    secrets = environment_file("secrets.env.example")

    assert [name for name in environment_file("service.env.example") if secret.search(name)] == []
    assert secrets["PREFECT_SERVER_API_AUTH_STRING"] == secrets["PREFECT_API_AUTH_STRING"]


def test_the_example_limits_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example limits are valid as they are, and allow the data folder of the example environment."""
    monkeypatch.setenv("NST_LIMITS", str(DEPLOY / "limits.example.toml"))
    limits = limits_in_force(strict=True)

    data = environment_file("service.env.example")["NST_DATA"]
    limits.check_readable(f"{data}/inbox/a.csv")
    limits.check_writable(f"{data}/outputs/a")


@pytest.mark.parametrize("name", ["run", "inbox"])
def test_policies_are_narrow(name: str) -> None:
    """No policy has a wildcard for an action or a bucket, and none allows an image or a record to be deleted."""
    policy = json.loads((DEPLOY / "iam" / f"{name}.json").read_text())
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        actions, resources = (_list(statement[part]) for part in ("Action", "Resource"))
        assert statement["Effect"] == "Allow"
        assert set(actions) <= {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
        assert all(re.match(r"arn:aws:s3:::[A-Z_]+_BUCKET(/[A-Z_]+_PREFIX/.+)?$", resource) for resource in resources)
        if "s3:ListBucket" in actions:
            assert statement["Condition"]["StringLike"]["s3:prefix"]
        if "s3:DeleteObject" in actions:
            assert actions == ["s3:DeleteObject"]
            inbox = r"/inbox/\*\.(rejected|accepted|finished|claimed).*|/inbox/_nst/(claims|finished)/\*"
            own = rf"/(_SUCCESS|report\.html)|{inbox}"
            assert [one for one in resources if not re.search(rf"({own})$", one)] == []


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


# ---------------------------------------------------------------- kubernetes


def test_the_job_template_gives_a_run_its_gpu() -> None:
    """Variables and placeholders match; a run gets one GPU by default and runs as a user without privileges."""
    text = (DEPLOY / "kubernetes" / "base-job-template.json").read_text()
    template = json.loads(text)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert used == set(template["variables"]["properties"])
    # The worker does not wait for a job: only Kubernetes itself can end one that takes too long.
    assert template["job_configuration"]["job_manifest"]["spec"]["activeDeadlineSeconds"] == "{{ longest_seconds }}"
    assert set(template["job_configuration"]) == {"name", "namespace", "command", "env", "labels", "job_manifest"}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
    assert template["variables"]["properties"]["gpus"]["default"] == 1
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert not container["securityContext"]["allowPrivilegeEscalation"]


LIGHT = {"gpus": 0, "cpu": "1", "memory": "2Gi", "service_account_name": "nst-inbox"}


def test_pods_of_the_light_pool_get_no_gpu_and_their_own_account(tmp_path: Path) -> None:
    """The template that the runbook makes for the light pool has no GPU, less memory and its own service account.

    The runbook creates both service accounts.
    """
    template = DEPLOY / "kubernetes" / "base-job-template.json"
    (command,) = re.findall("^sed .*> light.json$", RUNBOOK, re.MULTILINE)
    subprocess.run(["/bin/sh", "-c", command.replace("light.json", f"{tmp_path}/light.json")], cwd=ROOT, check=True)
    changed = json.loads((tmp_path / "light.json").read_text())["variables"]["properties"]
    before = json.loads(template.read_text())["variables"]["properties"]
    made = re.findall(r"kubectl -n nst create serviceaccount (\S+)", RUNBOOK)

    assert {name for name in changed if changed[name] != before[name]} == set(LIGHT)
    assert {name: changed[name]["default"] for name in LIGHT} == LIGHT
    assert made == [before["service_account_name"]["default"], "nst-inbox"]


# ---------------------------------------------------------------- systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_units_are_verified(tmp_path: Path) -> None:
    """`systemd-analyze verify` accepts the units, with the programs of this environment."""
    bin_folder = str(Path(sys.executable).parent)
    for unit in UNITS:
        name = unit.name.replace("@", "@nst-gpu")
        (tmp_path / name).write_text(unit.read_text().replace("/opt/nst/bin", bin_folder))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    outcome = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    complaints = [line for line in outcome.stderr.splitlines() if "nst-" in line and str(tmp_path) in line]

    assert len(UNITS) == 3
    assert (outcome.returncode, complaints) == (0, []), outcome.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_bound_to_loopback_and_unprivileged(unit: Path) -> None:
    """Every unit runs as user nst, with secrets from their file; servers listen on loopback, workers take one run."""
    text = unit.read_text()
    command = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)

    assert command
    assert "User=nst" in text
    assert "EnvironmentFile=/etc/nst/secrets.env" in text
    assert "--host 127.0.0.1" in command[1] or "worker start" in command[1]
    if "worker start" in command[1]:
        assert "--limit 1" in command[1]


def test_runs_have_ended_before_everything_is_killed() -> None:
    """The service managers signal worker.py alone, and wait longer than it waits for the runs, before they kill."""
    run_seconds = float(runpy.run_path(str(DEPLOY / "worker.py"))["RUN_SECONDS"])
    unit = (DEPLOY / "systemd" / "nst-worker@.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)

    assert "ExecStart=/opt/nst/bin/python /opt/nst-app/deploy/worker.py /opt/nst/bin/prefect worker start" in unit
    assert "\nKillMode=mixed\n" in unit
    assert run_seconds < float(seconds)
    for service in ("worker", "light"):
        assert run_seconds < 60 * float(compose()["services"][service]["stop_grace_period"].removesuffix("m"))
    assert dict(dockerfile())["CMD"].startswith('["python", "/app/deploy/worker.py", ')


@pytest.mark.parametrize("name", ["nst-worker@", "nst-serve"])
def test_a_unit_goes_on_after_one_process_ran_out_of_memory(name: str) -> None:
    """By default systemd stops the whole unit if the kernel kills one process of a run, which would start it again."""
    assert "\nOOMPolicy=continue\n" in (DEPLOY / "systemd" / f"{name}.service").read_text()


def test_the_health_of_a_server_includes_its_database() -> None:
    """Prefect's /api/health answers without its database; /api/ready, which needs no password either, does not."""
    unit = (DEPLOY / "systemd" / "nst-server.service").read_text()

    assert compose()["services"]["server"]["healthcheck"]["test"][-2:] == ["4200", "/api/ready"]
    assert "healthy.py 4200 /api/ready " in unit


class AlwaysOk(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def wait_for_server(port: int, server_id: int) -> int:
    """Run the command that the server's unit runs after its start, with another port; return its exit code."""
    unit = (DEPLOY / "systemd" / "nst-server.service").read_text()
    (script,) = re.findall(r"^ExecStartPost=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    for there, here in (("/opt/nst/bin/python", sys.executable), ("/opt/nst-app", str(ROOT)), (" 4200 ", f" {port} ")):
        assert there in script
        script = script.replace(there, here)
    environment = {"MAINPID": str(server_id), "PATH": os.defpath}
    return subprocess.run(["/bin/sh", "-c", script], env=environment, timeout=60, check=False).returncode


def test_a_server_has_started_once_it_answers() -> None:
    """The unit of the server counts as started once the server answers, and fails if the server has died."""
    with HTTPServer(("127.0.0.1", 0), AlwaysOk) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert wait_for_server(server.server_port, os.getpid()) == 0
        server.shutdown()
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    assert wait_for_server(9, dead.pid) != 0


# ---------------------------------------------------------------- the runbook


def commands(program: str) -> list[list[str]]:
    """The runbook's commands that start with a program, as lists of words without it."""
    code = "\n".join([*re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL), *re.findall(r"`([^`\n]+)`", RUNBOOK)])
    found = re.findall(rf"(?:^|&& ){program} ([^\n&;]*)", code, re.MULTILINE)
    return [command.split() for command in found]


def test_the_runbook_uses_commands_that_exist() -> None:
    """Every `nst` command of the runbook exists and has the options that the runbook gives it."""
    used = [words for words in commands("nst") if re.fullmatch("[a-z]+", words[0])]

    assert {words[0] for words in used} >= {"submit", "serve", "status", "retry", "gc", "validate"}
    for command in {words[0] for words in used}:
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, command
        for words in used:
            if words[0] == command:
                flags = [word for word in words if word.startswith("--")]
                assert [flag for flag in flags if flag not in shown.output] == [], words


def test_the_runbook_names_files_that_exist() -> None:
    """Every file of the repository that the runbook names or links to exists."""
    named = set(re.findall(r"(?:^|[\s=/`])(deploy/[\w./-]+\w)", RUNBOOK))
    made = {"deploy/service.env", "deploy/secrets.env", "deploy/server.env", "deploy/limits.toml"}
    links = re.findall(r"\]\(([^)#:]+)\)", RUNBOOK)

    assert [name for name in sorted(named - made) if not list(ROOT.glob(f"{name}*"))] == []
    assert [link for link in links if not (DEPLOY / link).exists()] == []


def starts() -> dict[str, list[str]]:
    """The ways to start the service that the runbook describes, each with its command lines in order."""
    headings = "Try it|bare machine|docker|Kubernetes"
    parts = re.findall(rf"^## (?:Start: )?({headings})\n(.*?)(?=^## )", RUNBOOK, re.MULTILINE | re.DOTALL)
    return {name: "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines() for name, text in parts}


@pytest.mark.parametrize("way", ["Try it", "bare machine", "docker", "Kubernetes"])
def test_a_way_to_start_makes_the_files_that_it_reads(way: str) -> None:
    """Every file that a command of a section reads is in the repository or was made by an earlier line of it."""
    made: set[str] = set()
    for line in starts()[way]:
        given = re.findall(r"(?:^|\s|--[\w-]+=)((?!/)[\w./-]+\.(?:env|toml|json|yaml))(?=$|\s)", line)
        new = re.findall(r"> (\S+)$", line) + ([line.split()[-1]] if line.startswith(("cp ", "install -m ")) else [])
        assert [file for file in given if file not in {*made, *new} and not (ROOT / file).exists()] == [], line
        made.update(new)


@pytest.mark.parametrize("way", ["bare machine", "docker", "Kubernetes"])
def test_pools_are_created_before_anything_is_deployed_to_them(way: str) -> None:
    """Prefect refuses a deployment whose pool is missing; a worker creates its pool only some time after its start."""
    deployments = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    lines = starts()[way]
    (deploy,) = (number for number, line in enumerate(lines) if " deploy --all " in line)
    created = re.findall(r"prefect work-pool create (\S+) ", "\n".join(lines[:deploy]))

    assert set(created) == {deployment["work_pool"]["name"] for deployment in deployments}


def test_the_shell_of_a_bare_machine_finds_the_commands(tmp_path: Path) -> None:
    """The line before the runbook's first `prefect` command sets the environment, the secrets and PATH."""
    lines = starts()["bare machine"]
    first = next(number for number, line in enumerate(lines) if line.startswith("prefect "))
    for name in ("service.env", "secrets.env"):
        shutil.copy(DEPLOY / f"{name}.example", tmp_path / name)
    script = f"{lines[first - 1].replace('/etc/nst', str(tmp_path))}\nenv"
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    assert [line for line in shown if line.startswith("PATH=/opt/nst/bin:")]
    assert {"NST_DATA=/srv/nst/data", "PREFECT_API_AUTH_STRING=nst:change-me"} <= set(shown)
    # The server could not read files that root's commands make in the server's own folder.
    assert [line for line in shown if line.startswith("PREFECT_HOME=") and "/srv/nst" not in line]


def test_the_folders_of_a_bare_machine_belong_to_the_service() -> None:
    """`install -d -o nst` sets the owner of the named folders only, so it also names each folder above them."""
    (line,) = (line for line in starts()["bare machine"] if line.startswith("install -d -o nst"))
    made = {Path(word) for word in line.split() if word.startswith("/")}
    above = {parent for path in made for parent in path.parents if Path("/srv/nst") in parent.parents}

    assert Path(environment_file("service.env.example")["NST_DATA"]) in made
    assert above - made == set()


def test_teams_may_put_manifests_into_the_inbox() -> None:
    """On a bare machine the inbox belongs to a group that the service is in; the folders above it may be entered.

    New files get the inbox's group, so that the service can read a manifest that is closed to others.
    """
    lines = starts()["bare machine"]
    (inbox,) = (line.split() for line in lines if line.startswith("install ") and "/srv/nst/data/inbox" in line)
    group = inbox[inbox.index("-g") + 1]

    assert inbox[inbox.index("-m") + 1] == "2770"
    assert any(line.startswith(f"groupadd {group}") for line in lines)
    assert any(line.startswith("useradd ") and f"--groups {group}" in line for line in lines)
    assert any(line.startswith("chmod 0755 /srv/nst") for line in lines)


def upgrades() -> list[list[str]]:
    """The command lines of each block of the runbook's section about upgrades."""
    (text,) = re.findall(r"^## Upgrade\n(.*?)(?=^## )", RUNBOOK, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


def test_an_upgrade_stops_the_service_before_it_replaces_packages() -> None:
    """Workers stop before the server, to which their runs report, and all of them before the code changes."""
    units, docker, _ = upgrades()
    changed = next(number for number, line in enumerate(units) if "git pull" in line or "pip install" in line)

    assert [line for line in units[:changed] if not line.startswith("systemctl stop ")] == []
    assert ["nst-worker" in line for line in units[:changed]] == [True, False]
    assert "stop worker light" in docker[0]


def test_an_upgrade_replaces_the_automations() -> None:
    """Each automation is deleted before the file's ones are created, because creating them twice makes duplicates."""
    automations = yaml.safe_load((DEPLOY / "automations.yaml").read_text())["automations"]
    for block in upgrades()[:2]:
        text = "\n".join(block)
        for automation in automations:
            assert text.index(f"automation delete {automation['name']}") < text.index("automation create --from-file")


def test_the_runbook_names_units_and_deployments_that_exist() -> None:
    """Every systemd unit and every deployment that the runbook names exists."""
    deployments = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    known = {f"{'inbox' if one['name'] == 'inbox' else 'bulk-stylize'}/{one['name']}" for one in deployments}
    units = {unit.stem.rstrip("@") for unit in UNITS}

    assert set(re.findall(r"(?:bulk-stylize|inbox)/[a-z-]+", RUNBOOK)) - {"inbox/inbox"} <= known
    named = set(re.findall(r"systemctl [a-z-]+(?: --now)? ((?:nst-[\w@-]+ ?)+)", RUNBOOK))
    assert {name.partition("@")[0] for line in named for name in line.split()} <= units


def test_an_installation_has_its_deployments() -> None:
    """The files of deployments and automations that `nst serve` reads are in the wheel, and found in a checkout."""
    from flows.prefect_layer import deployments

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    home = Path(deployments.__file__).parent.relative_to(ROOT)
    for name in ("prefect.yaml", "automations.yaml", "notifications.yaml"):
        assert included[f"deploy/{name}"] == f"{home}/deploy/{name}"
        assert deployments.deployments_file().with_name(name).read_text() == (DEPLOY / name).read_text()

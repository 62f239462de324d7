"""An operator's day with a real server and workers: deploying, submitting, inboxes, retries, and the password."""

import itertools
import json
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.service.service_tools import OPTIONS, PASSWORD, TINY, Command, ask, wait_for, write_image, write_manifest

pytestmark = pytest.mark.service


def answer(inbox: Path, name: str) -> Any:
    """Return the answer of an inbox."""
    return json.loads((inbox / name).read_text())


def test_the_password_is_required(server: str, nst: Command, folder: Path) -> None:
    """The API refuses requests without the right password, except for the health check, which has none.

    `nst submit` then ends with exit code 4 and advice.
    """
    for password in (None, "nst:wrong-password"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(server, "/flow_runs/filter", {}, password)
        assert refused.value.code == 401
    with urllib.request.urlopen(f"{server}/ready", timeout=20) as answer:  # the health check of units and containers
        assert answer.status == 200
    write_manifest(folder / "data" / "any.csv", ["a"])
    outcome = nst("submit", folder / "data" / "any.csv", env={"PREFECT_API_AUTH_STRING": "nst:wrong-password"})

    assert outcome.returncode == 4
    assert "PREFECT_API_AUTH_STRING" in outcome.stderr
    assert "wrong-password" not in outcome.stdout + outcome.stderr


def test_a_day_of_an_operator(workers: None, server: str, nst: Command, prefect: Command, folder: Path) -> None:
    """Submitted and dropped manifests are run once, one run at a time; a failed row is retried when its file exists."""
    data = folder / "data"
    inbox = data / "inbox"
    for number, name in enumerate(("style", "a", "b", "c")):
        write_image(inbox / f"{name}.png", number)
        write_image(data / f"{name}.png", number)

    # Three teams drop manifests: a good one, a broken one, and one of which half of the images are missing.
    write_manifest(inbox / "good.csv", ["a", "b"])
    write_manifest(inbox / "half.csv", ["c", "missing"])
    (inbox / "broken.csv").write_text(
        f"id,content,style,{OPTIONS}\nok,a.png,style.png,{TINY}\nbad id,,style.png,48,x\n"
    )
    assert prefect("deployment", "run", "inbox/inbox").returncode == 0

    # Meanwhile a user submits a manifest and waits for its run.
    write_manifest(data / "mine.csv", ["a", "b"])
    mine = nst("submit", data / "mine.csv", "--output", data / "mine", "--precision", "fp32", "--wait", "--json")
    assert mine.returncode == 0, mine.stderr
    told = json.loads(mine.stdout)
    assert (told["state"], told["page"]) == ("Completed", None)  # this server was started without pages
    assert (told["report"], told["status"]) == (f"{data}/mine/report.html", f"nst status {data}/mine")
    assert "the server has no pages" in mine.stderr
    assert (data / "mine" / "report.html").exists()
    assert "[2/2]" in mine.stderr  # the log of the run
    assert nst("status", data / "mine").stdout.splitlines()[1] == "2 succeeded, 0 failed, 0 rejected, 0 pending"

    wait_for("the broken manifest has an answer", (inbox / "broken.csv.rejected.json").exists, 60)
    rejected = answer(inbox, "broken.csv.rejected.json")
    assert [row["row"] for row in rejected["bad_rows"]] == [3]
    assert [one["column"] for one in rejected["bad_rows"][0]["problems"]] == ["content", "steps", "id"]
    finished = [inbox / "good.csv.finished.json", inbox / "half.csv.finished.json"]
    for _ in range(4):
        if not all(path.exists() for path in finished):
            prefect("deployment", "run", "inbox/inbox", "--watch")
    wait_for("both runs of the inbox are finished", lambda: all(path.exists() for path in finished), 90)
    assert answer(inbox, "good.csv.finished.json")["status"] == "succeeded"
    half = answer(inbox, "half.csv.finished.json")
    assert (half["status"], half["succeeded"], half["failed"]) == ("some rows failed", 1, 1)
    assert [(row["pair_id"], row["error_kind"]) for row in half["problems"]] == [("missing", "not_found")]
    assert half["run_id"] == answer(inbox, "half.csv.accepted.json")["run_id"]

    # The missing image arrives, and the failed row is retried.
    write_image(inbox / "missing.png", 9)
    retried = prefect(
        "deployment", "run", "bulk-stylize/retry-failed", "--param", f"output={data}/outputs/half", "--watch"
    )
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert nst("status", data / "outputs" / "half").returncode == 0

    # A second submission of a finished manifest does nothing; other places and missing manifests are refused.
    again = nst("submit", data / "mine.csv", "--output", data / "mine", "--precision", "fp32", "--wait")
    assert again.returncode == 0, again.stderr
    outside = nst("submit", data / "mine.csv", "--output", folder / "elsewhere", "--wait")
    assert (outside.returncode, "may be written here" in outside.stderr) == (2, True), outside.stderr
    assert nst("submit", data / "none.csv").returncode == 2
    assert nst("submit", data / "mine.csv", "--deployment", "no/such").returncode == 2

    # No two runs used the device at the same time, and no parameter has a secret.
    runs = ask(server, "/flow_runs/filter", {"flows": {"name": {"any_": ["bulk-stylize"]}}, "sort": "START_TIME_ASC"})
    times = sorted((run["start_time"], run["end_time"]) for run in runs if run["start_time"])
    assert len(times) == 6
    for (_, ended), (started, _) in itertools.pairwise(times):
        assert datetime.fromisoformat(ended) <= datetime.fromisoformat(started)
    assert PASSWORD not in json.dumps([run["parameters"] for run in runs])


def test_the_schedules_create_runs(workers: None, server: str) -> None:
    """The nightly run and the visits are scheduled; some versions of Prefect's dependencies silently schedule none."""
    found = {}
    for name in ("nightly", "inbox"):
        (deployment,) = ask(server, "/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        scheduled = {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        wait_for(f"{name} is scheduled", lambda scheduled=scheduled: ask(server, "/flow_runs/filter", scheduled), 30)
        found[name] = deployment

    assert "hour" not in found["inbox"]["schedules"][0]["schedule"]
    assert found["nightly"]["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
    described = found["nightly"]["parameter_openapi_schema"]["properties"]
    assert "description" in described["manifest"]
    assert "file of content/style pairs" in described["manifest"]["description"]

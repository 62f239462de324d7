"""flows.inbox.visit: manifests that are dropped are claimed once, answered, run and marked; on a disk and on S3."""

import gzip
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from flows import storage
from flows.errors import NotAllowed
from flows.inbox import Inbox, Runs, StartRequest, Visit, visit
from flows.inbox.files import Claim, InboxFiles, Start
from flows.inbox.names import claim_key
from flows.inbox.visit import MAX_STARTS
from flows.limits import Limits
from flows.output import Ledger, lease
from flows.output.lease_file import as_json, new_lease
from flows.settings import RunSettings
from nst_core.options import StylizeOptions
from tests.flows.builders import run_record
from tests.flows.inbox_runs import BookOfRuns, limits_for, visit_until_done

GOOD = b"id,content,style\ncat,cat.png,waves.png\ndog,dog.png,waves.png\n"
OTHER = b"id,content,style\ncat,cat.png,waves.png\n"
BAD_ROWS = b"id,content,style,steps\ncat,cat.png,waves.png,5\nbad id,dog.png,waves.png,5\ncow,,waves.png,many\n"
BROKEN = b"id|content|style\ncat|cat.png|waves.png\n"
PROGRAM = Path(__file__).parents[1] / "inbox_runs.py"


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where inbox and outputs are."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3_bucket") + "/nst"


class World:
    """An inbox, the runs that it starts, and a hand that drops files."""

    def __init__(self, root: str, book: Path, **changes: Any) -> None:
        self.inbox = Inbox(place=f"{root}/in", outputs=f"{root}/out", **changes)
        self.limits = limits_for(root)
        self.book = BookOfRuns(book)
        self.files = InboxFiles(self.inbox.place, self.inbox.outputs)

    def drop(self, name: str, data: bytes) -> None:
        address = f"{self.inbox.place}/{name}"
        storage.replace(address, data)
        if not storage.is_s3(address):  # dropped a while ago, a different while for every content
            then = time.time() - 3600 - len(data)
            os.utime(address, (then, then))

    def visit(self) -> Visit:
        return visit(self.inbox, self.book.runs, self.limits, settle_seconds=0.05)

    def answer(self, name: str) -> Any:
        return json.loads(storage.read(f"{self.inbox.place}/{name}"))

    @property
    def names(self) -> list[str]:
        return [name for name in storage.names(self.inbox.place) if not name.startswith(".")]


@pytest.fixture
def world(root: str, tmp_path: Path) -> World:
    return World(root, tmp_path / "book")


@pytest.fixture
def disk(tmp_path: Path) -> World:
    """A world for what is the same on every storage."""
    return World(str(tmp_path), tmp_path / "book")


# ---------------------------------------------------------------- one manifest


def test_a_good_manifest_is_accepted_run_and_finished(world: World) -> None:
    """A manifest is answered with run and output, and with its counts once the run has ended; then nothing is left."""
    world.drop("spring.csv", GOOD)

    assert world.visit().started == ["spring.csv"]
    accepted = world.answer("spring.csv.accepted.json")
    (run_id,) = world.book.asked
    assert (accepted["run_id"], accepted["output"]) == (run_id, f"{world.inbox.outputs}/spring")
    assert (accepted["rows"], accepted["bad_rows"]) == (2, [])
    assert accepted["estimate"]["in_words"].startswith("2 pairs at up to ")
    assert world.visit().running == ["spring.csv"]
    assert "spring.csv.finished.json" not in world.names

    world.book.carry_out(run_id, failing=("dog",))
    assert world.visit().finished == ["spring.csv"]
    finished = world.answer("spring.csv.finished.json")
    assert (finished["status"], finished["run_id"]) == ("some rows failed", run_id)
    assert (finished["rows"], finished["succeeded"], finished["failed"]) == (2, 1, 1)
    assert [(row["pair_id"], row["error_kind"]) for row in finished["problems"]] == [("dog", "bad_image")]
    assert finished["manifest_sha256"] == accepted["manifest_sha256"]
    assert world.visit() == Visit()
    assert world.names == [
        "spring.csv",
        "spring.csv.accepted.json",
        "spring.csv.finished.html",
        "spring.csv.finished.json",
    ]
    assert world.book.asked == [run_id]


def test_bad_rows_are_all_named(world: World) -> None:
    """A manifest with bad rows is rejected, and every one of them is told with its line, cells and reasons."""
    world.drop("spring.csv", BAD_ROWS)

    assert world.visit().rejected == ["spring.csv"]
    rejected = world.answer("spring.csv.rejected.json")
    assert rejected["reason"] == "2 of 3 rows cannot be used"
    assert [row["row"] for row in rejected["bad_rows"]] == [3, 4]
    assert rejected["bad_rows"][0]["problems"][0]["column"] == "id"
    assert [problem["column"] for problem in rejected["bad_rows"][1]["problems"]] == ["content", "steps"]
    assert world.book.asked == []
    assert world.visit() == Visit()
    assert world.names == ["spring.csv", "spring.csv.rejected.html", "spring.csv.rejected.json"]


def test_bad_rows_can_be_skipped(tmp_path: Path) -> None:
    """Where the team wants it, the rows that are in order are run; the answer names the others all the same."""
    world = World(str(tmp_path), tmp_path / "book", bad_rows="skip")
    world.drop("spring.csv", BAD_ROWS)

    assert world.visit().started == ["spring.csv"]
    assert [row["row"] for row in world.answer("spring.csv.accepted.json")["bad_rows"]] == [3, 4]


def test_a_manifest_of_bad_rows_alone_is_rejected(tmp_path: Path) -> None:
    """Also where bad rows are skipped: a run would have nothing to do."""
    world = World(str(tmp_path), tmp_path / "book", bad_rows="skip")
    world.drop("spring.csv", b"id,content,style\nbad id,cat.png,waves.png\n,,waves.png\n")

    assert world.visit().rejected == ["spring.csv"]
    assert world.answer("spring.csv.rejected.json")["reason"] == "2 of 2 rows cannot be used"
    assert world.book.asked == []


def test_a_run_has_the_teams_options_and_settings(tmp_path: Path) -> None:
    """It is started with them, and a manifest's answer is of a run with them."""
    options, settings = StylizeOptions(size_px=96), RunSettings(backbone="stub")
    world = World(str(tmp_path), tmp_path / "book", options=options, settings=settings)
    world.drop("spring.csv", GOOD)
    requests: list[StartRequest] = []

    def start(request: StartRequest) -> str:
        requests.append(request)
        return world.book.start(request)

    visit(world.inbox, Runs(start, world.book.state_of), world.limits, settle_seconds=0.05)

    (request,) = requests
    assert (request.options, request.settings, request.name) == (options, settings, "inbox spring.csv")
    assert "estimate" not in world.answer("spring.csv.accepted.json")  # of pictures that are made up


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("bars.csv", BROKEN, "bars.csv line 1: expected commas"),
        ("empty.csv", b"", "the file is empty"),
        ("header.csv", b"id,content,style\n", "header.csv"),
        ("März.csv", GOOD, "rename the file"),
        ("...csv", GOOD, "rename the file"),
        ("-rf.csv", GOOD, "rename the file"),
        ("large.csv", GOOD + b"x,y,z\n" * 100, "bytes, found"),
    ],
)
def test_a_file_that_is_no_manifest_is_rejected_with_the_reason(
    disk: World, name: str, data: bytes, reason: str
) -> None:
    """What cannot be used as a whole is answered once, under its own name, and leads to nothing else."""
    disk.limits = Limits(strict=True, read=disk.limits.read, write=disk.limits.write, max_manifest_bytes=200)
    disk.drop(name, data)

    assert disk.visit().rejected == [name]
    assert reason in disk.answer(f"{name}.rejected.json")["reason"]
    assert disk.visit() == Visit()
    assert disk.book.asked == []


def test_other_files_are_left_alone(disk: World) -> None:
    """Only *.csv is looked at: pictures, notes and files on their way under another name are not."""
    for name in ("cat.png", "notes.txt", ".spring.csv.part", "spring.csv.tmp"):
        disk.drop(name, GOOD)

    assert disk.visit() == Visit()


def test_a_half_written_file_waits(disk: World) -> None:
    """A file that grew since it was listed is not claimed; once it is whole, it is."""
    address = f"{disk.inbox.place}/spring.csv"
    storage.replace(address, GOOD[:30])
    writer = subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(0.2); open({address!r}, 'wb').write({GOOD!r})"]
    )
    first = visit(disk.inbox, disk.book.runs, disk.limits, settle_seconds=1.5)
    writer.wait()

    assert (first, disk.book.asked) == (Visit(), [])
    disk.drop("spring.csv", GOOD)
    assert disk.visit().started == ["spring.csv"]
    assert disk.answer("spring.csv.accepted.json")["rows"] == 2


def test_a_file_that_grows_as_it_is_read_waits(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has another length than was listed may be half of it: it is claimed once it stays as it is."""
    disk.drop("spring.csv", OTHER)
    address, opened = f"{disk.inbox.place}/spring.csv", os.open
    grown: list[int] = []

    def grows(path: Any, *args: Any, **options: Any) -> int:
        if path == address and not grown:
            with open(address, "ab") as file:
                grown.append(file.write(GOOD[len(OTHER) :]))
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", grows)

    assert disk.visit() == Visit()
    assert (len(grown), disk.files.open_claims()) == (1, [])
    assert disk.visit().started == ["spring.csv"]
    assert disk.answer("spring.csv.accepted.json")["rows"] == 2


# ---------------------------------------------------------------- again


def test_the_same_bytes_again_are_done_once(world: World) -> None:
    """A manifest that is dropped again as it was, later, starts nothing and leaves nothing new behind."""
    world.drop("spring.csv", GOOD)
    visit_until_done(world.inbox, world.book, world.limits)
    before = world.names
    storage.remove(f"{world.inbox.place}/spring.csv")
    time.sleep(0.02)
    storage.create(f"{world.inbox.place}/spring.csv", GOOD)  # a new file with a new time

    assert world.visit() == Visit()
    assert (len(world.book.asked), world.names) == (1, before)


def test_the_same_bytes_beside_their_own_run_keep_what_it_reads(disk: World) -> None:
    """A manifest that is saved once more as it was, while its run is open, is no reason to take the run's copy away."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    assert claim.snapshot is not None
    disk.drop("spring.csv", GOOD)

    assert disk.visit() == Visit(running=["spring.csv"])
    assert storage.read(claim.snapshot) == GOOD
    disk.book.carry_out(disk.book.asked[0])
    assert disk.visit().finished == ["spring.csv"]


def test_a_finished_manifest_can_be_had_done_again(world: World) -> None:
    """Where a person takes away what tells that it is done, as the runbook says, a run is started that is another."""
    world.drop("spring.csv", GOOD)
    visit_until_done(world.inbox, world.book, world.limits)
    before = set(world.book.asked)
    for folder in ("finished", "claims", "starts", "seen"):
        for name in storage.names(f"{world.inbox.place}/_nst/{folder}"):
            storage.remove(f"{world.inbox.place}/_nst/{folder}/{name}")

    assert world.visit().started == ["spring.csv"]
    (again,) = set(world.book.asked) - before
    assert world.book.state_of(again).stage == "running"
    visit_until_done(world.inbox, world.book, world.limits)
    assert world.answer("spring.csv.finished.json")["run_id"] == again


def test_changed_bytes_are_a_new_claim(world: World) -> None:
    """A manifest that is put right and dropped again is taken anew; the answer to its earlier version goes."""
    world.drop("spring.csv", BAD_ROWS)
    assert world.visit().rejected == ["spring.csv"]
    world.drop("spring.csv", GOOD)

    assert world.visit().started == ["spring.csv"]
    assert "spring.csv.rejected.json" not in world.names
    assert world.answer("spring.csv.accepted.json")["rows"] == 2


def test_a_rejected_manifest_is_judged_anew_when_it_is_handed_in_again(world: World) -> None:
    """Its bytes are not all that counts: here a picture was too large for the limits, and is not any more."""
    picture = f"{world.inbox.place}/cat.png"
    world.limits = world.limits.model_copy(update={"max_image_bytes": 1000})
    storage.replace(picture, b"x" * 1001)
    storage.replace(f"{world.inbox.place}/waves.png", b"x")
    world.drop("spring.csv", OTHER)
    assert world.visit().rejected == ["spring.csv"]
    assert world.visit() == Visit()

    storage.replace(picture, b"x" * 1000)
    time.sleep(1.1)  # S3 tells times to the second
    storage.replace(f"{world.inbox.place}/spring.csv", OTHER)
    assert world.visit().started == ["spring.csv"]
    assert "spring.csv.rejected.json" not in world.names
    assert world.answer("spring.csv.accepted.json")["rows"] == 1


def test_a_rejected_manifest_may_be_rejected_again(world: World) -> None:
    """Once for each time that it is handed in, with an answer of then."""
    for _ in range(2):
        time.sleep(1.1)  # as above
        storage.replace(f"{world.inbox.place}/spring.csv", BAD_ROWS)
        assert world.visit().rejected == ["spring.csv"]
        assert world.visit() == Visit()


def test_a_later_version_waits_for_the_earlier_ones_run(disk: World) -> None:
    """Two versions of a manifest share an output: their runs come one after the other, in the order of the claims."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    disk.drop("spring.csv", OTHER)

    second = disk.visit()
    assert (second.running, second.waiting) == (["spring.csv"], ["spring.csv"])
    disk.book.carry_out(disk.book.asked[0])
    third = disk.visit()
    assert (third.finished, third.started) == (["spring.csv"], ["spring.csv"])
    assert len(set(disk.book.asked)) == 2


def test_the_run_gets_the_bytes_that_were_claimed(disk: World) -> None:
    """A manifest that is edited or removed after it was accepted is run as it was, relative to where it was."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    storage.remove(f"{disk.inbox.place}/spring.csv")
    (run_id,) = disk.book.asked
    address, _ = (disk.book.folder / f"{run_id}.request").read_text().splitlines()

    assert storage.read(address) == GOOD
    assert storage.parent_of(address) == disk.inbox.place
    disk.book.carry_out(run_id)
    assert disk.visit().finished == ["spring.csv"]
    assert disk.names == ["spring.csv.accepted.json", "spring.csv.finished.html", "spring.csv.finished.json"]


def test_the_answer_is_of_ones_own_manifest(disk: World) -> None:
    """Where another one was run into the output meanwhile, its counts are not told as this one's."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    disk.book.carry_out(disk.book.asked[0])
    Ledger(claim.output).start_run(run_record(run_id="a later run", manifest_sha256="00" * 32), OTHER)

    assert disk.visit().finished == ["spring.csv"]
    finished = disk.answer("spring.csv.finished.json")
    assert finished["note"].startswith("another manifest has been run into this output since")
    assert not {"rows", "succeeded", "pending", "problems"} & set(finished)


# ---------------------------------------------------------------- runs that do not end well


FORGED = {
    "another's picture as its copy": {"snapshot": "{root}/victim.jpg", "output": "{root}/out/x", "problem": None},
    "to be removed at once": {"snapshot": "{root}/victim.jpg", "output": "", "problem": "a chain"},
    "another team's output": {"output": "{root}/theirs/x", "problem": None},
    "answers elsewhere": {"snapshot": None, "output": "", "problem": "a chain", "answered_as": "{root}/away/x"},
    "an unsafe name": {"name": "../x.csv", "problem": None},
    "a key elsewhere": {"key": "{root}/away/x", "snapshot": None, "output": "", "problem": "a chain"},
    "no claim at all": {"nothing": "known"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_claim_that_no_visit_wrote_is_left_alone(disk: World, tmp_path: Path, forged: dict[str, str | None]) -> None:
    """Whoever may drop manifests may write claims: none leads to a file elsewhere, and the others go on."""
    victim = tmp_path / "victim.jpg"
    victim.write_bytes(b"a picture")
    key = claim_key("x.csv", "0" * 64)
    own = {
        "key": key,
        "name": "x.csv",
        "sha256": "0" * 64,
        "output": f"{disk.inbox.outputs}/x",
        "snapshot": disk.files.snapshot_address("x.csv", key),
        "claimed_at": "1",
        "claimed_by": "me",
    }
    said = {name: value and value.format(root=tmp_path) for name, value in forged.items()}
    storage.replace(f"{disk.inbox.place}/_nst/claims/{key}.json", json.dumps(own | said).encode())
    storage.replace(own["snapshot"], GOOD)
    disk.drop("spring.csv", GOOD)

    def elsewhere() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if path.relative_to(tmp_path).parts[0] not in ("in", "book"))

    before = elsewhere()

    assert disk.visit() == Visit(started=["spring.csv"], troubled=[f"{key}.json"])
    assert victim.read_bytes() == b"a picture"
    assert elsewhere() == before
    assert len(disk.book.asked) == 1


def test_a_copy_that_a_refused_claim_may_need_stays(disk: World) -> None:
    """The same bytes saved again beside a claim that is damaged are not taken for done; its owner is told."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    storage.replace(f"{disk.inbox.place}/_nst/claims/{claim.key}.json", b"{")
    disk.drop("spring.csv", GOOD)
    os.utime(f"{disk.inbox.place}/spring.csv", (1e9, 1e9))

    assert disk.visit() == Visit(troubled=[f"{claim.key}.json"])
    assert claim.snapshot is not None
    assert storage.read(claim.snapshot) == GOOD


def test_a_claim_without_a_copy_is_never_started_again(disk: World) -> None:
    """A start that somebody wrote beside it leads nowhere."""
    claim = Claim(
        key="x-1", name="x.csv", sha256=None, output="", snapshot=None, problem=None, claimed_at="1", claimed_by="me"
    )
    disk.files.claim(claim)
    disk.files.add_start(Start(key="x-1", number=1, run_id="never", started_at="2026-01-01T00:00:00+00:00"))

    assert disk.visit() == Visit(rejected=["x.csv"])


def long_ago(world: World, key: str, number: int, seconds: float = 3 * 24 * 3600.0) -> None:
    """Have a run started three days ago, or another while."""
    start = world.files.start(key, number)
    then = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    address = f"{world.inbox.place}/_nst/starts/{key}-{number}.json"
    storage.replace(address, Start(**{**start.model_dump(), "started_at": then}).model_dump_json().encode())


BUSY = "failed Busy another run is at work"
DEAD = "failed Crashed killed by a signal"


def test_a_run_that_died_is_started_again_a_few_times(disk: World) -> None:
    """A crashed run is started again after a while, as a new run, and given up after the last."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    for number in range(1, MAX_STARTS):
        (claim,) = disk.files.open_claims()
        assert len(disk.book.asked) == number
        disk.book.end(disk.book.asked[-1], "failed Crashed killed by a signal")
        assert disk.visit().waiting == ["spring.csv"]
        long_ago(disk, claim.key, number)
        assert disk.visit().started == ["spring.csv"]
    disk.book.end(disk.book.asked[-1], "failed Crashed killed by a signal")

    assert disk.visit().finished == ["spring.csv"]
    finished = disk.answer("spring.csv.finished.json")
    assert (finished["status"], finished["starts"]) == ("failed", MAX_STARTS)
    assert "killed by a signal" in finished["message"]
    assert len(set(disk.book.asked)) == MAX_STARTS
    assert disk.visit() == Visit()


@pytest.mark.parametrize(
    "ends", [((DEAD, 60), (DEAD, 600), (DEAD, 6000)), ((BUSY, 600), (DEAD, 60), (DEAD, 600))], ids=["dead", "busy"]
)
def test_a_run_is_started_again_after_its_pause(disk: World, ends: tuple[tuple[str, int], ...]) -> None:
    """A minute after the first death, ten times that after each further one; ten minutes where the output was busy."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    for number, (state, seconds) in enumerate(ends, start=1):
        disk.book.end(disk.book.asked[-1], state)
        long_ago(disk, claim.key, number, seconds - 20)
        assert disk.visit().waiting == ["spring.csv"], number
        long_ago(disk, claim.key, number, seconds + 1)
        assert disk.visit().started == ["spring.csv"], number


def test_a_busy_output_is_waited_for(disk: World) -> None:
    """A run that was called dead and lives makes every further start leave at once: none of those counts as a death."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    disk.book.end(disk.book.asked[0], "failed Crashed no sign of life")
    for number in range(1, MAX_STARTS + 3):
        assert disk.visit().waiting == ["spring.csv"]
        long_ago(disk, claim.key, number)
        assert disk.visit().started == ["spring.csv"]
        disk.book.end(disk.book.asked[-1], BUSY)
    long_ago(disk, claim.key, MAX_STARTS + 3)
    assert disk.visit().started == ["spring.csv"]
    disk.book.carry_out(disk.book.asked[-1])

    assert disk.visit().finished == ["spring.csv"]
    assert disk.answer("spring.csv.finished.json")["status"] == "succeeded"


def test_deaths_count_also_where_the_output_was_busy_between(disk: World) -> None:
    """A run that dies every time is given up, after as many deaths as ever."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    states = [
        BUSY,
        "failed Crashed killed",
        "failed Crashed killed",
        BUSY,
        *["failed Crashed killed"] * (MAX_STARTS - 3),
    ]
    for number, state in enumerate(states, start=1):
        disk.book.end(disk.book.asked[-1], state)
        long_ago(disk, claim.key, number)
        assert disk.visit().started == ["spring.csv"], number
    disk.book.end(disk.book.asked[-1], "failed Crashed killed")

    assert disk.visit().finished == ["spring.csv"]
    assert disk.answer("spring.csv.finished.json")["status"] == "failed"


def test_a_cancelled_run_is_not_started_again(disk: World) -> None:
    """Somebody meant it."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    disk.book.end(disk.book.asked[0], "cancelled Cancelled by hand")

    assert disk.visit().finished == ["spring.csv"]
    assert disk.answer("spring.csv.finished.json")["status"] == "cancelled"


def test_one_manifests_trouble_does_not_keep_the_others(disk: World) -> None:
    """A claim that cannot be gone on with is named, and the next manifest is taken all the same."""
    disk.drop("a.csv", GOOD)
    disk.visit()
    (disk.book.folder / f"{disk.book.asked[0]}.state").write_text("ended Completed")  # but its output is not there
    disk.drop("b.csv", OTHER)

    done = disk.visit()

    assert (done.troubled, done.started) == (["a.csv"], ["b.csv"])


# ---------------------------------------------------------------- limits


def test_nothing_is_done_outside_of_the_limits(disk: World, tmp_path: Path) -> None:
    """An inbox or outputs that the operator's limits do not list are not touched."""
    disk.drop("spring.csv", GOOD)
    for places in ([disk.inbox.place], [disk.inbox.outputs], []):
        with pytest.raises(NotAllowed):
            visit(disk.inbox, disk.book.runs, limits_for(*places), settle_seconds=0.05)
    assert disk.names == ["spring.csv"]


def test_a_row_outside_of_the_limits_is_a_bad_row(disk: World) -> None:
    """A manifest that wants a file elsewhere is rejected with the row and what is allowed."""
    disk.drop("spring.csv", b"content,style\n/etc/hostname,waves.png\n")

    assert disk.visit().rejected == ["spring.csv"]
    (row,) = disk.answer("spring.csv.rejected.json")["bad_rows"]
    assert "may be read here" in row["reason"]


def test_a_teams_own_limits_are_narrower(tmp_path: Path) -> None:
    """An inbox with limits of its own rejects what the operator's would let pass, and never widens them."""
    inbox = Inbox(place="/in", outputs="/out", max_rows=10, max_options={"size_px": 256, "steps": 900})
    limits = inbox.narrowed(Limits(max_rows=5, max_options={"steps": 100, "levels": 2}))

    assert limits.max_rows == 5
    assert limits.max_options == {"size_px": 256, "steps": 100, "levels": 2}
    with pytest.raises(ValueError, match="expected the name of a numeric option"):
        Inbox(place="/in", outputs="/out", max_options={"sise": 1})
    with pytest.raises(ValueError, match="go with bad_rows: refuse"):
        Inbox(place="/in", outputs="/out", max_options={"steps": 1}, bad_rows="skip")


def test_a_manifest_beyond_its_teams_limits_is_rejected(tmp_path: Path) -> None:
    """A row that asks for more than its team may have is named, with the bound."""
    world = World(str(tmp_path), tmp_path / "book", max_options={"size_px": 256})
    world.drop("big.csv", b"content,style,size_px\na.png,waves.png,300\n")

    assert world.visit().rejected == ["big.csv"]
    (row,) = world.answer("big.csv.rejected.json")["bad_rows"]
    assert "256" in row["reason"]


def test_a_manifest_of_more_rows_than_its_team_may_have_is_rejected(tmp_path: Path) -> None:
    """As a whole, with the bound."""
    world = World(str(tmp_path), tmp_path / "book", max_rows=1)
    world.drop("long.csv", GOOD)
    world.drop("short.csv", OTHER)
    done = world.visit()

    assert (done.rejected, done.started) == (["long.csv"], ["short.csv"])
    assert "expected 1 rows at most; split the file" in world.answer("long.csv.rejected.json")["reason"]


def test_a_link_to_elsewhere_is_not_followed(disk: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link in the inbox to a file outside of the limits is rejected unread: nothing of it shows in the answer."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_bytes(b"id,content,style\nthe-secret-row,a b\n")
    os.makedirs(disk.inbox.place)
    os.symlink(secret, f"{disk.inbox.place}/link.csv")
    os.utime(secret, (1, 1))

    assert disk.visit().rejected == ["link.csv"]
    assert "secret-row" not in storage.read(f"{disk.inbox.place}/link.csv.rejected.json").decode()


def test_a_link_in_an_inbox_leads_no_write_elsewhere(disk: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a team has put a link in the place of `_nst`, or of a folder in it, nothing is written behind it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    disk.drop("spring.csv", GOOD)
    for link in ("_nst", "_nst/claims"):
        os.makedirs(os.path.dirname(f"{disk.inbox.place}/{link}"), exist_ok=True)
        os.symlink(elsewhere, f"{disk.inbox.place}/{link}")
        if link == "_nst":
            with pytest.raises(NotAllowed, match="_nst: is, or lies behind, a link to elsewhere"):
                disk.visit()
        else:
            assert disk.visit().troubled == ["spring.csv"]
        os.unlink(f"{disk.inbox.place}/{link}")

    assert os.listdir(elsewhere) == []
    assert disk.visit().started == ["spring.csv"]


def test_a_claimed_copy_that_becomes_a_link_is_not_read(disk: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The bytes that were claimed lie in the team's folder: what they are replaced by elsewhere shows in no answer."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_bytes(b"id,content,style\nthe-secret-row,a b\n")
    disk.drop("spring.csv", GOOD)
    with pytest.raises(RuntimeError, match="died"):
        visit(disk.inbox, Runs(_dying, disk.book.state_of), disk.limits, settle_seconds=0.05)
    (claim,) = disk.files.open_claims()
    assert claim.snapshot is not None
    os.unlink(claim.snapshot)
    os.symlink(secret, claim.snapshot)

    assert disk.visit().rejected == ["spring.csv"]
    assert "secret-row" not in storage.read(f"{disk.inbox.place}/spring.csv.rejected.json").decode()


# ---------------------------------------------------------------- several visits, deaths


def test_a_second_visit_at_once_does_nothing(world: World) -> None:
    """While one visit holds the inbox, another leaves it alone and says so."""
    world.drop("spring.csv", GOOD)

    with lease.held(world.inbox.place):
        assert world.visit() == Visit(busy=True)
    assert world.book.asked == []
    assert world.visit().started == ["spring.csv"]


def test_a_visit_that_died_is_followed_when_its_lease_has_lapsed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder on another machine that renews no more is waited for, for its term, and then followed."""
    world.drop("spring.csv", GOOD)
    gone = new_lease(1.0).model_copy(update={"host": "gone"})
    storage.create(lease.address_of(world.inbox.place), as_json(gone))

    assert world.visit() == Visit(busy=True)
    time.sleep(1.2)
    assert world.visit().started == ["spring.csv"]


def test_a_claim_whose_holder_died_is_gone_on_with(world: World) -> None:
    """A claim without a start is taken on from the bytes that were claimed, whoever claimed it."""
    world.drop("spring.csv", GOOD)
    with pytest.raises(RuntimeError, match="died"):
        visit(world.inbox, Runs(_dying, world.book.state_of), world.limits, settle_seconds=0.05)
    (claim,) = world.files.open_claims()
    storage.remove(f"{world.inbox.place}/spring.csv")

    assert world.visit().started == ["spring.csv"]
    (key,) = world.book.asked
    assert key.startswith(f"{claim.key}-")
    assert key.endswith("-1")


def _dying(request: object) -> str:
    """Starts a run through an API client whose process ends."""
    raise RuntimeError("died")


def run_program(*arguments: str) -> subprocess.Popen[bytes]:
    path = str(PROGRAM.parents[2])
    return subprocess.Popen([sys.executable, str(PROGRAM), *arguments], env=os.environ | {"PYTHONPATH": path})


def test_a_killed_visit_starts_no_second_run(world: World) -> None:
    """A process killed right after it started a run is followed at once, and the run that it started is found again."""
    world.drop("spring.csv", GOOD)
    killed = run_program(world.inbox.place, world.inbox.outputs, str(world.book.folder), "die-after-start")
    killed.wait()
    assert killed.returncode == -9
    (key,) = world.book.asked

    assert world.visit().started == ["spring.csv"]
    assert world.book.asked == [key, key]
    assert len(list(world.book.folder.glob("*.state"))) == 1
    visit_until_done(world.inbox, world.book, world.limits)
    assert world.answer("spring.csv.finished.json")["succeeded"] == 2


def test_visits_of_several_processes_run_every_manifest_once(world: World) -> None:
    """Three processes that visit one inbox at once, again and again, start every manifest's run once and finish it."""
    names = [f"m{number}" for number in range(8)]
    for number, name in enumerate(names):
        world.drop(f"{name}.csv", GOOD + f"extra{number},cat.png,waves.png\n".encode())

    arguments = (world.inbox.place, world.inbox.outputs, str(world.book.folder))
    racers = [run_program(*arguments) for _ in range(3)]

    assert [racer.wait(120) for racer in racers] == [0, 0, 0]
    assert len(world.book.asked) == len(set(world.book.asked)) == len(names)
    for name in names:
        assert world.answer(f"{name}.csv.finished.json")["succeeded"] == 3
    assert world.files.open_claims() == []


def test_a_claim_has_one_winner_even_without_the_lease(world: World) -> None:
    """What keeps a manifest from being taken twice is the create-only claim, not the lease."""
    facts = {"key": "spring-1", "name": "spring.csv", "sha256": None, "output": "", "snapshot": None, "problem": None}
    claims = [Claim(**facts, claimed_at=f"2026-01-0{n}", claimed_by=f"visit {n}") for n in range(1, 9)]

    won = storage.each(world.files.claim, claims)

    assert won.count(True) == 1
    assert world.files.open_claims() == [claims[won.index(True)]]


# ---------------------------------------------------------------- forms of a manifest


def every_form() -> dict[str, bytes]:
    """One and the same manifest under the names, and in the forms, that `nst run` takes."""
    frame = pd.read_csv(io.BytesIO(GOOD))
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    lines = frame.to_json(orient="records", lines=True).encode()
    return {
        "spring.csv": GOOD,
        "spring.csv.gz": gzip.compress(GOOD),
        "spring.tsv": GOOD.replace(b",", b"\t"),
        "spring.jsonl": lines,
        "spring.ndjson.gz": gzip.compress(lines),
        "spring.parquet": parquet.getvalue(),
        "SPRING.CSV": GOOD,
    }


def test_every_form_has_answers_and_an_output_of_its_own(world: World) -> None:
    """Files that differ in their ending alone are run side by side, and none is written over by another."""
    forms = every_form()
    for name, data in forms.items():
        world.drop(name, data)
    visit_until_done(world.inbox, world.book, world.limits)
    outputs = {name: world.answer(f"{name}.finished.json")["output"] for name in forms}

    assert len(set(world.book.asked)) == len(set(outputs.values())) == len(forms)
    assert outputs["spring.csv"] == f"{world.inbox.outputs}/spring"
    assert outputs["spring.parquet"] == f"{world.inbox.outputs}/spring.parquet"
    for name in forms:
        told = world.answer(f"{name}.finished.json")
        assert (told["manifest"], told["status"], told["succeeded"]) == (name, "succeeded", 2)
        assert f"<h1>{name}</h1>" in storage.read(f"{world.inbox.place}/{name}.finished.html").decode()


def test_a_rejected_page_on_s3_is_one_for_a_browser(s3_bucket: str, tmp_path: Path) -> None:
    """An object that is said to be HTML opens from a console or a link; one of no type would be saved."""
    world = World(f"{s3_bucket}/nst", tmp_path / "book")
    world.drop("spring.csv", BAD_ROWS)
    world.visit()
    key = "nst/in/spring.csv.rejected.html"
    head = boto3.client("s3").head_object(Bucket=s3_bucket.removeprefix("s3://"), Key=key)

    assert head["ContentType"] == "text/html; charset=utf-8"
    assert b"2 of 3 rows cannot be used" in storage.read(f"{s3_bucket}/{key}")


def test_a_manifest_that_s3_stores_compressed_is_run(s3_bucket: str, tmp_path: Path) -> None:
    """An object with `Content-Encoding: gzip`, which is stored in fewer bytes than it has, is run like any other."""
    world = World(f"{s3_bucket}/nst", tmp_path / "book")
    boto3.client("s3").put_object(
        Bucket=s3_bucket.removeprefix("s3://"),
        Key="nst/in/spring.csv",
        Body=gzip.compress(GOOD),
        ContentEncoding="gzip",
    )

    assert world.visit().started == ["spring.csv"]
    assert world.answer("spring.csv.accepted.json")["rows"] == 2
    world.book.carry_out(world.book.asked[0])
    assert world.visit().finished == ["spring.csv"]
    assert world.visit() == Visit()


@pytest.mark.parametrize(("coding", "reason"), [("br", "only gzip is read"), ("gzip", "and is none")])
def test_a_manifest_in_a_coding_that_cannot_be_read_is_rejected_once(
    s3_bucket: str, tmp_path: Path, coding: str, reason: str
) -> None:
    """An S3 object whose `Content-Encoding` cannot be decoded is answered, and not read again until it is replaced."""
    world = World(f"{s3_bucket}/nst", tmp_path / "book")
    boto3.client("s3").put_object(
        Bucket=s3_bucket.removeprefix("s3://"), Key="nst/in/spring.csv", Body=GOOD, ContentEncoding=coding
    )

    assert world.visit().rejected == ["spring.csv"]
    assert reason in world.answer("spring.csv.rejected.json")["reason"]
    assert world.visit() == Visit()

    world.drop("spring.csv", OTHER)
    assert world.visit().started == ["spring.csv"]

"""flows.inbox.visit: dropped manifests are claimed once, answered, run and finished, on disk and on S3."""

import gzip
import hashlib
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
from flows.manifest import parse_manifest
from flows.output import Ledger, lease
from flows.output.lease_file import as_json, new_lease
from flows.records.runs import RunState
from flows.settings import RunSettings
from nst_core.options import StylizeOptions
from tests.flows.builders import run_record
from tests.flows.inbox_runs import BookOfRuns, Clock, limits_for, visit_until_done

GOOD = b"id,content,style\ncat,cat.png,waves.png\ndog,dog.png,waves.png\n"
OTHER = b"id,content,style\ncat,cat.png,waves.png\n"
BAD_ROWS = b"id,content,style,steps\ncat,cat.png,waves.png,5\nbad id,dog.png,waves.png,5\ncow,,waves.png,many\n"
BROKEN = b"id|content|style\ncat|cat.png|waves.png\n"
PROGRAM = Path(__file__).parents[1] / "inbox_runs.py"


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The folder or S3 prefix that holds the inbox and the outputs."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3_bucket") + "/nst"


class World:
    """An inbox, the runs that its visits start, and methods that drop manifests and read answers."""

    def __init__(self, root: str, book: Path, **changes: Any) -> None:
        self.inbox = Inbox(place=f"{root}/in", outputs=f"{root}/out", **changes)
        self.limits = limits_for(root)
        self.book = BookOfRuns(book)
        self.files = InboxFiles(self.inbox.place, self.inbox.outputs)

    def drop(self, name: str, data: bytes) -> None:
        address = f"{self.inbox.place}/{name}"
        storage.replace(address, data)
        if not storage.is_s3(address):  # an age of its own for each length, so that changed files have a new time
            then = time.time() - 48 * 3600 - len(data)
            os.utime(address, (then, then))

    def drop_later(self, name: str, data: bytes) -> None:
        """Drop a manifest with a later time than before; S3 keeps times in whole seconds."""
        address = f"{self.inbox.place}/{name}"
        if storage.is_s3(address):
            time.sleep(1.1)
        storage.replace(address, data)

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
    """A world on disk, for behaviour that does not depend on the storage."""
    return World(str(tmp_path), tmp_path / "book")


# ---------------------------------------------------------------- one manifest


def test_a_good_manifest_is_accepted_run_and_finished(world: World) -> None:
    """A good manifest is answered with its run and output, and with its counts once the run has ended; then nothing is
    left to do.
    """
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


def test_a_rejection_names_every_bad_row(world: World) -> None:
    """A manifest with bad rows is rejected, and the answer names each of them with its line, columns and reasons."""
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
    """With `bad_rows="skip"` the good rows are run; the answer names the bad rows all the same."""
    world = World(str(tmp_path), tmp_path / "book", bad_rows="skip")
    world.drop("spring.csv", BAD_ROWS)

    assert world.visit().started == ["spring.csv"]
    assert [row["row"] for row in world.answer("spring.csv.accepted.json")["bad_rows"]] == [3, 4]


def test_a_manifest_of_bad_rows_alone_is_rejected(tmp_path: Path) -> None:
    """Even with `bad_rows="skip"`, a manifest without any good row is rejected: a run would have nothing to do."""
    world = World(str(tmp_path), tmp_path / "book", bad_rows="skip")
    world.drop("spring.csv", b"id,content,style\nbad id,cat.png,waves.png\n,,waves.png\n")

    assert world.visit().rejected == ["spring.csv"]
    assert world.answer("spring.csv.rejected.json")["reason"] == "2 of 2 rows cannot be used"
    assert world.book.asked == []


def test_a_run_has_the_teams_options_and_settings(tmp_path: Path) -> None:
    """A run is started with the inbox's options and settings; a stub backbone gets no estimate in the answer."""
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
    assert "estimate" not in world.answer("spring.csv.accepted.json")  # the stub makes its images up


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
def test_a_file_that_is_not_a_manifest_is_rejected_with_the_reason(
    disk: World, name: str, data: bytes, reason: str
) -> None:
    """A file that cannot be used as a whole is rejected once, under its own name, and starts no run."""
    disk.limits = Limits(strict=True, read=disk.limits.read, write=disk.limits.write, max_manifest_bytes=200)
    disk.drop(name, data)

    assert disk.visit().rejected == [name]
    assert reason in disk.answer(f"{name}.rejected.json")["reason"]
    assert disk.visit() == Visit()
    assert disk.book.asked == []


def test_other_files_are_left_alone(disk: World) -> None:
    """Visits ignore images, notes, hidden files and temporary files: they look only at the endings of manifests."""
    for name in ("cat.png", "notes.txt", ".spring.csv.part", "spring.csv.tmp"):
        disk.drop(name, GOOD)

    assert disk.visit() == Visit()


def test_a_file_that_grows_between_two_listings_is_not_claimed(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has grown since it was first listed is not claimed; once it is complete, it is."""
    address = f"{disk.inbox.place}/spring.csv"
    storage.replace(address, GOOD[:30])
    with monkeypatch.context() as patch:
        patch.setattr("flows.inbox.arrivals.time", Clock(lambda: storage.replace(address, GOOD)))
        first = visit(disk.inbox, disk.book.runs, disk.limits, settle_seconds=60)

    assert (first, disk.book.asked) == (Visit(), [])
    disk.drop("spring.csv", GOOD)
    assert disk.visit().started == ["spring.csv"]
    assert disk.answer("spring.csv.accepted.json")["rows"] == 2


def test_a_file_that_grows_before_it_is_read_is_not_claimed(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose length differs from its listing may be half written: only a later visit claims it."""
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


# ---------------------------------------------------------------- manifests that are dropped again


def test_the_same_bytes_dropped_again_start_nothing(world: World) -> None:
    """A manifest that is dropped again later with the same bytes starts no run and leaves no new files."""
    world.drop("spring.csv", GOOD)
    visit_until_done(world.inbox, world.book, world.limits)
    before = world.names
    storage.remove(f"{world.inbox.place}/spring.csv")
    time.sleep(0.02)
    storage.create(f"{world.inbox.place}/spring.csv", GOOD)  # a new file with a new time

    assert world.visit() == Visit()
    assert (len(world.book.asked), world.names) == (1, before)


def test_the_same_bytes_dropped_during_their_run_keep_its_copy(disk: World) -> None:
    """Saving the same manifest again while its run is open does not remove the copy that the run reads."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    assert claim.snapshot is not None
    disk.drop("spring.csv", GOOD)

    assert disk.visit() == Visit(running=["spring.csv"])
    assert storage.read(claim.snapshot) == GOOD
    disk.book.carry_out(disk.book.asked[0])
    assert disk.visit().finished == ["spring.csv"]


def test_a_finished_manifest_can_be_run_again(world: World) -> None:
    """After the inbox's markers of a finished manifest are removed, as the runbook says, a new run is started."""
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
    """A corrected manifest is claimed anew when it is dropped, and the answer to its earlier version is removed."""
    world.drop("spring.csv", BAD_ROWS)
    assert world.visit().rejected == ["spring.csv"]
    world.drop("spring.csv", GOOD)

    assert world.visit().started == ["spring.csv"]
    assert "spring.csv.rejected.json" not in world.names
    assert world.answer("spring.csv.accepted.json")["rows"] == 2


def test_a_rejected_manifest_is_checked_again_when_it_is_dropped_again(world: World) -> None:
    """The same bytes may pass later: here an image exceeded the limits at first, and no longer does."""
    image = f"{world.inbox.place}/cat.png"
    world.limits = world.limits.model_copy(update={"max_image_bytes": 1000})
    storage.replace(image, b"x" * 1001)
    storage.replace(f"{world.inbox.place}/waves.png", b"x")
    world.drop("spring.csv", OTHER)
    assert world.visit().rejected == ["spring.csv"]
    assert world.visit() == Visit()

    storage.replace(image, b"x" * 1000)
    world.drop_later("spring.csv", OTHER)
    assert world.visit().started == ["spring.csv"]
    assert "spring.csv.rejected.json" not in world.names
    assert world.answer("spring.csv.accepted.json")["rows"] == 1


def test_a_rejected_manifest_may_be_rejected_again(world: World) -> None:
    """A manifest is rejected once each time it is dropped, and not again by later visits."""
    for _ in range(2):
        world.drop_later("spring.csv", BAD_ROWS)
        assert world.visit().rejected == ["spring.csv"]
        assert world.visit() == Visit()


def test_a_later_version_waits_for_the_earlier_ones_run(disk: World) -> None:
    """Two versions of a manifest share an output: their runs follow one another in the order of the claims."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    disk.drop("spring.csv", OTHER)

    second = disk.visit()
    assert (second.running, second.waiting) == (["spring.csv"], ["spring.csv"])
    disk.book.carry_out(disk.book.asked[0])
    third = disk.visit()
    assert (third.finished, third.started) == (["spring.csv"], ["spring.csv"])
    assert len(set(disk.book.asked)) == 2


def test_a_version_that_a_clock_ahead_dated_runs_before_the_next_one(disk: World) -> None:
    """If the clock was set back by years between two versions of a manifest, their runs still follow one another in the
    order in which they were dropped: the images are those of the later version in the end.
    """
    disk.drop("spring.csv", GOOD)
    with pytest.raises(Died):
        visit(disk.inbox, Runs(_dying, disk.book.state_of), disk.limits, settle_seconds=0.05)
    (first,) = disk.files.open_claims()
    dated = first.model_copy(update={"claimed_at": "2999-01-01T00:00:00.000000+00:00"})
    storage.replace(f"{disk.inbox.place}/_nst/claims/{first.key}.json", dated.model_dump_json().encode())
    disk.drop("spring.csv", OTHER)

    done = disk.visit()

    assert (done.started, done.waiting) == (["spring.csv"], ["spring.csv"])
    (run_id,) = disk.book.asked
    address, _ = (disk.book.folder / f"{run_id}.request").read_text().splitlines()
    assert storage.read(address) == GOOD


def test_a_claim_of_an_earlier_release_runs_before_later_ones(disk: World) -> None:
    """A claim that was written before claims had a version is read, and comes before all that have one."""
    disk.drop("spring.csv", GOOD)
    with pytest.raises(Died):
        visit(disk.inbox, Runs(_dying, disk.book.state_of), disk.limits, settle_seconds=0.05)
    (first,) = disk.files.open_claims()
    storage.replace(
        f"{disk.inbox.place}/_nst/claims/{first.key}.json", first.model_dump_json(exclude={"version"}).encode()
    )
    disk.drop("spring.csv", OTHER)
    disk.visit()

    assert [(claim.sha256 == first.sha256, claim.version) for claim in disk.files.open_claims()] == [
        (True, 0),
        (False, 1),
    ]


def test_the_run_gets_the_bytes_that_were_claimed(disk: World) -> None:
    """A manifest that is removed after it was accepted is run from its claimed copy, which lies in the same folder."""
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


def test_the_counts_of_another_manifests_run_are_not_reported(disk: World) -> None:
    """If another manifest was run into the output in the meantime, the answer says so and omits that run's counts."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    disk.book.carry_out(disk.book.asked[0])
    Ledger(claim.output).start_run(run_record(run_id="a later run", manifest_sha256="00" * 32), OTHER)

    assert disk.visit().finished == ["spring.csv"]
    finished = disk.answer("spring.csv.finished.json")
    assert finished["note"].startswith("another manifest has been run into this output since")
    assert not {"rows", "succeeded", "pending", "problems"} & set(finished)


# ---------------------------------------------------------------- forged and damaged claims


FORGED = {
    "another team's image as its copy": {"snapshot": "{root}/victim.jpg", "output": "{root}/out/x", "problem": None},
    "a file to be removed at once": {"snapshot": "{root}/victim.jpg", "output": "", "problem": "a chain"},
    "another team's output": {"output": "{root}/theirs/x", "problem": None},
    "answers in another folder": {"snapshot": None, "output": "", "problem": "a chain", "answered_as": "{root}/away/x"},
    "an unsafe name": {"name": "../x.csv", "problem": None},
    "a key in another folder": {"key": "{root}/away/x", "snapshot": None, "output": "", "problem": "a chain"},
    "unknown fields": {"nothing": "known"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_claim_changes_nothing_elsewhere(disk: World, tmp_path: Path, forged: dict[str, str | None]) -> None:
    """Whoever may drop manifests may also write claims: a forged claim changes no file outside the inbox, and the other
    manifests are still run.
    """
    victim = tmp_path / "victim.jpg"
    victim.write_bytes(b"an image")
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
    assert victim.read_bytes() == b"an image"
    assert elsewhere() == before
    assert len(disk.book.asked) == 1


def test_the_copy_of_a_damaged_claim_is_kept(disk: World) -> None:
    """If the claim on the same bytes is damaged, a manifest that is saved again does not count as done: its copy is
    kept, and the visit reports the damaged claim.
    """
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    storage.replace(f"{disk.inbox.place}/_nst/claims/{claim.key}.json", b"{")
    disk.drop("spring.csv", GOOD)
    os.utime(f"{disk.inbox.place}/spring.csv", (1e9, 1e9))

    assert disk.visit() == Visit(troubled=[f"{claim.key}.json"])
    assert claim.snapshot is not None
    assert storage.read(claim.snapshot) == GOOD


def test_a_claim_without_a_copy_is_rejected_despite_a_start(disk: World) -> None:
    """A claim without a copy is rejected, even if somebody wrote a start for it."""
    claim = Claim(
        key="x-1", name="x.csv", sha256=None, output="", snapshot=None, problem=None, claimed_at="1", claimed_by="me"
    )
    disk.files.claim(claim)
    disk.files.add_start(Start(key="x-1", number=1, run_id="never", started_at="2026-01-01T00:00:00+00:00"))

    assert disk.visit() == Visit(rejected=["x.csv"])


# ---------------------------------------------------------------- runs that do not end well


def long_ago(world: World, key: str, number: int, seconds: float = 3 * 24 * 3600.0) -> None:
    """Change the record of a start so that its run was started three days, or `seconds`, ago."""
    start = world.files.start(key, number)
    then = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    address = f"{world.inbox.place}/_nst/starts/{key}-{number}.json"
    storage.replace(address, Start(**{**start.model_dump(), "started_at": then}).model_dump_json().encode())


BUSY = "failed Busy another run is at work"
DEAD = "failed Crashed killed by a signal"


def test_a_run_that_died_is_started_again_a_few_times(disk: World) -> None:
    """A crashed run is started again, as a new run, after a pause; after the last start the manifest is given up."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    for number in range(1, MAX_STARTS):
        (claim,) = disk.files.open_claims()
        assert len(disk.book.asked) == number
        disk.book.end(disk.book.asked[-1], DEAD)
        assert disk.visit().waiting == ["spring.csv"]
        long_ago(disk, claim.key, number)
        assert disk.visit().started == ["spring.csv"]
    disk.book.end(disk.book.asked[-1], DEAD)

    assert disk.visit().finished == ["spring.csv"]
    finished = disk.answer("spring.csv.finished.json")
    assert (finished["status"], finished["starts"]) == ("failed", MAX_STARTS)
    assert "killed by a signal" in finished["message"]
    assert len(set(disk.book.asked)) == MAX_STARTS
    assert disk.visit() == Visit()


@pytest.mark.parametrize(
    "ends",
    [((DEAD, 60), (DEAD, 600), (DEAD, 6000)), ((BUSY, 600), (DEAD, 60), (DEAD, 600))],
    ids=["crashes", "a busy output, then crashes"],
)
def test_a_run_is_started_again_after_its_pause(disk: World, ends: tuple[tuple[str, int], ...]) -> None:
    """The pause is one minute after the first crash, ten times as long after each further one, and ten minutes after a
    start that found the output busy.
    """
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    for number, (state, seconds) in enumerate(ends, start=1):
        disk.book.end(disk.book.asked[-1], state)
        long_ago(disk, claim.key, number, seconds - 20)
        assert disk.visit().waiting == ["spring.csv"], number
        long_ago(disk, claim.key, number, seconds + 1)
        assert disk.visit().started == ["spring.csv"], number


def test_a_start_that_a_clock_a_year_ahead_recorded_is_not_waited_for(disk: World) -> None:
    """A failed run whose start lies a year in the future, by a wrong clock, is started again at once; one that lies
    seconds in the future, as the clocks of two machines differ, after its pause.
    """
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    disk.book.end(disk.book.asked[0], DEAD)

    long_ago(disk, claim.key, 1, -20)
    assert disk.visit().waiting == ["spring.csv"]
    long_ago(disk, claim.key, 1, -365 * 24 * 3600.0)
    assert disk.visit().started == ["spring.csv"]


def test_a_busy_output_is_waited_for(disk: World) -> None:
    """While a run that counted as dead still works, each further start ends at once because the output is busy; such
    starts do not count as failures.
    """
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


def test_crashes_count_though_the_output_was_busy_in_between(disk: World) -> None:
    """A run that crashes every time is given up after MAX_STARTS crashes, even if the output was busy in between."""
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


def test_the_tenth_start_follows_the_ninth(disk: World) -> None:
    """A manifest may be started any number of times while its output is busy: the latest start is the one to follow."""
    for number in range(1, 12):
        disk.files.add_start(Start(key="x-1", number=number, run_id="r", started_at="2026-01-01T00:00:00+00:00"))

    assert disk.files.latest_starts() == {"x-1": 11}


def test_a_cancelled_run_is_not_started_again(disk: World) -> None:
    """A person cancelled the run, so the manifest is finished with the status `cancelled`."""
    disk.drop("spring.csv", GOOD)
    disk.visit()
    disk.book.end(disk.book.asked[0], "cancelled Cancelled by hand")

    assert disk.visit().finished == ["spring.csv"]
    assert disk.answer("spring.csv.finished.json")["status"] == "cancelled"


def test_one_troubled_manifest_does_not_stop_the_others(disk: World) -> None:
    """The visit reports a claim that cannot be continued with, and still starts the next manifest."""
    disk.drop("a.csv", GOOD)
    disk.visit()
    (disk.book.folder / f"{disk.book.asked[0]}.state").write_text("ended Completed")  # but its output does not exist
    disk.drop("b.csv", OTHER)

    done = disk.visit()

    assert (done.troubled, done.started) == (["a.csv"], ["b.csv"])


def test_an_error_that_nobody_foresaw_does_not_stop_the_others(
    disk: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If reading one team's file fails in a way that no one has thought of, the visit reports that file, with the place
    in the log, and still starts the others; the next visit tries the file again.
    """

    def read(data: bytes, *arguments: Any, **options: Any) -> Any:
        if data == OTHER:
            raise IndexError("list index out of range")
        return parse_manifest(data, *arguments, **options)

    disk.drop("a.csv", OTHER)
    disk.drop("b.csv", GOOD)

    with monkeypatch.context() as during:
        during.setattr(sys.modules[visit.__module__], "parse_manifest", read)
        assert disk.visit() == Visit(started=["b.csv"], troubled=["a.csv"])
    assert "a.csv: an error of this program that nobody foresaw" in caplog.text
    assert "IndexError" in caplog.text
    assert disk.visit() == Visit(started=["a.csv"], running=["b.csv"])


STARTS = {
    "a time without a zone": '{{"key": "{key}", "number": 1, "run_id": "gone", "started_at": "2026-01-01T00:00:00"}}',
    "no time": '{{"key": "{key}", "number": 1, "run_id": "gone", "started_at": "soon"}}',
    "no start": "[" * 1000,
    "a very large file": " " * 200_000,
}


@pytest.mark.parametrize("forged", STARTS.values(), ids=STARTS)
def test_a_forged_start_does_not_stop_the_others(disk: World, forged: str) -> None:
    """Whoever may drop manifests may also write starts: a visit reports one that it cannot use, and goes on."""
    disk.drop("a.csv", OTHER)
    disk.visit()
    (claim,) = disk.files.open_claims()
    storage.replace(f"{disk.inbox.place}/_nst/starts/{claim.key}-1.json", forged.format(key=claim.key).encode())
    (disk.book.folder / "gone.state").write_text(DEAD)
    disk.drop("b.csv", GOOD)

    assert disk.visit() == Visit(started=["b.csv"], troubled=["a.csv"])


# ---------------------------------------------------------------- limits


def test_nothing_is_done_outside_of_the_limits(disk: World, tmp_path: Path) -> None:
    """A visit writes nothing to an inbox unless the operator's limits list the inbox and its outputs."""
    disk.drop("spring.csv", GOOD)
    for places in ([disk.inbox.place], [disk.inbox.outputs], []):
        with pytest.raises(NotAllowed):
            visit(disk.inbox, disk.book.runs, limits_for(*places), settle_seconds=0.05)
    assert disk.names == ["spring.csv"]


def test_a_row_outside_of_the_limits_is_a_bad_row(disk: World) -> None:
    """A manifest that asks for a file outside of the limits is rejected, with the row and what is allowed."""
    disk.drop("spring.csv", b"content,style\n/etc/hostname,waves.png\n")

    assert disk.visit().rejected == ["spring.csv"]
    (row,) = disk.answer("spring.csv.rejected.json")["bad_rows"]
    assert "may be read here" in row["reason"]


def test_an_inbox_narrows_the_operators_limits(tmp_path: Path) -> None:
    """An inbox's own limits narrow the operator's and never widen them; limits that make no sense are refused."""
    inbox = Inbox(place="/in", outputs="/out", max_rows=10, max_options={"size_px": 256, "steps": 900})
    limits = inbox.narrowed(Limits(max_rows=5, max_options={"steps": 100, "levels": 2}))

    assert limits.max_rows == 5
    assert limits.max_options == {"size_px": 256, "steps": 100, "levels": 2}
    with pytest.raises(ValueError, match="expected the name of a numeric option"):
        Inbox(place="/in", outputs="/out", max_options={"sise": 1})
    with pytest.raises(ValueError, match="go with bad_rows: refuse"):
        Inbox(place="/in", outputs="/out", max_options={"steps": 1}, bad_rows="skip")


def test_a_manifest_beyond_its_teams_limits_is_rejected(tmp_path: Path) -> None:
    """A row with an option above its inbox's bound is named in the rejection, with the bound."""
    world = World(str(tmp_path), tmp_path / "book", max_options={"size_px": 256})
    world.drop("big.csv", b"content,style,size_px\na.png,waves.png,300\n")

    assert world.visit().rejected == ["big.csv"]
    (row,) = world.answer("big.csv.rejected.json")["bad_rows"]
    assert "256" in row["reason"]


def test_a_manifest_with_more_rows_than_its_inbox_allows_is_rejected(tmp_path: Path) -> None:
    """The manifest is rejected as a whole, and the answer names the bound."""
    world = World(str(tmp_path), tmp_path / "book", max_rows=1)
    world.drop("long.csv", GOOD)
    world.drop("short.csv", OTHER)
    done = world.visit()

    assert (done.rejected, done.started) == (["long.csv"], ["short.csv"])
    assert "expected 1 rows at most; split the file" in world.answer("long.csv.rejected.json")["reason"]


def test_a_link_to_elsewhere_is_not_followed(disk: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link to a file outside of the limits is rejected unread: the answer shows nothing of the file."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_bytes(b"id,content,style\nthe-secret-row,a b\n")
    os.makedirs(disk.inbox.place)
    os.symlink(secret, f"{disk.inbox.place}/link.csv")
    os.utime(secret, (1, 1))

    assert disk.visit().rejected == ["link.csv"]
    assert "secret-row" not in storage.read(f"{disk.inbox.place}/link.csv.rejected.json").decode()


def test_a_link_in_place_of_a_state_folder_is_not_written_through(
    disk: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If somebody put a link in place of `_nst`, or of a folder in it, nothing is written behind the link."""
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
    """The claimed copy lies in the team's folder: if a link to another file replaces it, no answer shows that file."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_bytes(b"id,content,style\nthe-secret-row,a b\n")
    disk.drop("spring.csv", GOOD)
    with pytest.raises(Died):
        visit(disk.inbox, Runs(_dying, disk.book.state_of), disk.limits, settle_seconds=0.05)
    (claim,) = disk.files.open_claims()
    assert claim.snapshot is not None
    os.unlink(claim.snapshot)
    os.symlink(secret, claim.snapshot)

    assert disk.visit().rejected == ["spring.csv"]
    assert "secret-row" not in storage.read(f"{disk.inbox.place}/spring.csv.rejected.json").decode()


# ---------------------------------------------------------------- several visits, and visits that die


def test_a_claimed_copy_with_other_bytes_is_not_run(tmp_path: Path) -> None:
    """The claimed copy lies in the team's folder: if a manifest beyond the team's limits replaces it before its run is
    started, or started again, it is rejected; saved again, the manifest is run.
    """
    world = World(str(tmp_path), tmp_path / "book", max_rows=1)
    world.drop("spring.csv", OTHER)
    with pytest.raises(Died):
        visit(world.inbox, Runs(_dying, world.book.state_of), world.limits, settle_seconds=0.05)
    (claim,) = world.files.open_claims()
    assert claim.snapshot is not None
    storage.replace(claim.snapshot, GOOD)

    assert world.visit().rejected == ["spring.csv"]
    assert "expected the bytes that were claimed" in world.answer("spring.csv.rejected.json")["reason"]

    world.drop_later("spring.csv", OTHER)
    assert world.visit().started == ["spring.csv"]
    (run_id,) = world.book.asked
    world.book.end(run_id, DEAD)
    long_ago(world, claim.key, 1)
    storage.replace(claim.snapshot, GOOD)
    assert world.visit().rejected == ["spring.csv"]
    assert world.book.asked == [run_id]


def test_a_run_is_told_the_hash_of_its_manifest(disk: World) -> None:
    """The hash of the bytes that were checked goes along with the request, because the copy may be replaced later."""
    requests: list[StartRequest] = []

    def start(request: StartRequest) -> str:
        requests.append(request)
        return disk.book.start(request)

    disk.drop("spring.csv", GOOD)
    visit(disk.inbox, Runs(start, disk.book.state_of), disk.limits, settle_seconds=0.05)

    assert [request.manifest_sha256 for request in requests] == [hashlib.sha256(GOOD).hexdigest()]


def test_a_second_visit_at_the_same_time_does_nothing(world: World) -> None:
    """While one visit holds the inbox, another one changes nothing and reports that the inbox is busy."""
    world.drop("spring.csv", GOOD)

    with lease.held(world.inbox.place):
        assert world.visit() == Visit(busy=True)
    assert world.book.asked == []
    assert world.visit().started == ["spring.csv"]


def test_a_dead_visits_lease_is_taken_over_after_its_term(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease from another machine that is no longer renewed blocks the inbox for its term, and then no longer."""
    world.drop("spring.csv", GOOD)
    gone = new_lease(1.0).model_copy(update={"host": "gone"})
    storage.create(lease.address_of(world.inbox.place), as_json(gone))

    assert world.visit() == Visit(busy=True)
    time.sleep(1.2)
    assert world.visit().started == ["spring.csv"]


def others_finish(world: World, *, is_taken_over: bool) -> None:
    """Do what happens while a visit is suspended for longer than its term: others take over, and finish everything.

    Without `is_taken_over` the lease is gone afterwards, as where a store or an operator has lost it: the suspended
    visit then cannot know that there were others.
    """
    storage.remove(lease.address_of(world.inbox.place))  # in place of waiting until its term is over
    visit_until_done(world.inbox, world.book, world.limits)
    if not is_taken_over:
        storage.remove(lease.address_of(world.inbox.place))


@pytest.mark.parametrize("is_taken_over", [True, False], ids=["taken over", "lease lost"])
def test_a_suspended_visit_does_not_reject_what_others_have_finished(world: World, is_taken_over: bool) -> None:
    """A visit read that a manifest is claimed and not started, and was suspended until others had run and finished it:
    it does not miss the copy that they have removed, and their answers stay.
    """
    world.drop("first.csv", GOOD)
    world.visit()
    world.drop("second.csv", OTHER)

    def suspended(run_id: str) -> RunState:
        others_finish(world, is_taken_over=is_taken_over)
        return world.book.state_of(run_id)

    done = visit(world.inbox, Runs(world.book.start, suspended), world.limits, settle_seconds=0.05)

    assert done == Visit(busy=is_taken_over)
    endings = ("", ".accepted.json", ".finished.html", ".finished.json")
    assert world.names == [f"{name}{ending}" for name in ("first.csv", "second.csv") for ending in endings]
    assert world.answer("second.csv.finished.json")["status"] == "succeeded"
    assert len(world.book.asked) == 2


@pytest.mark.parametrize("is_taken_over", [True, False], ids=["taken over", "lease lost"])
def test_a_suspended_visit_does_not_accept_what_others_have_finished(disk: World, is_taken_over: bool) -> None:
    """A visit was suspended right after it started a run, until others had finished its manifest: it does not answer
    that the manifest is accepted, which would remove their answer.
    """
    disk.drop("spring.csv", GOOD)

    def suspended(request: StartRequest) -> str:
        run_id = disk.book.start(request)
        others_finish(disk, is_taken_over=is_taken_over)
        return run_id

    done = visit(disk.inbox, Runs(suspended, disk.book.state_of), disk.limits, settle_seconds=0.05)

    assert done == Visit(busy=is_taken_over)
    assert disk.answer("spring.csv.finished.json")["status"] == "succeeded"
    assert len(set(disk.book.asked)) == 1


@pytest.mark.parametrize("state", [DEAD, "cancelled Cancelled by hand"], ids=["start", "finish"])
@pytest.mark.parametrize("is_taken_over", [True, False], ids=["taken over", "lease lost"])
def test_a_suspended_visit_neither_starts_nor_finishes_what_others_have_finished(
    disk: World, is_taken_over: bool, state: str
) -> None:
    """A visit read a run's state, and was suspended until others had finished its manifest: it starts no further run,
    and their answer stays.
    """
    disk.drop("spring.csv", GOOD)
    disk.visit()
    (claim,) = disk.files.open_claims()
    (run_id,) = disk.book.asked
    long_ago(disk, claim.key, 1)

    def suspended(run_id: str) -> RunState:
        others_finish(disk, is_taken_over=is_taken_over)
        disk.book.end(run_id, state)
        return disk.book.state_of(run_id)

    done = visit(disk.inbox, Runs(disk.book.start, suspended), disk.limits, settle_seconds=0.05)

    assert done == Visit(busy=is_taken_over)
    assert disk.book.asked == [run_id]
    assert disk.answer("spring.csv.finished.json")["status"] == "succeeded"


def test_a_suspended_visit_claims_nothing(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit was suspended between its two listings of the inbox, until others had rejected a manifest: it does not
    claim that once more, which would reject it a second time.
    """
    disk.drop_later("spring.csv", BAD_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr("flows.inbox.arrivals.time", Clock(lambda: _in_its_place(patch, disk)))
        done = visit(disk.inbox, disk.book.runs, disk.limits, settle_seconds=60)

    assert done == Visit(busy=True)
    assert disk.names == ["spring.csv", "spring.csv.rejected.html", "spring.csv.rejected.json"]


def _in_its_place(patch: pytest.MonkeyPatch, world: World) -> None:
    """Let others visit, with a clock that does not suspend them too."""
    patch.setattr("flows.inbox.arrivals.time", Clock())
    others_finish(world, is_taken_over=True)


def test_a_copy_that_a_killed_visit_left_behind_is_removed(world: World) -> None:
    """A visit that was killed after it marked a manifest as finished leaves its copy behind: the next one removes that,
    and no copy of a manifest whose run is open.
    """
    for name in ("done.csv", "open.csv"):
        world.drop(name, GOOD)
    world.visit()
    done, still_open = sorted(world.files.open_claims(), key=lambda claim: claim.name)
    assert done.snapshot is not None
    assert still_open.snapshot is not None
    world.book.carry_out(next(run_id for run_id in world.book.asked if run_id.startswith(done.key)))
    assert world.visit().finished == ["done.csv"]
    storage.create(done.snapshot, GOOD)
    storage.create(f"{world.inbox.place}/notes.claimed-0123456789ab", b"not ours")

    assert world.visit() == Visit(running=["open.csv"])
    copies = [name for name in world.names if ".claimed-" in name]
    assert copies == ["notes.claimed-0123456789ab", storage.name_of(still_open.snapshot)]


def test_a_copy_that_is_claimed_again_meanwhile_is_kept(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a copy of a rejected manifest is removed, another visit may have claimed it again: the copy is its own."""
    disk.drop("spring.csv", BAD_ROWS)
    disk.visit()
    (marker,) = storage.names(f"{disk.inbox.place}/_nst/finished")
    copy = disk.files.snapshot_address("spring.csv", marker.removesuffix(".json"))
    storage.create(copy, BAD_ROWS)
    copies = InboxFiles.copies_of_finished

    def claimed_again(files: InboxFiles) -> list[tuple[str, str]]:
        found = copies(files)
        storage.remove(f"{files.place}/_nst/finished/{marker}")
        return found

    monkeypatch.setattr(InboxFiles, "copies_of_finished", claimed_again)
    disk.visit()

    assert storage.read(copy) == BAD_ROWS


def test_old_temporary_files_of_killed_visits_are_removed(disk: World) -> None:
    """A visit removes temporary files that nobody can be writing any more, and no other files."""
    ours, other = f".tmp-{'0a' * 16}", ".tmp-notes"
    for folder in (disk.inbox.place, f"{disk.inbox.place}/_nst/claims", f"{disk.inbox.place}/pictures"):
        for name in (ours, other):
            storage.replace(f"{folder}/{name}", b"half")
            os.utime(f"{folder}/{name}", (1e9, 1e9))
    young = f"{disk.inbox.place}/.tmp-{'0b' * 16}"
    storage.replace(young, b"half")

    assert disk.visit() == Visit()
    left = sorted(str(path) for path in Path(disk.inbox.place).rglob(".tmp-*"))
    places = ("_nst/claims/.tmp-notes", f"pictures/{ours}", "pictures/.tmp-notes")
    assert left == sorted([young, f"{disk.inbox.place}/{other}", *(f"{disk.inbox.place}/{place}" for place in places)])


def test_a_claim_whose_visit_died_is_continued(world: World) -> None:
    """A claim without a start is continued from the claimed bytes by whichever visit comes next."""
    world.drop("spring.csv", GOOD)
    with pytest.raises(Died):
        visit(world.inbox, Runs(_dying, world.book.state_of), world.limits, settle_seconds=0.05)
    (claim,) = world.files.open_claims()
    storage.remove(f"{world.inbox.place}/spring.csv")

    assert world.visit().started == ["spring.csv"]
    (key,) = world.book.asked
    assert key.startswith(f"{claim.key}-")
    assert key.endswith("-1")


class Died(BaseException):
    """Stands for the death of a process: no handler of errors sees it."""


def _dying(request: object) -> str:
    """Start a run through an API client whose process dies."""
    raise Died


def run_program(*arguments: str) -> subprocess.Popen[bytes]:
    path = str(PROGRAM.parents[2])
    return subprocess.Popen([sys.executable, str(PROGRAM), *arguments], env=os.environ | {"PYTHONPATH": path})


def test_a_manifest_whose_visit_died_before_its_claim_is_claimed(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file counts as looked at once it is claimed, so that the next visit looks at it again."""

    def dying(_files: InboxFiles, _claim: Claim) -> bool:
        raise Died

    disk.drop("spring.csv", GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(InboxFiles, "claim", dying)
        with pytest.raises(Died):
            disk.visit()

    assert disk.visit().started == ["spring.csv"]


def test_a_rejection_whose_visit_died_keeps_its_reason(disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claimed copy is removed after all else, so that the next visit does not answer that it is missing."""
    create = storage.create

    def dying(address: str, data: bytes) -> bool:
        if "/finished/" in address:
            raise Died
        return create(address, data)

    disk.drop("spring.csv", BAD_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "create", dying)
        with pytest.raises(Died):
            disk.visit()

    assert disk.visit().rejected == ["spring.csv"]
    assert disk.answer("spring.csv.rejected.json")["reason"] == "2 of 3 rows cannot be used"


def test_a_manifest_whose_rejection_was_half_forgotten_is_checked_again(
    disk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a visit dies while it deletes the claim on a rejected manifest that was saved again, the next one answers."""
    disk.drop_later("spring.csv", BAD_ROWS)
    assert disk.visit().rejected == ["spring.csv"]
    disk.drop_later("spring.csv", BAD_ROWS)
    remove = storage.remove

    def dying(address: str) -> None:
        remove(address)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(storage, "remove", dying)
        with pytest.raises(Died):
            disk.visit()

    assert disk.visit().rejected == ["spring.csv"]


def test_a_killed_visit_starts_no_second_run(world: World) -> None:
    """After a process is killed right after it started a run, the next visit continues at once and finds that run
    again.
    """
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
    """Three processes that visit one inbox again and again start one run for each manifest, and finish it."""
    names = [f"m{number}" for number in range(5)]
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
    """The create-only claim, not the lease, guarantees that only one visit takes a manifest."""
    facts = {"key": "spring-1", "name": "spring.csv", "sha256": None, "output": "", "snapshot": None, "problem": None}
    claims = [Claim(**facts, claimed_at=f"2026-01-0{n}", claimed_by=f"visit {n}") for n in range(1, 9)]

    won = storage.each(world.files.claim, claims)

    assert won.count(True) == 1
    assert world.files.open_claims() == [claims[won.index(True)]]


# ---------------------------------------------------------------- forms of a manifest


def every_form() -> dict[str, bytes]:
    """Return the same manifest in every form that `nst run` takes, by file name."""
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
    """Files that differ only in their endings are run side by side, each with its own answers and output."""
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


def test_a_rejected_page_on_s3_has_the_content_type_of_html(s3_bucket: str, tmp_path: Path) -> None:
    """A browser opens an object with the content type HTML, and would save one without a type."""
    world = World(f"{s3_bucket}/nst", tmp_path / "book")
    world.drop("spring.csv", BAD_ROWS)
    world.visit()
    key = "nst/in/spring.csv.rejected.html"
    head = boto3.client("s3").head_object(Bucket=s3_bucket.removeprefix("s3://"), Key=key)

    assert head["ContentType"] == "text/html; charset=utf-8"
    assert b"2 of 3 rows cannot be used" in storage.read(f"{s3_bucket}/{key}")


def test_a_manifest_that_s3_stores_compressed_is_run(s3_bucket: str, tmp_path: Path) -> None:
    """An object with `Content-Encoding: gzip`, whose stored size differs from its content's, is run like any other."""
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


@pytest.mark.parametrize(
    ("coding", "reason"), [("br", "only gzip is read"), ("gzip", "and is none")], ids=["unknown", "gzip"]
)
def test_a_manifest_in_an_unreadable_coding_is_rejected_once(
    s3_bucket: str, tmp_path: Path, coding: str, reason: str
) -> None:
    """An S3 object whose `Content-Encoding` cannot be decoded is rejected, and read again only after it is replaced."""
    world = World(f"{s3_bucket}/nst", tmp_path / "book")
    boto3.client("s3").put_object(
        Bucket=s3_bucket.removeprefix("s3://"), Key="nst/in/spring.csv", Body=GOOD, ContentEncoding=coding
    )

    assert world.visit().rejected == ["spring.csv"]
    assert reason in world.answer("spring.csv.rejected.json")["reason"]
    assert world.visit() == Visit()

    world.drop("spring.csv", OTHER)
    assert world.visit().started == ["spring.csv"]

"""flows.output.garbage and `nst gc`: files that nothing refers to are listed, and removed only on request."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import storage
from flows.cli import ExitCode, app
from flows.errors import OutputBusy
from flows.output import lease
from flows.output.garbage import Garbage, find_garbage, remove_garbage
from flows.output.ledger import FilesOfRecords, Ledger
from flows.report.run_page import write_report
from tests.flows.builders import FINGERPRINT, OTHER_FINGERPRINT, commit_with_image, pair_record, run_record
from tests.flows.outputs import studio

LOST = b"lost a race"
LOST_SHA256 = hashlib.sha256(LOST).hexdigest()
LOST_NAME = f"cat-{LOST_SHA256[:8]}.png"
TEMPORARY = f".tmp-{'0a' * 16}"


def unchecked() -> None:
    """Check nothing: no other run takes over the output of these tests."""


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output with two finished pairs and an image without a record."""
    address = str(tmp_path / "out") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    rows = b"id,content,style\ncat,cat.png,waves.png\nowl,images/dog-01234567.png,waves.png\n"
    Ledger(address).start_run(run_record({"cat": FINGERPRINT, "owl": FINGERPRINT}), rows)
    for pair_id in ("cat", "dog"):
        commit_with_image(address, pair_record(pair_id))
    storage.replace(storage.join(address, "images", LOST_NAME), LOST)
    return address


def test_an_image_without_a_record_is_garbage(output: str) -> None:
    """An image without a record is garbage; one that a record names is not, whichever manifest asked for it."""
    (found,) = find_garbage(output, older_than_seconds=-60)

    assert found.address == storage.join(output, "images", LOST_NAME)
    assert (found.reason, found.size) == ("an image without a record", 11)


def test_a_young_image_is_left_alone(output: str) -> None:
    """A run writes an image before its record, so a young image may be about to be recorded."""
    assert find_garbage(output, older_than_seconds=3600) == []


def test_removal_keeps_files_that_are_referred_to(output: str) -> None:
    """After the removal nothing more is found, and every pair is still done."""
    remove_garbage(find_garbage(output, older_than_seconds=-60), unchecked)

    assert find_garbage(output, older_than_seconds=-60) == []
    assert len(Ledger(output).index().done) == 2
    assert storage.names(storage.join(output, "images")) == ["cat-01234567.png", "dog-01234567.png"]


def test_an_image_that_is_recorded_during_the_search_is_not_garbage(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may write an image and its record while records are read: the image is then none of the listed ones."""
    read, sha256 = Ledger.files_of_records, hashlib.sha256(b"an image of owl").hexdigest()

    def read_before_a_commit(ledger: Ledger) -> FilesOfRecords:
        found = read(ledger)
        commit_with_image(output, pair_record("owl", output=f"images/owl-{sha256[:8]}.png", output_sha256=sha256))
        return found

    monkeypatch.setattr(Ledger, "files_of_records", read_before_a_commit)

    assert [one.size for one in find_garbage(output, older_than_seconds=-60)] == [len(LOST)]


def test_plans_that_cannot_be_read_hinder_nothing(output: str) -> None:
    """The ids of garbage are looked up in the plans of all runs, of which an old one may be damaged."""
    for run_id, data in (("r1", b"{"), ("r2", b"[]"), ("r3", b'{"fingerprints": []}'), ("r4", b"{}")):
        storage.replace(storage.join(output, "_nst", "runs", run_id, "plan.json"), data)

    assert len(find_garbage(output, older_than_seconds=-60)) == 1


def test_removal_ends_where_another_run_takes_over(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold is checked again between the files: those that are left when it is lost stay."""
    monkeypatch.setattr("flows.output.garbage.AT_ONCE", 1)
    more = f"cat-{hashlib.sha256(b'more').hexdigest()[:8]}.png"
    storage.replace(storage.join(output, "images", more), b"more")
    garbage = find_garbage(output, older_than_seconds=-60)
    errors = iter([None, OutputBusy("taken over")])

    def check_hold() -> None:
        if error := next(errors):
            raise error

    with pytest.raises(OutputBusy):
        remove_garbage(garbage, check_hold)

    assert len(garbage) == 2
    assert len({LOST_NAME, more} & set(storage.names(storage.join(output, "images")))) == 1


def test_an_image_that_was_made_again_is_not_removed(output: str) -> None:
    """A run that made the pair again wrote the same bytes under the same name, and a record that names them."""
    garbage = find_garbage(output, older_than_seconds=-60)
    address = storage.join(output, "images", LOST_NAME)
    time.sleep(1.1)  # S3 answers the time of an object in whole seconds
    storage.replace(address, LOST)
    made = pair_record("cat", OTHER_FINGERPRINT, output=f"images/{LOST_NAME}", output_sha256=LOST_SHA256)
    Ledger(output).commit(made)

    assert remove_garbage(garbage, unchecked) == []
    assert storage.read(address) == LOST


@pytest.mark.parametrize("name", ["tom.jpg", "cat.png", "tom-89abcdef.jpg", ".tom.jpg", "tom"])
def test_images_that_no_run_wrote_are_left_alone(output: str, name: str) -> None:
    """An output may be the manifest's own folder, with contents in `images/`; a name alone does not make a file
    garbage.
    """
    for folder in ("images", "timelines"):
        storage.replace(storage.join(output, folder, name), b"somebody's own")

    (found,) = find_garbage(output, older_than_seconds=-60)
    remove_garbage([found], unchecked)

    assert storage.name_of(found.address) == LOST_NAME
    assert name in storage.names(storage.join(output, "images"))


def test_images_of_another_output_are_left_alone(output: str) -> None:
    """Garbage belongs to a pair of this output's runs and is not asked for by the latest manifest."""
    names = [f"{pair_id}-{hashlib.sha256(pair_id.encode()).hexdigest()[:8]}.png" for pair_id in ("tom", "owl", "cat")]
    foreign, asked_for, garbage = (storage.join(output, "images", name) for name in names)
    for address, data in ((foreign, b"tom"), (asked_for, b"owl"), (garbage, b"cat")):
        storage.replace(address, data)
    rows = f"id,content,style\ncat,{asked_for},waves.png\n".encode()
    Ledger(output).start_run(run_record({"cat": FINGERPRINT}, run_id="20990101T000000Z-000000"), rows)

    found = {one.address for one in find_garbage(output, older_than_seconds=-60)}

    assert found == {garbage, storage.join(output, "images", LOST_NAME)}


def test_a_timeline_without_a_record_is_garbage(output: str) -> None:
    """A timeline that no record names is garbage; a pair without a timeline is no problem."""
    commit_with_image(output, pair_record("owl", timeline="timelines/owl-01234567.gif", timeline_sha256="01" * 32))
    unnamed = f"owl-{hashlib.sha256(b'moving').hexdigest()[:8]}.gif"
    for name in ("owl-01234567.gif", unnamed):
        storage.replace(storage.join(output, "timelines", name), b"moving")
    garbage = {one.address: one.reason for one in find_garbage(output, older_than_seconds=-60)}

    assert garbage == {
        storage.join(output, "images", LOST_NAME): "an image without a record",
        storage.join(output, "timelines", unnamed): "a timeline without a record",
    }


def test_a_file_whose_name_differs_only_in_case_is_kept(output: str) -> None:
    """Where file systems ignore case, it is the file that the record names, spelled like the id of an earlier pair."""
    digest = hashlib.sha256(b"moving").hexdigest()
    named = {"timeline": f"timelines/owl-{digest[:8]}.gif", "timeline_sha256": digest}
    commit_with_image(output, pair_record("owl", **named))
    storage.replace(storage.join(output, "timelines", f"OWL-{digest[:8]}.gif"), b"moving")
    rows = b"id,content,style\nOWL,owl.png,waves.png\n"
    Ledger(output).start_run(run_record({"OWL": FINGERPRINT}, run_id="20990101T000000Z-000000"), rows)

    assert [one.reason for one in find_garbage(output, older_than_seconds=-60)] == ["an image without a record"]


def test_thumbnails_that_no_page_shows_are_garbage(tmp_path: Path) -> None:
    """Thumbnails of existing pages are kept; without any page all are garbage; a page can be
    written again afterwards.
    """
    made = studio(tmp_path)
    address = write_report(made.address, most_embedded=1)
    folder = storage.join(made.address, "_nst", "thumbs")
    shown = storage.names(folder)
    stray = f"{'0f' * 16}-224-64x48.webp"
    storage.replace(storage.join(folder, stray), b"of a page before")

    garbage = find_garbage(made.address, older_than_seconds=-60)
    remove_garbage(garbage, unchecked)
    assert [(storage.name_of(one.address), one.reason) for one in garbage] == [
        (stray, "a small image that no page here shows")
    ]
    assert storage.names(folder) == shown

    kept = storage.join(made.address, "before.html")
    storage.copy(address, kept)
    storage.remove(address)
    assert find_garbage(made.address, older_than_seconds=-60) == []

    storage.remove(kept)
    remove_garbage(find_garbage(made.address, older_than_seconds=-60), unchecked)
    assert storage.names(folder) == []
    write_report(made.address, most_embedded=1)
    assert storage.names(folder) == shown


def test_temporary_files_are_garbage_in_folders_of_runs(tmp_path: Path) -> None:
    """Temporary files are found in the output, its images, its timelines and its ledger, and nowhere else."""
    for folder in ("", "images", "timelines", "_nst", "_nst/records", "_nst/runs/r1", "mine"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / TEMPORARY).write_bytes(b"half")
        (tmp_path / folder / ".tmp-of-my-own").write_bytes(b"mine")
    found = find_garbage(str(tmp_path), older_than_seconds=-60)

    where = {os.path.relpath(os.path.dirname(one.address), tmp_path) for one in found}
    assert where == {".", "images", "timelines", "_nst", "_nst/records", "_nst/runs/r1"}
    assert {os.path.basename(one.address) for one in found} == {TEMPORARY}


def test_a_young_temporary_file_is_left_alone(tmp_path: Path) -> None:
    """A temporary file is garbage once it is old: the writer of a young one may be alive."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / TEMPORARY).write_bytes(b"half")

    assert find_garbage(str(tmp_path), older_than_seconds=3600) == []


def gc(*arguments: str) -> tuple[int, dict[str, object]]:
    result = CliRunner().invoke(app, ["gc", *arguments, "--json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout else {"stderr": result.stderr}


def test_the_command_removes_only_when_asked(output: str) -> None:
    """`nst gc` lists files; `nst gc --delete` removes the same files."""
    listed = gc(output, "--older-than-hours", "0")
    there = storage.names(storage.join(output, "images"))
    removed = gc(output, "--older-than-hours", "0", "--delete")

    assert listed[0] == removed[0] == ExitCode.OK
    assert listed[1]["files"] == removed[1]["files"]
    assert (listed[1]["removed"], removed[1]["removed"], listed[1]["bytes"]) == (False, True, 11)
    assert len(there) == 3
    assert len(storage.names(storage.join(output, "images"))) == 2


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """In a folder without a run there are no files of ours to remove."""
    code, told = gc(str(tmp_path), "--delete")

    assert code == ExitCode.UNUSABLE
    assert "no run has been made into this output" in str(told["stderr"])


def test_nothing_is_removed_while_a_run_holds_the_output(output: str) -> None:
    """While a run holds the output, removing is refused and listing is allowed."""
    with lease.held(output):
        code, told = gc(output, "--older-than-hours", "0", "--delete")
        listed = gc(output, "--older-than-hours", "0")

    assert code == ExitCode.INTERRUPTED
    assert "another run is writing here" in str(told["stderr"])
    assert listed[0] == ExitCode.OK


def test_nothing_is_removed_once_a_run_has_taken_the_output_over(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run takes the output over between the listing and the removal: the command stops, and all files stay."""

    def taken_over(address: str, older_than_seconds: float) -> list[Garbage]:
        garbage = find_garbage(address, older_than_seconds)
        with lease.held(address, take_over=True):
            return garbage

    monkeypatch.setattr("flows.cli.outputs.find_garbage", taken_over)
    code, told = gc(output, "--older-than-hours", "0", "--delete")

    assert code == ExitCode.INTERRUPTED
    assert "was taken over by another run" in str(told["stderr"])
    assert LOST_NAME in storage.names(storage.join(output, "images"))

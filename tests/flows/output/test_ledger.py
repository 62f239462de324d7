"""flows.output.ledger: the records, attempts and runs in OUT/_nst."""

import json
import os
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows import storage
from flows.errors import CredentialsExpired, Forbidden, NotFound, OutputError
from flows.output.ledger import Ledger, LedgerIndex, key_of
from flows.records.pairs import PairSpec
from flows.records.plans import PlannedPair
from flows.storage.s3.objects import NO_CONDITION
from nst_core import __version__
from nst_core.options import StylizeOptions
from tests.flows.builders import (
    FINGERPRINT,
    OTHER_FINGERPRINT,
    attempt_record,
    commit_with_image,
    pair_record,
    run_record,
)
from tests.flows.fault_proxy import IGNORE_CONDITION, FaultProxy

IDS = ("cat", "cat-waves-1a2b3c", "v1.2", "a.b-c_d", "1", "cat-1", "x" * 100)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty output prefix."""
    if request.param == "local":
        return str(tmp_path / "out")
    return storage.join(request.getfixturevalue("s3_bucket"), "out")


def test_the_ledger_of_an_empty_output_is_empty(output: str) -> None:
    """An output without files has no finished and no failed pairs."""
    assert Ledger(output).index() == LedgerIndex(frozenset(), {})


def test_the_index_is_read_from_file_names(output: str) -> None:
    """Ids with dashes, dots and digits are read back from the names of the files, each with its fingerprint."""
    ledger = Ledger(output)
    for pair_id in IDS:
        commit_with_image(output, pair_record(pair_id))
        ledger.add_attempt(attempt_record(pair_id, OTHER_FINGERPRINT, attempt=12))
    index = ledger.index()

    assert index.done == {(pair_id, FINGERPRINT) for pair_id in IDS}
    assert index.attempts == {(pair_id, OTHER_FINGERPRINT): 12 for pair_id in IDS}


def test_a_pair_that_is_committed_during_the_listings_has_its_image(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run may commit a pair between two listings of the index: then its record is not seen without its image,
    for which this run would make the pair again.
    """
    ledger, names = Ledger(output), storage.names
    commit_with_image(output, pair_record("cat"))

    def listed(folder: str) -> list[str]:
        found = names(folder)
        commit_with_image(output, pair_record("dog"))
        return found

    monkeypatch.setattr(storage, "names", listed)
    index = ledger.index()

    assert (index.done, index.imageless) == ({("cat", FINGERPRINT)}, frozenset())


def test_the_index_has_the_number_of_the_latest_attempt(output: str) -> None:
    """Attempts are counted by pair and fingerprint, and the tenth follows the ninth."""
    ledger = Ledger(output)
    for number in (1, 2, 9, 10):
        ledger.add_attempt(attempt_record("cat", attempt=number))
    ledger.add_attempt(attempt_record("cat", OTHER_FINGERPRINT, attempt=1))

    assert ledger.index().attempts == {("cat", FINGERPRINT): 10, ("cat", OTHER_FINGERPRINT): 1}


def test_a_record_of_an_earlier_version_is_read(output: str) -> None:
    """Fields that records did not have at first are empty when they are missing; such a pair is done."""
    record = pair_record("cat")
    text = record.model_dump_json(exclude={"history", "timeline", "timeline_sha256", "notes"})
    storage.replace(storage.join(output, record.output), b"its image")
    storage.create(storage.join(output, "_nst", "records", f"cat-{FINGERPRINT}.json"), text.encode())
    ledger = Ledger(output)
    read = ledger.read_record(("cat", FINGERPRINT))

    assert ledger.index().done == {("cat", FINGERPRINT)}
    assert (read.history, read.timeline, read.timeline_sha256, read.notes) == ((), "", "", ())
    assert ledger.files_of_records().timelines == set()


def test_a_record_is_read_back_unchanged(output: str) -> None:
    """The file has every value of a record, to the last digit of a loss."""
    record = pair_record("größe".encode().hex(), total_loss=0.1 + 0.2, notes=("content: «quoted» and 猫",))
    ledger = Ledger(output)
    returned = ledger.commit(record)

    assert returned == record
    assert ledger.read_record((record.pair_id, record.fingerprint)) == record


def test_the_first_record_is_kept(output: str) -> None:
    """If two runs finish one pair, the record of the first is kept, and both get it."""
    ledger = Ledger(output)
    first = ledger.commit(pair_record(run_id="first", total_loss=1.0))
    second = ledger.commit(pair_record(run_id="second", total_loss=2.0))

    assert first.run_id == second.run_id == "first"
    assert ledger.read_record(("cat", FINGERPRINT)).total_loss == 1.0


def test_runs_that_race_get_the_same_record(output: str) -> None:
    """Eight runs that commit one pair at the same time all get the same record."""
    ledger = Ledger(output)
    barrier = threading.Barrier(8)
    returned = []

    def commit(number: int) -> None:
        barrier.wait()
        returned.append(ledger.commit(pair_record(run_id=f"run-{number}")))

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(returned) == 8
    assert {record.run_id for record in returned} == {ledger.read_record(("cat", FINGERPRINT)).run_id}


def test_a_pair_has_one_record_for_each_fingerprint(output: str) -> None:
    """A record with another fingerprint overwrites nothing."""
    ledger = Ledger(output)
    commit_with_image(output, pair_record("cat", FINGERPRINT, total_loss=1.0))
    ledger.commit(pair_record("cat", OTHER_FINGERPRINT, total_loss=2.0))

    assert ledger.index().done == {("cat", FINGERPRINT), ("cat", OTHER_FINGERPRINT)}
    assert ledger.read_record(("cat", FINGERPRINT)).total_loss == 1.0


def test_attempts_are_kept_by_number(output: str) -> None:
    """Every failed attempt can be read with its own reason; if a number is used twice, the first attempt is kept."""
    ledger = Ledger(output)
    for number, error in ((1, "first"), (2, "second"), (2, "second of another run")):
        ledger.add_attempt(attempt_record(attempt=number, error=error))

    assert [ledger.read_attempt(("cat", FINGERPRINT), number).error for number in (1, 2)] == ["first", "second"]


def test_expired_credentials_are_no_attempt(output: str) -> None:
    """The pair stays pending without an attempt that counts, even if the output is writable."""
    ledger = Ledger(output)
    with pytest.raises(CredentialsExpired, match="token"):
        ledger.add_attempt(attempt_record("cat", error_kind="credentials_expired", error="token"))

    assert ledger.index() == LedgerIndex()


def test_a_missing_record_is_not_found(output: str) -> None:
    """The error about a missing record or attempt names its file."""
    with pytest.raises(NotFound, match=f"records/cat-{FINGERPRINT}.json"):
        Ledger(output).read_record(("cat", FINGERPRINT))
    with pytest.raises(NotFound, match=f"attempts/cat-{FINGERPRINT}-3.json"):
        Ledger(output).read_attempt(("cat", FINGERPRINT), 3)


def test_a_record_of_invalid_bytes_is_reported_as_damaged(output: str) -> None:
    """The other records can be read, and reading the damaged one raises an error with its name."""
    ledger = Ledger(output)
    commit_with_image(output, pair_record("cat"))
    address = storage.join(output, "_nst", "records", f"dog-{FINGERPRINT}.json")
    storage.replace(address, b'{"pair_id": "\xff')

    index = ledger.index()

    assert index.done == {("cat", FINGERPRINT), ("dog", FINGERPRINT)}
    assert ledger.read_record(("cat", FINGERPRINT), index) == pair_record("cat")
    for known in (index, None):
        with pytest.raises(OutputError, match=f"dog-{FINGERPRINT}.json: expected the record of a pair"):
            ledger.read_record(("dog", FINGERPRINT), known)


def test_foreign_files_are_left_out_of_the_index(tmp_path: Path) -> None:
    """Files of file managers and sync programs neither count nor stop anything."""
    ledger = Ledger(str(tmp_path))
    commit_with_image(ledger.output, pair_record("cat"))
    ledger.add_attempt(attempt_record("dog"))
    foreign = (".DS_Store", "desktop.ini", f"cat-{FINGERPRINT}-1 (conflicted copy).json", "notes-old.txt")
    for folder in ("records", "attempts"):
        for name in foreign:
            (tmp_path / "_nst" / folder / name).write_text("x")

    index = ledger.index()
    assert ("cat", FINGERPRINT) in index.done
    assert index.attempts == {("dog", FINGERPRINT): 1}


def test_the_latest_run_is_returned(output: str) -> None:
    """The latest of several runs is returned; the manifests of all runs are kept byte for byte."""
    ledger = Ledger(output)
    manifests = {"20260101T000000Z-aaaaaa": b"first", "20260102T000000Z-bbbbbb": b"\xef\xbb\xbfcontent,style\r\n"}
    for run_id, manifest in manifests.items():
        ledger.start_run(run_record({"cat": FINGERPRINT}, run_id=run_id), manifest)

    assert ledger.latest_run() == run_record({"cat": FINGERPRINT}, run_id="20260102T000000Z-bbbbbb")
    for run_id, data in manifests.items():
        assert ledger.manifest_of(run_id) == data
        assert storage.read(storage.join(output, "_nst", "runs", run_id, "manifest.csv")) == data
        assert storage.names(storage.join(output, "_nst", "runs", run_id)) == ["manifest.csv", "plan.json"]


def test_the_options_of_a_run_mean_the_same_when_read_again(output: str) -> None:
    """Options that were left to the recipe still are: a row with another recipe gets the weights of that recipe."""
    options = StylizeOptions(size_px=64)
    ledger = Ledger(output)
    ledger.start_run(run_record(options=options), b"manifest")
    again = ledger.latest_run().options

    assert again.digest() == options.digest()
    for recipe in ("relative", "gatys", "notebook", "neural-style"):
        changes = {"recipe": recipe}
        assert again.overridden(changes).resolved() == options.overridden(changes).resolved()


def test_an_output_without_a_run_is_an_error(output: str) -> None:
    """The error names the output, not a missing file deep below it."""
    with pytest.raises(OutputError, match=f"{output}: no run has been made"):
        Ledger(output).latest_run()


def test_a_file_given_as_the_output_is_said_to_be_one(tmp_path: Path) -> None:
    """A manifest that is named in place of its output is a file: the error says that a folder is expected."""
    (tmp_path / "pairs.csv").write_text("content,style\n")

    with pytest.raises(
        OutputError, match=r"pairs.csv: no run .*, found a file; expected the folder that `nst run` wrote"
    ):
        Ledger(str(tmp_path / "pairs.csv")).latest_run()


def test_a_run_without_a_plan_is_not_the_latest(tmp_path: Path) -> None:
    """A run counts once both its manifest and its plan are written."""
    ledger = Ledger(str(tmp_path))
    ledger.start_run(run_record(run_id="20260101T000000Z-aaaaaa"), b"whole")
    half = tmp_path / "_nst" / "runs" / "20260102T000000Z-bbbbbb"
    half.mkdir()
    (half / "manifest.csv").write_bytes(b"half")

    assert ledger.latest_run().run_id == "20260101T000000Z-aaaaaa"


def test_a_run_whose_plan_cannot_be_written_is_not_the_latest(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Starting the run fails, and the run before it is still the latest."""
    ledger = Ledger(f"{s3_bucket}/out")
    ledger.start_run(run_record(run_id="20260101T000000Z-aaaaaa"), b"whole")
    s3_proxy.rule = lambda method, path: (403, "AccessDenied") if method == "PUT" and "plan.json" in path else None
    with pytest.raises(Forbidden):
        ledger.start_run(run_record(run_id="20260102T000000Z-bbbbbb"), b"half")

    assert ledger.latest_run().run_id == "20260101T000000Z-aaaaaa"


def test_a_run_notices_a_store_that_overwrites_objects(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The start of a run detects that the store overwrites existing objects, and the run's plan stays intact."""
    ledger = Ledger(f"{s3_bucket}/out")
    s3_proxy.rule = lambda _method, _path: IGNORE_CONDITION
    ledger.start_run(run_record(run_id="r1"), b"manifest")

    assert storage.shortfalls(ledger.output) == [NO_CONDITION]
    assert ledger.latest_run() == run_record(run_id="r1")


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    """Records, attempts and runs lie where the module's docstring says."""
    ledger = Ledger(str(tmp_path))
    ledger.start_run(run_record(run_id="r1"), b"manifest")
    ledger.commit(pair_record("cat"))
    ledger.add_attempt(attempt_record("dog", attempt=2))
    files = {
        os.path.relpath(os.path.join(folder, name), tmp_path)
        for folder, _, names in os.walk(tmp_path)
        for name in names
    }

    assert files == {
        "_nst/latest_run",
        "_nst/runs/r1/manifest.csv",
        "_nst/runs/r1/plan.json",
        f"_nst/records/cat-{FINGERPRINT}.json",
        f"_nst/attempts/dog-{FINGERPRINT}-2.json",
    }


def test_the_key_of_a_planned_pair_is_its_id_and_fingerprint() -> None:
    """A planned pair is looked up in the index by its id and fingerprint."""
    spec = PairSpec(2, "cat", "/a.png", "/b.png", StylizeOptions().resolved())

    assert key_of(PlannedPair(spec, "x", "y", FINGERPRINT)) == ("cat", FINGERPRINT)


def test_the_latest_attempt_tells_whether_a_pair_failed_for_good(tmp_path: Path) -> None:
    """A pair did not fail for good if its latest attempt is retryable, unreadable, moved away since the listing, or of
    a kind that may pass.
    """
    ledger = Ledger(str(tmp_path))
    tried = {"bad": [True, False], "down": [False, True], "damaged": [False], "moved": [False]}
    for pair_id, attempts in tried.items():
        for number, retryable in enumerate(attempts, start=1):
            ledger.add_attempt(attempt_record(pair_id, attempt=number, retryable=retryable))
    ledger.add_attempt(attempt_record("gone", error_kind="not_found", retryable=False))  # as earlier releases had it
    (tmp_path / "_nst" / "attempts" / f"damaged-{FINGERPRINT}-1.json").write_text("")
    index = ledger.index()
    (tmp_path / "_nst" / "attempts" / f"moved-{FINGERPRINT}-1.json").unlink()

    assert ledger.failed_for_good(index.attempts, index) == {("bad", FINGERPRINT)}
    assert ledger.failed_for_good([("down", FINGERPRINT), ("never", FINGERPRINT)], index) == frozenset()


def _made_unreadable(path: Path, **changes: str) -> str:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"options": "of another form"} | changes))
    return str(path)


def test_options_that_were_allowed_once_stay_readable(tmp_path: Path) -> None:
    """Records can be read even if a combination of options that they contain is refused today."""
    ledger = Ledger(str(tmp_path))
    commit_with_image(ledger.output, pair_record("cat"))
    record = tmp_path / "_nst" / "records" / f"cat-{FINGERPRINT}.json"
    content = json.loads(record.read_text())
    content["options"] |= {"recipe": "notebook", "style_scale": 2.0}
    record.write_text(json.dumps(content))
    with pytest.raises(ValidationError, match="recipe notebook takes none"):
        StylizeOptions.model_validate(content["options"])

    options = ledger.read_record(("cat", FINGERPRINT)).options

    assert (options.recipe, options.style_scale) == ("notebook", 2.0)
    assert options.digest() == options.resolved().digest()


def test_a_plan_of_a_newer_version_names_that_version(tmp_path: Path) -> None:
    """The error names the version, and does not advise to move the plan away, which would leave the run without one."""
    ledger = Ledger(str(tmp_path))
    ledger.start_run(run_record(run_id="r1"), b"manifest")
    plan = _made_unreadable(tmp_path / "_nst" / "runs" / "r1" / "plan.json", engine_version="99.0")
    with pytest.raises(OutputError) as caught:
        ledger.latest_run()

    assert str(caught.value) == (
        f"{plan}: expected the plan of a run, found what this version ({__version__}) cannot read: made by engine 99.0,"
        " or damaged. Use that version; if it is damaged, nst run MANIFEST --output OUT writes a new one"
    )


def test_an_unreadable_record_names_its_version(tmp_path: Path) -> None:
    """A record of a newer version is to be kept; one of this version is damaged; an attempt does
    not name its version.
    """
    ledger = Ledger(str(tmp_path))
    commit_with_image(ledger.output, pair_record("cat"))
    ledger.add_attempt(attempt_record("dog"))
    record = tmp_path / "_nst" / "records" / f"cat-{FINGERPRINT}.json"
    attempt = tmp_path / "_nst" / "attempts" / f"dog-{FINGERPRINT}-1.json"
    attempt.write_text("{}")

    _made_unreadable(record, engine_version="99.0")
    with pytest.raises(
        OutputError, match=r"the record of a pair, found what .* made by engine 99\.0, or damaged\. Use"
    ):
        ledger.read_record(("cat", FINGERPRINT))
    _made_unreadable(record, engine_version=__version__)
    with pytest.raises(OutputError, match=r"the record of a pair, found one that is damaged: move it away to have"):
        ledger.read_record(("cat", FINGERPRINT))
    for text in ("{}", "[]", "not JSON", '{"engine_version": 5}'):
        record.write_text(text)
        with pytest.raises(OutputError, match=r"made by another version, or damaged\. Use the one that made it; if"):
            ledger.read_record(("cat", FINGERPRINT))
    with pytest.raises(OutputError, match=r"expected the record of a failed attempt, .* to have its pair tried again"):
        ledger.read_attempt(("dog", FINGERPRINT), 1)

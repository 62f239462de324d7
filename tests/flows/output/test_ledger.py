"""flows.output.ledger: records, attempts and runs below OUT/_nst."""

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
    """An output prefix with nothing in it."""
    if request.param == "local":
        return str(tmp_path / "out")
    return storage.join(request.getfixturevalue("s3_bucket"), "out")


def test_the_ledger_of_an_empty_output_is_empty(output: str) -> None:
    """Where nothing was ever done, nothing is done and nothing has failed."""
    assert Ledger(output).index() == LedgerIndex(frozenset(), {})


def test_the_index_is_told_from_names(output: str) -> None:
    """Ids with dashes, dots and numbers come back from the names of the files, each with its fingerprint."""
    ledger = Ledger(output)
    for pair_id in IDS:
        commit_with_image(output, pair_record(pair_id))
        ledger.add_attempt(attempt_record(pair_id, OTHER_FINGERPRINT, attempt=12))
    index = ledger.index()

    assert index.done == {(pair_id, FINGERPRINT) for pair_id in IDS}
    assert index.attempts == {(pair_id, OTHER_FINGERPRINT): 12 for pair_id in IDS}


def test_the_index_has_the_number_of_the_latest_attempt(output: str) -> None:
    """Attempts are counted per pair and fingerprint, the tenth after the ninth."""
    ledger = Ledger(output)
    for number in (1, 2, 9, 10):
        ledger.add_attempt(attempt_record("cat", attempt=number))
    ledger.add_attempt(attempt_record("cat", OTHER_FINGERPRINT, attempt=1))

    assert ledger.index().attempts == {("cat", FINGERPRINT): 10, ("cat", OTHER_FINGERPRINT): 1}


def test_a_record_of_an_earlier_version_is_read(output: str) -> None:
    """What records did not hold at first is empty in those that do not have it; such a pair stays done."""
    record = pair_record("cat")
    text = record.model_dump_json(exclude={"history", "timeline", "timeline_sha256", "notes"})
    storage.replace(storage.join(output, record.output), b"its image")
    storage.create(storage.join(output, "_nst", "records", f"cat-{FINGERPRINT}.json"), text.encode())
    ledger = Ledger(output)
    read = ledger.read_record(("cat", FINGERPRINT))

    assert ledger.index().done == {("cat", FINGERPRINT)}
    assert (read.history, read.timeline, read.timeline_sha256, read.notes) == ((), "", "", ())
    assert ledger.files_of_records().timelines == set()


def test_a_record_comes_back_as_it_was_made(output: str) -> None:
    """Every value of a record, to the last digit of a loss, is in its file."""
    record = pair_record("größe".encode().hex(), total_loss=0.1 + 0.2, notes=("content: «quoted» and 猫",))
    ledger = Ledger(output)
    returned = ledger.commit(record)

    assert returned == record
    assert ledger.read_record((record.pair_id, record.fingerprint)) == record


def test_the_first_record_stands(output: str) -> None:
    """Of two runs that finish one pair, the first's record stays and both are given it."""
    ledger = Ledger(output)
    first = ledger.commit(pair_record(run_id="first", total_loss=1.0))
    second = ledger.commit(pair_record(run_id="second", total_loss=2.0))

    assert first.run_id == second.run_id == "first"
    assert ledger.read_record(("cat", FINGERPRINT)).total_loss == 1.0


def test_runs_that_race_are_all_given_the_same_record(output: str) -> None:
    """Eight runs that commit one pair at once agree on whose record it is."""
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


def test_the_records_of_one_pair_with_other_options_lie_side_by_side(output: str) -> None:
    """Another fingerprint is another record: nothing that was done under old options is overwritten."""
    ledger = Ledger(output)
    commit_with_image(output, pair_record("cat", FINGERPRINT, total_loss=1.0))
    ledger.commit(pair_record("cat", OTHER_FINGERPRINT, total_loss=2.0))

    assert ledger.index().done == {("cat", FINGERPRINT), ("cat", OTHER_FINGERPRINT)}
    assert ledger.read_record(("cat", FINGERPRINT)).total_loss == 1.0


def test_attempts_are_kept_by_number(output: str) -> None:
    """Every failed attempt can be read again with its own reason; the same number twice keeps the first."""
    ledger = Ledger(output)
    for number, error in ((1, "first"), (2, "second"), (2, "second of another run")):
        ledger.add_attempt(attempt_record(attempt=number, error=error))

    assert [ledger.read_attempt(("cat", FINGERPRINT), number).error for number in (1, 2)] == ["first", "second"]


def test_credentials_that_ran_out_are_no_attempt(output: str) -> None:
    """The pair stays pending, without an attempt that counts, also where the output could be written to."""
    ledger = Ledger(output)
    with pytest.raises(CredentialsExpired, match="token"):
        ledger.add_attempt(attempt_record("cat", error_kind="credentials_expired", error="token"))

    assert ledger.index() == LedgerIndex()


def test_a_record_that_is_not_there_is_not_found(output: str) -> None:
    """Asking for a record or an attempt that was never made names the file that is missing."""
    with pytest.raises(NotFound, match=f"records/cat-{FINGERPRINT}.json"):
        Ledger(output).read_record(("cat", FINGERPRINT))
    with pytest.raises(NotFound, match=f"attempts/cat-{FINGERPRINT}-3.json"):
        Ledger(output).read_attempt(("cat", FINGERPRINT), 3)


def test_a_record_of_broken_bytes_is_damaged_and_nothing_worse(output: str) -> None:
    """The others are told, and whoever reads that one hears which it is."""
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
    """What file managers and sync programs leave in the folders neither counts nor stops anything."""
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


def test_the_latest_run_comes_back(output: str) -> None:
    """The latest of several runs is given with its manifest byte for byte; the earlier ones are kept."""
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
    """What was left to the recipe is still left to it: a row with another recipe gets that recipe's weights."""
    options = StylizeOptions(size_px=64)
    ledger = Ledger(output)
    ledger.start_run(run_record(options=options), b"manifest")
    again = ledger.latest_run().options

    assert again.digest() == options.digest()
    for recipe in ("relative", "gatys", "notebook", "neural-style"):
        changes = {"recipe": recipe}
        assert again.overridden(changes).resolved() == options.overridden(changes).resolved()


def test_an_output_without_a_run_says_so(output: str) -> None:
    """latest_run of an empty output is an OutputError that names the output, not a missing file deep below it."""
    with pytest.raises(OutputError, match=f"{output}: no run has been made"):
        Ledger(output).latest_run()


def test_a_run_that_crashed_before_its_plan_was_whole_is_not_the_latest(tmp_path: Path) -> None:
    """A run counts from the moment its manifest and its plan are both kept."""
    ledger = Ledger(str(tmp_path))
    ledger.start_run(run_record(run_id="20260101T000000Z-aaaaaa"), b"whole")
    half = tmp_path / "_nst" / "runs" / "20260102T000000Z-bbbbbb"
    half.mkdir()
    (half / "manifest.csv").write_bytes(b"half")

    assert ledger.latest_run().run_id == "20260101T000000Z-aaaaaa"


def test_a_run_whose_plan_cannot_be_written_is_not_the_latest(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """It ends there, and the run before it can still be gone on with."""
    ledger = Ledger(f"{s3_bucket}/out")
    ledger.start_run(run_record(run_id="20260101T000000Z-aaaaaa"), b"whole")
    s3_proxy.rule = lambda method, path: (403, "AccessDenied") if method == "PUT" and "plan.json" in path else None
    with pytest.raises(Forbidden):
        ledger.start_run(run_record(run_id="20260102T000000Z-bbbbbb"), b"half")

    assert ledger.latest_run().run_id == "20260101T000000Z-aaaaaa"


def test_a_run_notices_a_store_that_does_not_keep_records_unique(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The start of a run finds out that the store overwrites existing objects, and its plan stays whole."""
    ledger = Ledger(f"{s3_bucket}/out")
    s3_proxy.rule = lambda _method, _path: IGNORE_CONDITION
    ledger.start_run(run_record(run_id="r1"), b"manifest")

    assert storage.shortfalls(ledger.output) == [NO_CONDITION]
    assert ledger.latest_run() == run_record(run_id="r1")


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    """Records, attempts and runs lie where the head of the module says."""
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
    """A planned pair is looked up in the index by id and fingerprint."""
    spec = PairSpec(2, "cat", "/a.png", "/b.png", StylizeOptions().resolved())

    assert key_of(PlannedPair(spec, "x", "y", FINGERPRINT)) == ("cat", FINGERPRINT)


def test_what_failed_for_good_is_told_by_the_latest_attempt(tmp_path: Path) -> None:
    """Of several attempts the last one counts; one that cannot be read, or of a kind that may pass, settles nothing."""
    ledger = Ledger(str(tmp_path))
    for pair_id, attempts in {"bad": [True, False], "down": [False, True], "damaged": [False]}.items():
        for number, retryable in enumerate(attempts, start=1):
            ledger.add_attempt(attempt_record(pair_id, attempt=number, retryable=retryable))
    ledger.add_attempt(attempt_record("gone", error_kind="not_found", retryable=False))  # as earlier releases had it
    (tmp_path / "_nst" / "attempts" / f"damaged-{FINGERPRINT}-1.json").write_text("")
    index = ledger.index()

    assert ledger.failed_for_good(index.attempts, index) == {("bad", FINGERPRINT)}
    assert ledger.failed_for_good([("down", FINGERPRINT), ("never", FINGERPRINT)], index) == frozenset()


def _made_unreadable(path: Path, **changes: str) -> str:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"options": "of another form"} | changes))
    return str(path)


def test_options_that_were_allowed_once_stay_readable(tmp_path: Path) -> None:
    """An output's records outlive a version that allowed a combination of options which this one refuses."""
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


def test_a_plan_of_a_newer_version_is_no_damaged_record(tmp_path: Path) -> None:
    """Who made it is told, and nobody is advised to move it away, after which it would be missing."""
    ledger = Ledger(str(tmp_path))
    ledger.start_run(run_record(run_id="r1"), b"manifest")
    plan = _made_unreadable(tmp_path / "_nst" / "runs" / "r1" / "plan.json", engine_version="99.0")
    with pytest.raises(OutputError) as caught:
        ledger.latest_run()

    assert str(caught.value) == (
        f"{plan}: expected the plan of a run, found what this version ({__version__}) cannot read: made by engine 99.0,"
        " or damaged. Use that version; if it is damaged, nst run MANIFEST --output OUT writes a new one"
    )


def test_a_record_that_this_version_cannot_read_says_who_made_it(tmp_path: Path) -> None:
    """A newer version's is to stay where it is; one of this version is damaged; of an attempt nobody can say."""
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

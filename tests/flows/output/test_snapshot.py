"""flows.output.snapshot and the ledger's index: many records are read from one file, and none that is outdated."""

import gzip
import json
import time
from pathlib import Path

import pytest

from flows import storage
from flows.errors import OutputError
from flows.output import ledger as ledger_module
from flows.output.ledger import Ledger
from flows.output.results import table_rows
from flows.records.pairs import Manifest
from flows.run.plan import fingerprinted
from tests.flows.builders import FINGERPRINT, commit_with_image, pair_record, pair_spec, run_record
from tests.flows.fault_proxy import FaultProxy

WEIGHTS = "ab" * 32
GZIP_HEADER = 10
"""Its length in bytes; the next byte says how the data is compressed."""


@pytest.fixture(autouse=True)
def snapshots_from_five_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "WORTH_A_SNAPSHOT", 5)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output with ten finished pairs and a snapshot of their records."""
    address = str(tmp_path / "out") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    for number in range(10):
        commit_with_image(address, pair_record(f"pair-{number}"))
    ledger = Ledger(address)
    ledger.save_snapshot(ledger.index())
    return address


def record_address(output: str, pair_id: str) -> str:
    return storage.join(output, "_nst", "records", f"{pair_id}-{FINGERPRINT}.json")


def test_records_in_the_snapshot_are_not_read_one_by_one(output: str) -> None:
    """With a snapshot no record is opened; without it every one is, and the index is the same."""
    ledger = Ledger(output)
    index = ledger.index()
    storage.remove(storage.join(output, "_nst", "records_snapshot.jsonl.gz"))
    without = ledger.index()

    assert (index.read_now, without.read_now) == (0, 10)
    assert index.done == without.done == {(f"pair-{number}", FINGERPRINT) for number in range(10)}
    assert index.copies == without.copies
    assert ledger.read_record(("pair-3", FINGERPRINT), index) == pair_record("pair-3")


def test_requests_do_not_grow_with_the_records(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """With a snapshot on S3, the index takes as many requests for twenty records as for ten."""
    counts = []
    ledger = Ledger(f"{s3_bucket}/out")
    for number in range(20):
        commit_with_image(ledger.output, pair_record(f"pair-{number}"))
        if number in (9, 19):
            ledger.save_snapshot(ledger.index())
            s3_proxy.requests.clear()
            ledger.index()
            counts.append(s3_proxy.requests.total())

    assert counts == [4, 4]  # three listings and the snapshot


def test_records_newer_than_the_snapshot_are_read(output: str) -> None:
    """The index contains a record that was written after the snapshot."""
    commit_with_image(output, pair_record("late"))
    index = Ledger(output).index()

    assert ("late", FINGERPRINT) in index.done
    assert index.read_now == 1


def test_a_record_that_was_moved_away_is_not_done(output: str) -> None:
    """The snapshot does not bring back a record that no longer exists."""
    storage.remove(record_address(output, "pair-4"))

    assert ("pair-4", FINGERPRINT) not in Ledger(output).index().done


def test_a_replaced_record_is_read_again(output: str) -> None:
    """A record with the same name but other content is not taken from the snapshot."""
    storage.remove(record_address(output, "pair-4"))
    time.sleep(0.01)  # clocks of file systems are coarse
    again = pair_record("pair-4", total_loss=9.5)
    commit_with_image(output, again)
    ledger = Ledger(output)

    assert ledger.read_record(("pair-4", FINGERPRINT), ledger.index()) == again


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"",
        gzip.compress(b"garbage"),
        gzip.compress(b'"another format"\n'),
        gzip.compress(b'"records-snapshot-1"\n[1]'),
        gzip.compress(b'"records-snapshot-1"\n5'),
        gzip.compress(b'"records-snapshot-1"\n["a","b","c"]')[:-9],
        gzip.compress(b"")[:GZIP_HEADER] + b"\xff" + gzip.compress(b'"records-snapshot-1"')[GZIP_HEADER + 1 :],
    ],
    ids=["no gzip", "empty", "another text", "another format", "no record", "a number", "cut off", "a byte flipped"],
)
def test_a_damaged_snapshot_is_ignored(tmp_path: Path, data: bytes) -> None:
    """Whatever is in the snapshot file, all records are read."""
    output = str(tmp_path)
    for number in range(6):
        commit_with_image(output, pair_record(f"pair-{number}"))
    storage.replace(storage.join(output, "_nst", "records_snapshot.jsonl.gz"), data)
    index = Ledger(output).index()

    assert len(index.done) == 6
    assert index.read_now == 6


# ---------------------------------------------------------------- images that are missing


def test_a_pair_whose_image_is_missing_is_not_done(output: str) -> None:
    """A record without its image is counted apart from pairs that are done and from pairs without a record."""
    storage.remove(storage.join(output, "images", "pair-2-01234567.png"))
    index = Ledger(output).index()

    assert index.imageless == {("pair-2", FINGERPRINT)}
    assert len(index.done) == 9


def test_a_pair_without_its_image_gets_a_new_fingerprint(tmp_path: Path) -> None:
    """The old record is kept; the new fingerprint is the same for every run, and counts as done
    once it has an image.
    """
    output, spec = str(tmp_path / "out"), pair_spec(content=str(tmp_path / "a"), style=str(tmp_path / "b"))
    ledger = Ledger(output)
    (first,) = fingerprinted([spec], ledger.index(), WEIGHTS)
    ledger.commit(pair_record(spec.pair_id, first.fingerprint))
    (second,) = fingerprinted([spec], ledger.index(), WEIGHTS)
    (again,) = fingerprinted([spec], ledger.index(), WEIGHTS)

    assert second.fingerprint == again.fingerprint != first.fingerprint

    image = f"images/{spec.pair_id}-89abcdef.png"
    commit_with_image(output, pair_record(spec.pair_id, second.fingerprint, output=image))
    index = ledger.index()
    (third,) = fingerprinted([spec], index, WEIGHTS)
    assert third.fingerprint == second.fingerprint
    assert (spec.pair_id, third.fingerprint) in index.done


def test_the_table_says_that_an_image_is_missing(output: str) -> None:
    """The row of a pair whose image is missing is pending, with the reason."""
    storage.remove(storage.join(output, "images", "pair-2-01234567.png"))
    specs = tuple(pair_spec(row=number + 2, pair_id=f"pair-{number}") for number in range(10))
    run = run_record({spec.pair_id: FINGERPRINT for spec in specs})
    rows = table_rows(Manifest("/in/pairs.csv", "0", (), specs, ()), run, Ledger(output))

    assert [row["status"] for row in rows].count("succeeded") == 9
    assert (rows[2]["status"], rows[2]["error_kind"]) == ("pending", "image_missing")


# ---------------------------------------------------------------- garbage


def test_a_damaged_record_prevents_garbage_collection(output: str) -> None:
    """Nobody can tell which image a damaged record names, so listing the images of records is an error."""
    storage.replace(record_address(output, "pair-1"), json.dumps({"half": "a record"}).encode())

    with pytest.raises(OutputError, match=r"pair-1-.*\.json: expected the record of a pair, found "):
        Ledger(output).files_of_records()


def test_the_images_of_all_records_are_listed(output: str) -> None:
    """The list includes an image that is missing."""
    storage.remove(storage.join(output, "images", "pair-2-01234567.png"))

    assert Ledger(output).files_of_records().images == {f"pair-{number}-01234567.png" for number in range(10)}

"""flows.output.snapshot and the ledger's index: thousands of records told from one file, and never anything stale."""

import gzip
import json
import os
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
"""Bytes of it; the next one says how what follows is packed."""


@pytest.fixture(autouse=True)
def snapshots_from_five_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "WORTH_A_SNAPSHOT", 5)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output with ten finished pairs and a snapshot of them."""
    address = str(tmp_path / "out") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    for number in range(10):
        commit_with_image(address, pair_record(f"pair-{number}"))
    ledger = Ledger(address)
    ledger.save_snapshot(ledger.index())
    return address


def record_address(output: str, pair_id: str) -> str:
    return storage.join(output, "_nst", "records", f"{pair_id}-{FINGERPRINT}.json")


def test_what_the_snapshot_has_is_not_read_again(output: str) -> None:
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
    """Going on with a run on S3 takes as many requests for twenty records as for ten."""
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


def test_new_records_are_read_beside_the_snapshot(output: str) -> None:
    """A record that was made after the snapshot is told too."""
    commit_with_image(output, pair_record("late"))
    index = Ledger(output).index()

    assert ("late", FINGERPRINT) in index.done
    assert index.read_now == 1


def test_a_record_that_was_moved_away_is_not_done(output: str) -> None:
    """The snapshot never brings back what is not there."""
    storage.remove(record_address(output, "pair-4"))

    assert ("pair-4", FINGERPRINT) not in Ledger(output).index().done


def test_a_record_that_was_made_anew_is_read_anew(output: str) -> None:
    """A record of the same name with another content is not taken from the snapshot."""
    storage.remove(record_address(output, "pair-4"))
    time.sleep(0.01)  # the clock of a file system may tick slowly
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
def test_a_damaged_snapshot_costs_time_and_nothing_else(tmp_path: Path, data: bytes) -> None:
    """Whatever stands in its place, the records are what counts."""
    output = str(tmp_path)
    for number in range(6):
        commit_with_image(output, pair_record(f"pair-{number}"))
    storage.replace(storage.join(output, "_nst", "records_snapshot.jsonl.gz"), data)
    index = Ledger(output).index()

    assert len(index.done) == 6
    assert index.read_now == 6


# ---------------------------------------------------------------- images that are gone


def test_a_pair_whose_image_is_gone_is_not_done(output: str) -> None:
    """The record is there, the image is not: it is told apart from both what is done and what is new."""
    storage.remove(storage.join(output, "images", "pair-2-01234567.png"))
    index = Ledger(output).index()

    assert index.imageless == {("pair-2", FINGERPRINT)}
    assert len(index.done) == 9


def test_such_a_pair_is_planned_under_a_new_fingerprint(tmp_path: Path) -> None:
    """The record without an image stays as it is; another takes its place, the same one for every run."""
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


def test_the_table_says_that_an_image_is_gone(output: str) -> None:
    """`nst status` shows such a row as pending, with the reason."""
    os_free = storage.join(output, "images", "pair-2-01234567.png")
    storage.remove(os_free)
    specs = tuple(pair_spec(row=number + 2, pair_id=f"pair-{number}") for number in range(10))
    run = run_record({spec.pair_id: FINGERPRINT for spec in specs})
    rows = table_rows(Manifest("/in/pairs.csv", "0", (), specs, ()), run, Ledger(output))

    assert [row["status"] for row in rows].count("succeeded") == 9
    assert (rows[2]["status"], rows[2]["error_kind"]) == ("pending", "image_missing")


# ---------------------------------------------------------------- garbage


def test_a_damaged_record_keeps_every_image(output: str) -> None:
    """Which image a damaged record names cannot be told, so nothing may be called garbage."""
    storage.replace(record_address(output, "pair-1"), json.dumps({"half": "a record"}).encode())

    with pytest.raises(OutputError, match=r"pair-1-.*\.json: expected the record of a pair, found "):
        Ledger(output).files_of_records()


def test_all_named_images_are_told(output: str) -> None:
    """Also that of a record whose image is gone, and of pairs that the latest manifest does not have."""
    storage.remove(storage.join(output, "images", "pair-2-01234567.png"))

    assert Ledger(output).files_of_records().images == {f"pair-{number}-01234567.png" for number in range(10)}
    assert os.path.basename(record_address(output, "x")).startswith("x-")

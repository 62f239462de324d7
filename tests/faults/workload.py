"""Manifests on disk or on S3, and checks of what has to be true of an output at every moment."""

import csv
import hashlib
import io
import itertools
import json
from collections import Counter
from typing import Any

from flows import storage
from flows.output.ledger import Ledger
from tests.faults.stub_run import StubRun

_NUMBERS = itertools.count()


def prepared(folder: str, log_folder: str, pairs: int, **changes: Any) -> StubRun:
    """Write the images and the manifest of a run of so many pairs, and return the run; its output is empty."""
    number = next(_NUMBERS)
    inputs, output = storage.join(folder, "in", str(number)), storage.join(folder, "out", str(number))
    names = [f"content-{index}.bin" for index in range(pairs)]
    storage.each(lambda name: storage.replace(storage.join(inputs, name), name.encode() * 200), [*names, "style.bin"])
    rows = "".join(f"pair-{index},{name},style.bin\n" for index, name in enumerate(names))
    manifest = storage.join(inputs, "pairs.csv")
    storage.replace(manifest, f"id,content,style\n{rows}".encode())
    return StubRun(manifest, output, f"{log_folder}/made-{number}", **changes)


def statuses(run: StubRun) -> Counter[str]:
    """Return the number of rows of the table with each status."""
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    return Counter(row["status"] for row in csv.DictReader(io.StringIO(text)))


def kinds(run: StubRun) -> Counter[str]:
    """Return the number of failed rows with each kind of error."""
    text = storage.read(storage.join(run.output, "results.csv")).decode()
    return Counter(row["error_kind"] for row in csv.DictReader(io.StringIO(text)) if row["status"] == "failed")


def check(run: StubRun) -> int:
    """Check that the image of every record exists with the bytes that it states; return the number of records."""
    ledger = Ledger(run.output)
    index = ledger.index()
    assert not index.imageless
    records = storage.each(ledger.read_record, sorted(index.done))
    images = storage.each(lambda record: storage.read(storage.join(run.output, record.output)), records)
    for record, image in zip(records, images, strict=True):
        assert hashlib.sha256(image).hexdigest() == record.output_sha256, record.pair_id
    assert len({record.pair_id for record in records}) == len(records)
    return len(records)


def check_complete(run: StubRun, pairs: int) -> dict[str, Any]:
    """Check that all pairs succeeded and that `_SUCCESS` states the right hashes; return its content."""
    assert check(run) == pairs
    assert statuses(run) == {"succeeded": pairs}
    marker: dict[str, Any] = json.loads(storage.read(storage.join(run.output, "_SUCCESS")))
    for name in ("csv", "parquet"):
        table = storage.read(storage.join(run.output, f"results.{name}"))
        assert marker[f"results_{name}_sha256"] == hashlib.sha256(table).hexdigest()
    images = [(record.output, record.output_sha256) for record in _records(run)]
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(images))
    assert marker["images_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert marker["succeeded"] == marker["rows"] == pairs
    return marker


def _records(run: StubRun) -> list[Any]:
    ledger = Ledger(run.output)
    return [ledger.read_record(key) for key in ledger.index().done]

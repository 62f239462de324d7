"""flows.worker.batch: batches of several real pairs in this process: which pairs share a chunk, which messages are
sent.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import storage
from flows.errors import DeviceUnusable
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.worker import batch, engine, inputs
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, LeftPending, Message, StepTaken
from nst_core.backbones.catalogue import WeightsFile
from tests.flows.builders import FINGERPRINT, Painter, pair_spec, planned
from tests.flows.fault_proxy import FaultProxy

NO_OUTCOME = ChunkStarted | StepTaken | DeviceWaits | DeviceGoesOn

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {
    "size_px": 64,
    "steps": 2,
    "style_layers": ("relu1_1", "relu2_1"),
    "content_layers": ("relu2_1",),
}
ONE_BY_ONE = {"max_seconds": 600.0}
"""Options with a time budget, with which each pair is a chunk of its own on any device."""


def pairs_of(contents: list[str], style: str, **options: object) -> list[PlannedPair]:
    specs = [pair_spec(row, content, style, options=QUICK | options) for row, content in enumerate(contents, start=2)]
    return [planned(spec) for spec in specs]


def said_of(pairs: list[PlannedPair], job: Job, also: Callable[[Message], None] = lambda _: None) -> list[Message]:
    """Return all messages of a batch of these pairs; every pair has exactly one outcome."""
    said: list[Message] = []

    def report(message: Message) -> None:
        said.append(message)
        also(message)

    stylize_pairs(report, pairs, job, "cpu")
    assert sorted(one.pair_id for one in outcomes(said)) == sorted(pair.spec.pair_id for pair in pairs)
    return said


def outcomes(said: list[Message]) -> list[PairRecord | AttemptRecord | LeftPending]:
    return [message for message in said if not isinstance(message, NO_OUTCOME)]


def chunks(said: list[Message]) -> list[tuple[str, ...]]:
    return [message.pair_ids for message in said if isinstance(message, ChunkStarted)]


def test_bad_inputs_fail_only_their_own_pairs(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A missing, a broken, a replaced and a too thin image fail their pairs, each with its reason; the other four
    succeed.
    """
    good = [photo(f"good-{seed}.png", seed=seed) for seed in range(4)]
    broken, replaced = tmp_path / "broken.png", photo("replaced.png", seed=8)
    broken.write_bytes(Path(good[0]).read_bytes()[:300])
    thin = photo("thin.png", 320, 16, seed=9)
    contents = [good[0], "/no/such.png", good[1], str(broken), good[2], replaced, good[3], thin]
    pairs = pairs_of(contents, waves, style_layers=("relu1_1", "relu4_1"))
    photo("replaced.png", seed=99)
    result = {one.pair_id: one for one in outcomes(said_of(pairs, job))}

    assert [result[f"pair-{row}"].error_kind for row in (3, 5, 7, 9)] == [
        "not_found",
        "bad_image",
        "input_changed",
        "options",
    ]
    succeeded = [result[f"pair-{row}"] for row in (2, 4, 6, 8)]
    assert [record.content for record in succeeded] == good
    assert Ledger(job.output).index().done == {(record.pair_id, FINGERPRINT) for record in succeeded}
    assert len(Ledger(job.output).index().attempts) == 4
    assert len({record.output_sha256 for record in succeeded}) == 4


@pytest.fixture
def three_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with room for three pairs, like a GPU; a CPU takes them one by one."""
    monkeypatch.setattr("flows.worker.capacity.largest_batch", lambda *_: 3)


@pytest.mark.usefixtures("three_at_once")
def test_a_chunk_has_pairs_of_one_size(photo: Painter, waves: str, job: Job) -> None:
    """Wide, tall and square images are mixed in the batch; each chunk has pairs of one size only."""
    shapes = {"wide": (80, 60), "tall": (60, 80), "square": (70, 70)}
    contents = [photo(f"{name}-{n}.png", *shape, seed=n) for n in range(3) for name, shape in shapes.items()]
    said = said_of(pairs_of(contents, waves), job)
    size = {one.pair_id: (one.width, one.height) for one in outcomes(said)}

    assert sorted(size.values()) == [(48, 64)] * 3 + [(64, 48)] * 3 + [(64, 64)] * 3
    assert [len(chunk) for chunk in chunks(said)] == [3, 3, 3]
    assert all(len({size[pair_id] for pair_id in chunk}) == 1 for chunk in chunks(said))
    assert sorted(pair_id for chunk in chunks(said) for pair_id in chunk) == sorted(size)


@pytest.mark.usefixtures("three_at_once")
def test_pairs_with_a_time_budget_run_alone(photo: Painter, waves: str, job: Job) -> None:
    """With `max_seconds`, every pair is a chunk of its own, so that it has the device to itself."""
    contents = [photo(f"{seed}.png", seed=seed) for seed in range(3)]

    assert [len(chunk) for chunk in chunks(said_of(pairs_of(contents, waves, **ONE_BY_ONE), job))] == [1, 1, 1]


def test_an_outcome_is_sent_after_its_files_are_written(photo: Painter, waves: str, job: Job) -> None:
    """When an outcome is sent, its image and record, or its attempt, exist."""
    contents = [photo("good.png"), "/no/such.png"]
    kept = []

    def look(message: Message) -> None:
        if isinstance(message, PairRecord):
            assert storage.identity(storage.join(job.output, message.output)) == f"sha256:{message.output_sha256}"
            kept.append(Ledger(job.output).read_record((message.pair_id, FINGERPRINT)) == message)
        if isinstance(message, AttemptRecord):
            kept.append(Ledger(job.output).read_attempt((message.pair_id, FINGERPRINT), 1) == message)

    said_of(pairs_of(contents, waves), job, look)

    assert kept == [True, True]


def test_pairs_are_loaded_while_the_device_is_busy(photo: Painter, waves: str, job: Job) -> None:
    """While the first pair is on the device, the files of all others are read: deleting them then does no harm."""
    contents = [photo(f"{seed}.png", seed=seed) for seed in range(4)]
    pairs = pairs_of(contents, waves, **ONE_BY_ONE)
    on_device: list[str] = []

    def remove_files(message: Message) -> None:
        if isinstance(message, ChunkStarted) and not on_device:
            on_device.extend(message.pair_ids)
            time.sleep(1.0)  # the device is busy so long
            for content in contents:
                os.unlink(content)

    result = outcomes(said_of(pairs, job, remove_files))

    assert [type(one) for one in result] == [PairRecord] * 4


def test_pairs_are_written_by_other_threads_than_the_device_s(photo: Painter, waves: str, job: Job) -> None:
    """Outcomes are sent by other threads than the one that drives the device."""
    threads: dict[str, set[int]] = {"chunk": set(), "outcome": set()}

    def note(message: Message) -> None:
        threads["chunk" if isinstance(message, NO_OUTCOME) else "outcome"].add(threading.get_ident())

    said_of(pairs_of([photo("a.png"), photo("b.png", seed=1)], waves), job, note)

    assert threads["chunk"] == {threading.get_ident()}
    assert threads["outcome"] and not threads["outcome"] & threads["chunk"]


def test_device_waits_follows_every_chunk(photo: Painter, waves: str, job: Job) -> None:
    """`DeviceWaits` is sent as soon as a chunk is computed, so that writing its pairs does not count as the device's
    time.
    """
    pairs = pairs_of([photo(f"{seed}.png", seed=seed) for seed in range(3)], waves, **ONE_BY_ONE)
    said = said_of(pairs, job)

    of_device = [type(one) for one in said if isinstance(one, ChunkStarted | DeviceWaits)]
    assert of_device == [ChunkStarted, DeviceWaits] * 3


@pytest.mark.parametrize("sizes", ["one size", "all sizes differ"])
def test_a_batch_larger_than_the_pixels_kept_ahead_is_done(
    photo: Painter, waves: str, job: Job, monkeypatch: pytest.MonkeyPatch, sizes: str
) -> None:
    """With `PIXELS_AHEAD = 1`, which lets few pairs wait for the device or for writing, all seven pairs are done."""
    monkeypatch.setattr(batch, "PIXELS_AHEAD", 1)
    contents = [photo(f"{n}.png", 80, 60 + (n if sizes == "all sizes differ" else 0), seed=n) for n in range(7)]
    result = outcomes(said_of(pairs_of(contents, waves), job))

    assert [type(one) for one in result] == [PairRecord] * 7


def test_a_style_is_read_and_encoded_once(
    s3_bucket: str, s3_proxy: FaultProxy, photo: Painter, waves: str, weights: WeightsFile
) -> None:
    """Two batches of two pairs request each content and their style from S3 once, and encode the style once."""
    job = Job(f"{s3_bucket}/out", "this run", weights, "fp32")
    storage.create(f"{s3_bucket}/waves.png", Path(waves).read_bytes())
    for seed in range(4):
        storage.create(f"{s3_bucket}/{seed}.png", Path(photo(f"{seed}.png", seed=seed)).read_bytes())
    pairs = pairs_of([f"{s3_bucket}/{seed}.png" for seed in range(4)], f"{s3_bucket}/waves.png")
    inputs.read_style.cache_clear()
    engine._encoded_style.cache_clear()
    s3_proxy.requests.clear()
    result = outcomes(said_of(pairs[:2], job)) + outcomes(said_of(pairs[2:], job))

    assert [type(one) for one in result] == [PairRecord] * 4
    assert s3_proxy.requests["GET"] == 5
    assert engine._encoded_style.cache_info().misses == 1


def test_a_copy_of_a_style_is_not_encoded_again(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A style with the same content under another name is read again, but not encoded again."""
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(waves).read_bytes())
    engine._encoded_style.cache_clear()
    for number, address in enumerate((waves, str(copy))):
        said_of(pairs_of([photo(f"{number}.png", seed=number)], address), job)

    assert engine._encoded_style.cache_info().misses == 1


def test_a_bad_style_fails_every_pair_of_its_batch(photo: Painter, job: Job) -> None:
    """Without its style no pair of a batch can be done: each attempt says why, and nothing is stylized."""
    contents = [photo(f"{seed}.png", seed=seed) for seed in range(3)]
    said = said_of(pairs_of(contents, "/no/style.png"), job)

    assert [one.error_kind for one in outcomes(said)] == ["not_found"] * 3
    assert all("/no/style.png" in one.error for one in outcomes(said))
    assert chunks(said) == []


def test_an_unusable_device_fails_no_pair(photo: Painter, waves: str, job: Job) -> None:
    """No pair gets an outcome; the error names the device and the reason, and suggests another one."""
    said: list[Message] = []
    with pytest.raises(DeviceUnusable, match=r"cuda:99 cannot be used: .*another with --device"):
        stylize_pairs(said.append, pairs_of([photo("a.png")], waves), job, "cuda:99")

    assert said == []


def test_a_failure_that_cannot_be_stored_leaves_its_pair_pending(photo: Painter, waves: str, job: Job) -> None:
    """If not even the attempt can be written, the pair is reported as pending with both reasons; other pairs go on."""
    attempts = Path(job.output, "_nst", "attempts")
    attempts.parent.mkdir(parents=True)
    attempts.write_text("in the way")
    result = {one.pair_id: one for one in outcomes(said_of(pairs_of(["/no/such.png", photo("good.png")], waves), job))}

    assert isinstance(result["pair-2"], LeftPending)
    assert "/no/such.png" in result["pair-2"].error and str(attempts) in result["pair-2"].error
    assert isinstance(result["pair-3"], PairRecord)

"""flows.run.prepare: a run is planned, and its plan kept in the output."""

import dataclasses
import logging
import re
from pathlib import Path

import pytest

from flows.decoding.image_bytes import PictureLimits
from flows.errors import OutputError
from flows.limits import Limits
from flows.output.ledger import Ledger
from flows.run.prepare import PreparedRun, new_run_id, places_of, prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners import Means
from flows.settings import RunSettings, Selection
from flows.stub import Stub
from tests.flows.builders import Painter, attempt_record, commit_with_image, pair_record

CPU = Means(("cpu",), ("here",), "fp32")


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> RunArguments:
    """A manifest of three pairs, and where it goes; images are made up."""
    rows = [f"{photo(f'{name}.png', seed=seed)},{waves},{name}" for seed, name in enumerate(("owl", "cat", "dog"))]
    (tmp_path / "pairs.csv").write_text("\n".join(("content,style,id", *rows, ",,bad", "")))
    return RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=RunSettings(backbone="stub"))


def prepared(asked: RunArguments, means: Means = CPU) -> PreparedRun:
    return prepare_run(resolve(asked), means)


def test_the_plan_is_kept_before_anything_is_done(asked: RunArguments) -> None:
    """The output has the run's record, with every fingerprint, and the manifest byte for byte; an old mark is gone."""
    output = Path(asked.output)
    prepared(asked)
    (output / "_SUCCESS").write_text("of an earlier run")
    run = prepared(asked, Means(("cuda:0", "cuda:1", "cuda:0"), ("a", "b", "c"), "bf16"))
    ledger = Ledger(asked.output)
    record = ledger.latest_run()

    assert record == run.record
    assert ledger.manifest_of(record.run_id) == Path(str(asked.manifest)).read_bytes()
    assert record.fingerprints == {pair.spec.pair_id: pair.fingerprint for pair in run.plan.todo}
    assert (record.device, record.precision) == ("cuda:0,cuda:1", "bf16")
    assert not (output / "_SUCCESS").exists()


def test_what_is_told_at_the_start(asked: RunArguments) -> None:
    """Who the workers are and on what, and how much is done, left and rejected."""
    first = prepared(asked)
    done = first.plan.todo[0]
    commit_with_image(asked.output, pair_record(done.spec.pair_id, done.fingerprint))
    told = prepared(asked, Means(("cuda:0",), ("node 1: cuda:0",), "bf16")).started

    assert ([pair.spec.pair_id for pair in told.todo], told.done_before, len(told.rejected)) == (["cat", "dog"], 1, 1)
    assert (told.workers, told.devices) == (("node 1: cuda:0",), ("cuda:0",))
    assert (told.output, told.backbone, told.precision) == (first.job.output, "stub", "bf16")


def test_batches_are_for_as_many_devices_as_there_are(asked: RunArguments) -> None:
    """Three pairs for three devices are a batch each; for one, a batch of all, or of as many as a task may have."""
    three = Means(("cuda:0", "cuda:1", "cuda:2"), ("a", "b", "c"), "bf16")
    two_per_task = dataclasses.replace(asked, settings=RunSettings(backbone="stub", pairs_per_task=2))

    assert [len(batch.pairs) for batch in prepared(asked, three).plan.batches] == [1, 1, 1]
    assert [len(batch.pairs) for batch in prepared(asked).plan.batches] == [3]
    assert [len(batch.pairs) for batch in prepared(two_per_task).plan.batches] == [2, 1]


def test_what_the_workers_are_given(asked: RunArguments) -> None:
    """The run's output and name, the weights, the precision and threads of the place, and what the settings say."""
    settings = RunSettings(backbone="stub", stub="seconds=2", timeline="gif")
    run = prepared(dataclasses.replace(asked, settings=settings), Means(("cpu",), ("here",), "bf16", threads=3))
    job = run.job

    assert (job.output, job.run_id, job.weights.sha256) == (
        run.request.output,
        run.record.run_id,
        run.record.weights_sha256,
    )
    assert (job.precision, job.threads, job.timeline, job.weights_address) == ("bf16", 3, "gif", None)
    assert (job.stub, job.picture_limits) == (Stub(seconds=2.0), PictureLimits())


def test_the_operator_s_limits_of_pictures_go_to_the_workers(asked: RunArguments, tmp_path: Path) -> None:
    """Where there are any, they take the place of the engine's own."""
    request = resolve(asked)
    given = {"max_image_bytes": 1_000_000, "max_image_pixels": 3071, "read": (str(tmp_path),)}
    limits = Limits.model_validate(given)
    job = prepare_run(dataclasses.replace(request, limits=limits), CPU).job

    assert job.picture_limits == PictureLimits(1_000_000, 3071, limits.readable)
    assert limits.readable is not None


def test_the_engine_makes_nothing_up(asked: RunArguments) -> None:
    """With another backbone there is no stub, and its weights are those of the settings."""
    run = prepared(dataclasses.replace(asked, settings=RunSettings()))

    assert run.job.stub is None
    assert (run.record.backbone, run.job.weights.backbone) == ("vgg19", "vgg19")


def test_every_place_is_named(asked: RunArguments) -> None:
    """The output, and both pictures of each pair that is to be done: a cluster's machines need them all."""
    run = prepared(dataclasses.replace(asked, selection=Selection(only=("cat",))))
    (cat,) = run.plan.todo

    assert places_of(run) == [run.job.output, cat.spec.content, cat.spec.style]
    job = dataclasses.replace(run.job, weights_address="s3://models/vgg19.bin")
    assert "s3://models/vgg19.bin" in places_of(dataclasses.replace(run, job=job))


def test_a_retry_keeps_the_fingerprints_of_what_it_leaves_alone(asked: RunArguments) -> None:
    """A pair that did not fail keeps its record though its picture has changed; what failed is tried as it is now."""
    first = prepared(asked)
    fingerprints = {pair.spec.pair_id: pair.fingerprint for pair in first.plan.todo}
    commit_with_image(asked.output, pair_record("owl", fingerprints["owl"]))
    Ledger(asked.output).add_attempt(attempt_record("cat", fingerprints["cat"]))
    for name in ("owl", "dog"):
        content = next(pair.spec.content for pair in first.plan.todo if pair.spec.pair_id == name)
        Path(content).write_bytes(Path(content).read_bytes() + b"changed")
    again = prepared(RunArguments(asked.output, selection=Selection(only_failed=True)))

    assert [pair.spec.pair_id for pair in again.plan.todo] == ["cat"]
    assert again.record.fingerprints == fingerprints
    assert prepared(asked).record.fingerprints["owl"] != fingerprints["owl"]


def test_a_retry_with_a_manifest_is_of_the_latest_run(asked: RunArguments) -> None:
    """Where nothing was ever run, there is nothing to do again."""
    selection = Selection(only_failed=True)
    with pytest.raises(OutputError):
        prepared(dataclasses.replace(asked, selection=selection))
    first = prepared(asked)
    cat = next(pair for pair in first.plan.todo if pair.spec.pair_id == "cat")
    Ledger(asked.output).add_attempt(attempt_record("cat", cat.fingerprint))

    again = prepared(dataclasses.replace(asked, selection=selection))
    assert [(pair.spec.pair_id, pair.attempt) for pair in again.plan.todo] == [("cat", 2)]


def test_what_is_made_anew_is_told(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """Pairs that were done with other pictures, options, weights or another engine; not those that never were."""
    first = prepared(asked)
    for pair, fingerprint in zip(first.plan.todo, (first.plan.todo[0].fingerprint, "f" * 20), strict=False):
        commit_with_image(asked.output, pair_record(pair.spec.pair_id, fingerprint))
    with caplog.at_level(logging.WARNING):
        again = prepared(asked)

    assert len(again.plan.todo) == 2
    assert [text for text in caplog.messages if "computed again" in text] == [
        "pairs that are computed again, because their images, options, weights or the engine have changed since they "
        "were done: 1"
    ]


def test_what_is_left_alone_is_told(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that failed for good, by their number with the way to try them; a record whose image is gone, by name."""
    first = prepared(asked)
    fingerprints = {pair.spec.pair_id: pair.fingerprint for pair in first.plan.todo}
    Ledger(asked.output).add_attempt(attempt_record("cat", fingerprints["cat"]))
    Ledger(asked.output).commit(pair_record("owl", fingerprints["owl"]))  # without an image
    with caplog.at_level(logging.WARNING):
        run = prepared(asked)

    assert run.plan.failed_for_good == 1
    assert any("only fail again: 1; " in text and f"nst retry {run.job.output}" in text for text in caplog.messages)
    assert any(text.startswith("owl: the image of its record does not exist") for text in caplog.messages)
    assert len(caplog.messages) == 2


def test_the_name_of_a_run_sorts_by_time() -> None:
    """The second, in UTC, and six digits that tell runs of one second apart."""
    first, second = new_run_id(), new_run_id()

    assert re.fullmatch(r"20\d{6}T\d{6}Z-[0-9a-f]{6}", first)
    assert first != second

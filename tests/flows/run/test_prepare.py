"""flows.run.prepare: a run is planned, and its plan is stored in the output."""

import dataclasses
import logging
import re
from pathlib import Path

import pytest

from flows.decoding.image_bytes import PictureLimits
from flows.errors import OutputBusy, OutputError
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
    """Arguments of a run with a manifest of three pairs and a rejected row; the stub stylizes them."""
    rows = [f"{photo(f'{name}.png', seed=seed)},{waves},{name}" for seed, name in enumerate(("owl", "cat", "dog"))]
    (tmp_path / "pairs.csv").write_text("\n".join(("content,style,id", *rows, ",,bad", "")))
    return RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"), settings=RunSettings(backbone="stub"))


def prepared(asked: RunArguments, means: Means = CPU) -> PreparedRun:
    return prepare_run(resolve(asked), means)


def test_the_plan_is_stored_before_the_run(asked: RunArguments) -> None:
    """The output has the run's record with all fingerprints, and the manifest byte for byte; an old mark is removed."""
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


def test_the_start_message_states_workers_and_pairs(asked: RunArguments) -> None:
    """The message states the workers and their devices, and how many pairs are done, left and rejected."""
    first = prepared(asked)
    done = first.plan.todo[0]
    commit_with_image(asked.output, pair_record(done.spec.pair_id, done.fingerprint))
    told = prepared(asked, Means(("cuda:0",), ("node 1: cuda:0",), "bf16")).started

    assert ([pair.spec.pair_id for pair in told.todo], told.done_before, len(told.rejected)) == (["cat", "dog"], 1, 1)
    assert (told.workers, told.devices) == (("node 1: cuda:0",), ("cuda:0",))
    assert (told.output, told.backbone, told.precision) == (first.job.output, "stub", "bf16")


def test_batches_are_sized_for_the_number_of_devices(asked: RunArguments) -> None:
    """Three pairs make a batch each for three devices; for one device, one batch, or several if `pairs_per_task` is
    lower.
    """
    three = Means(("cuda:0", "cuda:1", "cuda:2"), ("a", "b", "c"), "bf16")
    two_per_task = dataclasses.replace(asked, settings=RunSettings(backbone="stub", pairs_per_task=2))

    assert [len(batch.pairs) for batch in prepared(asked, three).plan.batches] == [1, 1, 1]
    assert [len(batch.pairs) for batch in prepared(asked).plan.batches] == [3]
    assert [len(batch.pairs) for batch in prepared(two_per_task).plan.batches] == [2, 1]


def test_the_job_has_what_workers_need(asked: RunArguments) -> None:
    """The job has the run's output, id, weights, precision and threads, and the settings of stub and timeline."""
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


def test_the_job_has_the_operator_s_limits_of_images(asked: RunArguments, tmp_path: Path) -> None:
    """The operator's limits of image bytes, pixels and readable places are part of the job."""
    request = resolve(asked)
    given = {"max_image_bytes": 1_000_000, "max_image_pixels": 3071, "read": (str(tmp_path),)}
    limits = Limits.model_validate(given)
    job = prepare_run(dataclasses.replace(request, limits=limits), CPU).job

    assert job.picture_limits == PictureLimits(1_000_000, 3071, limits.readable)
    assert limits.readable is not None


def test_a_run_with_a_real_backbone_has_no_stub(asked: RunArguments) -> None:
    """With a real backbone the job has no stub, and the weights are those of the settings."""
    run = prepared(dataclasses.replace(asked, settings=RunSettings()))

    assert run.job.stub is None
    assert (run.record.backbone, run.job.weights.backbone) == ("vgg19", "vgg19")


def test_places_of_a_run_are_its_output_inputs_and_weights(asked: RunArguments) -> None:
    """The places are the output, both images of each pair to do, and the weights: a cluster's machines need all of
    them.
    """
    run = prepared(dataclasses.replace(asked, selection=Selection(only=("cat",))))
    (cat,) = run.plan.todo

    assert places_of(run) == [run.job.output, cat.spec.content, cat.spec.style]
    job = dataclasses.replace(run.job, weights_address="s3://models/vgg19.bin")
    assert "s3://models/vgg19.bin" in places_of(dataclasses.replace(run, job=job))


def test_a_retry_keeps_the_fingerprints_of_other_pairs(asked: RunArguments) -> None:
    """A pair that did not fail keeps its fingerprint although its image has changed; a normal run plans it anew."""
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


def test_an_interrupted_retry_is_continued_by_a_retry(asked: RunArguments) -> None:
    """A retry takes the pairs that an earlier one with other options left undone, also past a retry of some of them."""
    failed_only = Selection(only_failed=True)
    first = {pair.spec.pair_id: pair.fingerprint for pair in prepared(asked).plan.todo}
    for name in ("owl", "cat"):
        Ledger(asked.output).add_attempt(attempt_record(name, first[name]))
    smaller = RunArguments(asked.output, selection=failed_only, overrides={"size_px": 32})

    interrupted = prepared(smaller)
    of_some = prepared(RunArguments(asked.output, selection=Selection(only_failed=True, only=("owl",))))
    again = prepared(RunArguments(asked.output, selection=failed_only))
    commit_with_image(asked.output, pair_record("owl", again.record.fingerprints["owl"]))
    rest = prepared(RunArguments(asked.output, selection=failed_only))

    assert interrupted.record.retrying == {name: first[name] for name in ("owl", "cat")}
    assert [pair.spec.pair_id for pair in of_some.plan.todo] == ["owl"]
    assert again.plan.todo == interrupted.plan.todo
    assert [pair.spec.pair_id for pair in rest.plan.todo] == ["cat"]
    assert prepared(asked).record.retrying == {}


def test_a_retry_with_a_manifest_uses_the_latest_run(asked: RunArguments) -> None:
    """A retry takes the failures of the latest run; without an earlier run it is an error."""
    selection = Selection(only_failed=True)
    with pytest.raises(OutputError):
        prepared(dataclasses.replace(asked, selection=selection))
    first = prepared(asked)
    cat = next(pair for pair in first.plan.todo if pair.spec.pair_id == "cat")
    Ledger(asked.output).add_attempt(attempt_record("cat", cat.fingerprint))

    again = prepared(dataclasses.replace(asked, selection=selection))
    assert [(pair.spec.pair_id, pair.attempt) for pair in again.plan.todo] == [("cat", 2)]


@pytest.mark.parametrize(("checks", "is_marked"), [(1, True), (2, False)])
def test_a_run_that_is_taken_over_while_it_is_planned_is_not_the_latest(
    asked: RunArguments, checks: int, is_marked: bool
) -> None:
    """The lease is checked before the mark of the run before is removed, and before the run becomes the latest one."""
    latest, mark = prepared(asked).record, Path(asked.output, "_SUCCESS")
    mark.write_text("of the run before")
    left = checks

    def check_hold() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OutputBusy("was taken over")

    with pytest.raises(OutputBusy):
        prepare_run(resolve(asked), CPU, check_hold)
    assert Ledger(asked.output).latest_run() == latest
    assert mark.exists() == is_marked


def test_a_retry_is_refused_after_another_run(asked: RunArguments, tmp_path: Path) -> None:
    """A retry that was asked for before another run began repeats nothing, and says so; that run stays the latest."""
    first = prepared(asked)
    for pair in first.plan.todo:
        Ledger(asked.output).add_attempt(attempt_record(pair.spec.pair_id, pair.fingerprint))
    request = resolve(RunArguments(asked.output, selection=Selection(only_failed=True)))
    rows = (tmp_path / "pairs.csv").read_text().splitlines()
    (tmp_path / "other.csv").write_text("\n".join([*rows[:2], ""]))
    other = prepared(dataclasses.replace(asked, manifest=str(tmp_path / "other.csv")))

    with pytest.raises(OutputBusy, match=f"{first.record.run_id}.*{other.record.run_id}, was made since. Run the same"):
        prepare_run(request, CPU)
    assert Ledger(asked.output).latest_run() == other.record


def test_pairs_that_are_computed_again_are_logged(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """The log counts pairs that were done with other images, options, weights or engine, but not pairs that were never
    done.
    """
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


def test_skipped_failures_and_missing_images_are_logged(asked: RunArguments, caplog: pytest.LogCaptureFixture) -> None:
    """The log counts rows that failed for good, with the command that retries them, and names a record without its
    image.
    """
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


def test_a_run_id_sorts_by_time() -> None:
    """A run id has the second in UTC, and six hex digits that distinguish runs of the same second."""
    first, second = new_run_id(), new_run_id()

    assert re.fullmatch(r"20\d{6}T\d{6}Z-[0-9a-f]{6}", first)
    assert first != second

"""flows.stub and flows.worker.stub_results: made-up images that are marked as such, and failures on request."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from flows import storage
from flows.records.attempts import AttemptRecord, PairRecord
from flows.stub import NAME, WARNING, WEIGHTS, Stub
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import Message
from nst_core.backbones.catalogue import BACKBONES
from tests.flows.builders import Painter, pair_spec, planned


def test_the_words_of_the_stub_are_parsed() -> None:
    """Numbers, switches and lists of ids are parsed by the field that they are for."""
    assert Stub.parsed("") == Stub()
    assert Stub.parsed("seconds=0.25 random=true hang=a,b kill=c") == Stub(
        seconds=0.25, random=True, hang=("a", "b"), kill=("c",)
    )


@pytest.mark.parametrize("text", ["slow", "sleep=3", "seconds=", "seconds=soon", "seconds=-1"])
def test_other_words_are_refused(text: str) -> None:
    """A word that is not a behaviour of the stub is an error that quotes it."""
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        Stub.parsed(text)


def test_the_stub_is_not_a_backbone_of_the_engine() -> None:
    """The stub's weights hash differs from that of every published network, so that no fingerprint is the same."""
    assert NAME not in BACKBONES
    assert WEIGHTS.sha256 not in {spec.sha256 for spec in BACKBONES.values()}


def done(photo: Painter, waves: str, tmp_path: Path, stub: Stub, pairs: int = 1) -> list[Message]:
    specs = [
        pair_spec(row, photo(f"{row}.png", 90, 60, seed=row), waves, options={"size_px": 48})
        for row in range(2, 2 + pairs)
    ]
    told: list[Message] = []
    stylize_pairs(told.append, [planned(spec) for spec in specs], stub_job(tmp_path, stub), "cpu")
    return [one for one in told if isinstance(one, PairRecord | AttemptRecord)]


def stub_job(tmp_path: Path, stub: Stub) -> Job:
    return Job(str(tmp_path / "out"), "20260101T000000Z-000001", WEIGHTS, "fp32", stub=stub)


def test_a_made_up_pair_is_marked_in_its_record(photo: Painter, waves: str, tmp_path: Path) -> None:
    """The record names the backbone `stub` and has the warning; the image has the pair's size."""
    (record,) = done(photo, waves, tmp_path, Stub())
    assert isinstance(record, PairRecord)
    picture = Image.open(io.BytesIO(storage.read(storage.join(str(tmp_path / "out"), record.output))))

    assert (record.backbone, record.weights_sha256, record.notes) == ("stub", WEIGHTS.sha256, (WARNING,))
    assert picture.size == (record.width, record.height) == (48, 32)


def test_made_up_images_repeat_unless_random(photo: Painter, waves: str, tmp_path: Path) -> None:
    """Two runs give the same images, different for two contents; with `random` every image differs."""
    first = done(photo, waves, tmp_path / "a", Stub(), pairs=2)
    again = done(photo, waves, tmp_path / "b", Stub(), pairs=2)
    chance = done(photo, waves, tmp_path / "c", Stub(random=True), pairs=2)
    by_pair = [{one.pair_id: one.output_sha256 for one in outcomes} for outcomes in (first, again, chance)]

    assert by_pair[0] == by_pair[1]
    assert len({sha for hashes in (by_pair[0], by_pair[2]) for sha in hashes.values()}) == 4


@pytest.mark.parametrize(
    ("stub", "kind", "words"),
    [
        (Stub(nan=("pair-2",)), "diverged", "not finite"),
        (Stub(oom=("pair-2",)), "out_of_memory", "not enough memory"),
        (
            Stub(error=("pair-2",)),
            "internal",
            "RuntimeError: an error that nobody expects (stub) (an error of this program",
        ),
    ],
)
def test_a_requested_failure_is_of_one_pair(
    photo: Painter, waves: str, tmp_path: Path, stub: Stub, kind: str, words: str
) -> None:
    """The pair that is to fail does so with its kind of error, and the other pair succeeds."""
    outcomes = {one.pair_id: one for one in done(photo, waves, tmp_path, stub, pairs=2)}
    failed = outcomes["pair-2"]

    assert isinstance(failed, AttemptRecord)
    assert (failed.error_kind, words in failed.error) == (kind, True)
    assert isinstance(outcomes["pair-3"], PairRecord)


def test_an_unexpected_error_shows_no_credential(
    photo: Painter, waves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret of the environment that an error quotes is in neither the record nor the log."""
    monkeypatch.setenv("SOME_SECRET_TOKEN", "nobody expects")
    (failed,) = done(photo, waves, tmp_path, Stub(error=("pair-2",)))

    assert isinstance(failed, AttemptRecord)
    assert "an error that ***" in failed.error
    assert "Traceback" in caplog.text
    assert "nobody expects" not in caplog.text


def test_the_image_of_the_stub_bears_letters(photo: Painter, waves: str, tmp_path: Path) -> None:
    """The image of the stub is not made of squares alone: there are letters on them."""
    (record,) = done(photo, waves, tmp_path, Stub())
    assert isinstance(record, PairRecord)
    picture = Image.open(io.BytesIO(storage.read(storage.join(str(tmp_path / "out"), record.output)))).convert("RGB")
    plain = picture.resize((8, 8), Image.Resampling.NEAREST).resize(picture.size, Image.Resampling.NEAREST)

    assert ImageChops.difference(picture, plain).getbbox() is not None

"""flows.worker.timelines and .animation: how a pastiche came to be, in a few frames and a small file."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from flows import storage
from flows.output.ledger import Ledger
from flows.records.attempts import PairRecord
from flows.stub import WEIGHTS, Stub
from flows.worker.animation import FRAMES, LAST_MS, MOST_BYTES, animation
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Message, StepTaken
from flows.worker.timelines import EVERY_LOOK, MOST_KEPT, Timelines, difference, evenly_spaced, small_frame
from nst_core.backbones.catalogue import WeightsFile
from nst_core.losses.values import LossValues
from nst_core.optimize import StepReport
from tests.flows.builders import Painter, pair_spec, planned, sha256_of

NO_OUTCOME = ChunkStarted | StepTaken | DeviceWaits | DeviceGoesOn

SIZE = (32, 24)


def grey(level: float, width: int = SIZE[0], height: int = SIZE[1]) -> Tensor:
    return torch.full((1, 3, height, width), level)


def test_a_frame_of_a_poster_is_made_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """No resampling shrinks by more than 47, CUDA's limit for antialiasing; the frame shows what the poster shows."""
    factors: list[float] = []
    interpolate = functional.interpolate

    def noting(image: Tensor, size: tuple[int, int], **how: Any) -> Tensor:
        factors.append(image.shape[2] / size[0])
        return interpolate(image, size=size, **how)

    monkeypatch.setattr(functional, "interpolate", noting)
    poster = torch.linspace(0.0, 1.0, 2400)[:, None].expand(1, 3, 2400, 3200)
    frame = small_frame(poster, SIZE)

    assert max(factors) <= 47
    assert frame.shape == (24, 32, 3)
    assert np.abs(frame[:, :, 0].mean(1) - (np.arange(24) + 0.5) / 24 * 255).max() < 3


def report(evaluation: int, look: Callable[[], Tensor], pair: int = 0, level: int = 0) -> StepReport:
    """An evaluation better than all before it."""
    total = 1.0 / evaluation
    return StepReport(pair, level, evaluation, evaluation, LossValues(total, total, 0.0, 0.0), 0.1, look)


def levels_of(frames: tuple[Image.Image, ...]) -> list[int]:
    return [round(float(np.asarray(frame).mean())) for frame in frames]


def settling(evaluation: int) -> float:
    """A brightness that changes fast at first, and hardly in the end: from 0 to 200 of 255."""
    return (200.0 / 255.0) * (1.0 - 0.97 ** (evaluation - 1))


def filmed(evaluations: int, brightness: Callable[[int], float]) -> Timelines:
    timelines = Timelines(1, SIZE)
    for evaluation in range(1, evaluations + 1):
        timelines(report(evaluation, partial(grey, brightness(evaluation))))
    return timelines


def noting(looked: list[int], evaluation: int) -> Callable[[], Tensor]:
    """A look that is noted, and shows black and white in turn."""

    def look() -> Tensor:
        looked.append(evaluation)
        return grey(evaluation % 2)

    return look


# ---------------------------------------------------------------- which frames


def test_frames_differ_alike_whatever_the_steps() -> None:
    """Of a pastiche that settles, most frames are of its first steps; each two differ by about the same."""
    frames = filmed(300, settling).of(0, Image.new("RGB", SIZE, (200, 200, 200)))
    steps = np.diff(levels_of(frames))

    assert levels_of(frames)[0] == 0
    assert levels_of(frames)[-1] == 200
    assert FRAMES - 3 <= len(frames) <= FRAMES
    assert steps.min() >= 4
    assert steps.max() <= 16


def test_the_last_frame_is_the_finished_picture() -> None:
    """Whatever was seen on the way, the end is what is saved, made small."""
    finished = Image.effect_mandelbrot((640, 480), (-2, -1, 1, 1), 50).convert("RGB")
    timelines = Timelines(1, finished.size)
    timelines(report(1, lambda: grey(0.5, *finished.size)))
    frames = timelines.of(0, finished)

    assert [frame.size for frame in frames] == [(320, 240)] * 2
    assert difference(np.asarray(frames[-1]), np.asarray(finished.resize((320, 240), Image.Resampling.LANCZOS))) < 1


def test_what_does_not_change_is_one_frame() -> None:
    """A pastiche that does not change has two frames: the first sample and the finished image."""
    assert levels_of(filmed(100, lambda _: 0.5).of(0, Image.new("RGB", SIZE, (128, 128, 128)))) == [128, 128]


def test_looks_are_few() -> None:
    """Of thousands of evaluations some dozens are looked at, and no more than a bound are kept."""
    looked: list[int] = []

    timelines = Timelines(1, SIZE)
    for evaluation in range(1, 2001):
        timelines(report(evaluation, noting(looked, evaluation)))

    assert looked[:EVERY_LOOK] == list(range(1, EVERY_LOOK + 1))
    assert len(looked) < 75
    assert len(timelines._films[0].frames) <= MOST_KEPT


def test_a_worse_pastiche_is_not_looked_at() -> None:
    """The picture shown is the best so far, so an evaluation that is no better has nothing new."""
    timelines, looked = Timelines(1, SIZE), list[int]()
    for evaluation, total in enumerate([3.0, 2.0, 9.0, float("nan"), 1.0], start=1):
        losses = LossValues(total, 0.0, 0.0, 0.0)
        timelines(StepReport(0, 0, evaluation, evaluation, losses, 0.1, noting(looked, evaluation)))

    assert looked == [1, 2, 5]


def test_coarse_sizes_are_part_of_it() -> None:
    """Looks at half the size come first, enlarged, although the losses of another size may be lower."""
    timelines = Timelines(1, SIZE)
    timelines(report(9, lambda: grey(0.1, 16, 12), level=1))
    timelines(report(1, lambda: grey(0.6), level=0))

    assert levels_of(timelines.of(0, Image.new("RGB", SIZE, (255, 255, 255)))) == [26, 153, 255]


def test_pairs_are_told_apart() -> None:
    """Each pair of a chunk has its own frames."""
    timelines = Timelines(2, SIZE)
    timelines(report(1, lambda: grey(0.2), pair=0))
    timelines(report(1, lambda: grey(0.8), pair=1))
    white = Image.new("RGB", SIZE, "white")

    assert [levels_of(timelines.of(pair, white)) for pair in (0, 1)] == [[51, 255], [204, 255]]


def test_trouble_with_a_look_is_kept_to_its_pair() -> None:
    """A look that fails ends the timeline of its pair, says why, and raises nothing."""

    def fails() -> Tensor:
        raise torch.OutOfMemoryError("no room")

    timelines = Timelines(2, SIZE)
    timelines(report(1, fails, pair=0))
    timelines(report(2, lambda: grey(0.5), pair=0))
    timelines(report(1, lambda: grey(0.5), pair=1))
    white = Image.new("RGB", SIZE, "white")

    assert (timelines.of(0, white), timelines.trouble(0)) == ((), "OutOfMemoryError: no room")
    assert (len(timelines.of(1, white)), timelines.trouble(1)) == (2, "")


def test_places_are_chosen_by_the_way_gone() -> None:
    """Of frames with one large leap, those before and after the leap are chosen, and none twice."""
    frames = [np.full((2, 2, 3), level, np.uint8) for level in (0, 1, 2, 100, 101, 102)]

    assert evenly_spaced(frames, 3) == [0, 2, 5]
    assert evenly_spaced(frames[:1], 3) == [0]


def test_pixels_beyond_the_range_are_clamped() -> None:
    """A pastiche may go beyond [0, 1] on its way; its frame does not wrap around."""
    assert small_frame(grey(-0.1), SIZE).max() == 0
    assert small_frame(grey(1.1), SIZE).min() == 255


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_file_plays_every_frame_and_rests_on_the_last(kind: str) -> None:
    """The frames come in order, alike in size, without end; the last one stays longer."""
    frames = [Image.new("RGB", SIZE, (level, 255 - level, 40)) for level in range(0, 250, 25)]
    film = Image.open(io.BytesIO(animation(frames, kind)))
    shown, times = [], []
    for place in range(film.n_frames):
        film.seek(place)
        shown.append(film.convert("RGB").getpixel((5, 5))[0])
        times.append(film.info["duration"])

    assert (film.format, film.size, film.info["loop"]) == (kind.upper(), SIZE, 0)
    assert shown == pytest.approx(list(range(0, 250, 25)), abs=6)
    assert times[-1] == LAST_MS > 10 * times[0]


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_file_is_small_whatever_it_shows(kind: str) -> None:
    """Noise, the worst there is, is made smaller until the file is within its bound."""
    chance = np.random.default_rng(0)
    frames = [Image.fromarray(chance.integers(0, 256, (320, 320, 3), np.uint8)) for _ in range(FRAMES)]

    assert len(animation(frames, kind)) <= MOST_BYTES


# ---------------------------------------------------------------- in a run


def job_of(folder: Path, weights: WeightsFile, **changes: object) -> Job:
    return Job(str(folder / "out"), "this run", weights, "fp32", **changes)


def records_of(contents: list[str], waves: str, job: Job, **options: object) -> list[PairRecord]:
    pairs = [planned(pair_spec(row, content, waves, options=options)) for row, content in enumerate(contents, start=2)]
    told: list[Message] = []
    stylize_pairs(told.append, pairs, job, "cpu")
    records = [one for one in told if not isinstance(one, NO_OUTCOME)]
    assert all(isinstance(one, PairRecord) for one in records), records
    return sorted(records, key=lambda record: record.pair_id)


@pytest.mark.usefixtures("one_thread")
def test_each_pair_of_a_chunk_has_its_own(photo: Painter, waves: str, tmp_path: Path, weights: WeightsFile) -> None:
    """From its content to its pastiche, over a coarse and a full size; the record names the file by its hash."""
    contents = [photo(f"{seed}.png", 96, 72, seed=seed) for seed in range(2)]
    options = {"size_px": 96, "steps": 8, "levels": 2, "style_layers": ("relu1_1",), "content_layers": ("relu2_1",)}
    job = job_of(tmp_path, weights, timeline="webp")
    records = records_of(contents, waves, job, **options)

    for content, record in zip(contents, records, strict=True):
        address = storage.join(job.output, record.timeline)
        film, pastiche = Image.open(address), Image.open(storage.join(job.output, record.output)).convert("RGB")
        first = np.asarray(film.convert("RGB"))
        film.seek(film.n_frames - 1)
        assert record.timeline == f"timelines/{record.pair_id}-{record.timeline_sha256[:8]}.webp"
        assert record.timeline_sha256 == sha256_of(address)
        assert film.n_frames >= 4
        assert difference(first, np.asarray(Image.open(content).convert("RGB"))) < 12
        assert difference(np.asarray(film.convert("RGB")), np.asarray(pastiche)) < 6
        assert difference(first, np.asarray(pastiche)) > 12


@pytest.mark.usefixtures("one_thread")
def test_a_timeline_changes_nothing_else(cat: str, waves: str, tmp_path: Path, weights: WeightsFile) -> None:
    """The picture and its losses are the same to the last bit with and without it."""
    options = {"size_px": 64, "steps": 6, "style_layers": ("relu1_1",), "content_layers": ("relu2_1",)}
    (plain,) = records_of([cat], waves, job_of(tmp_path / "plain", weights), **options)
    (filmed,) = records_of([cat], waves, job_of(tmp_path / "filmed", weights, timeline="gif"), **options)

    assert filmed.output_sha256 == plain.output_sha256
    assert (filmed.total_loss, filmed.evaluations) == (plain.total_loss, plain.evaluations)
    assert (plain.timeline, plain.timeline_sha256) == ("", "")
    assert not (tmp_path / "plain" / "out" / "timelines").exists()


def test_a_timeline_that_cannot_be_written_costs_no_pair(cat: str, waves: str, tmp_path: Path) -> None:
    """Where its folder cannot be made, the pair is done, names no timeline, and says why."""
    job = job_of(tmp_path, WEIGHTS, stub=Stub(), timeline="webp")
    Path(job.output).mkdir()
    Path(job.output, "timelines").write_bytes(b"a file in the way")
    (record,) = records_of([cat], waves, job, size_px=48)

    assert record.timeline == ""
    assert any(note.startswith("no timeline: ") and "found a file" in note for note in record.notes)
    assert len(Ledger(job.output).index().done) == 1


def test_the_stub_has_timelines_too_on_s3(s3_bucket: str, photo: Painter, waves: str, tmp_path: Path) -> None:
    """Made-up ones, so that all that is around them can be tried; they go where the run goes."""
    job = Job(f"{s3_bucket}/out", "this run", WEIGHTS, "fp32", stub=Stub(), timeline="gif")
    records = records_of([photo(f"{seed}.png", seed=seed) for seed in range(2)], waves, job, size_px=48)

    names = [record.timeline.removeprefix("timelines/") for record in records]
    assert storage.names(f"{s3_bucket}/out/timelines") == names
    assert Ledger(job.output).files_of_records().timelines == set(names)
    assert Image.open(io.BytesIO(storage.read(f"{s3_bucket}/out/timelines/{names[0]}"))).n_frames == 2

"""flows.worker.timelines and .animation: a short film of how a pastiche developed, as a small file."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
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


def test_large_images_are_reduced_to_a_frame_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """Return the report of an evaluation with a lower loss than all before it."""
    total = 1.0 / evaluation
    return StepReport(pair, level, evaluation, evaluation, LossValues(total, total, 0.0, 0.0), 0.1, look)


def levels_of(frames: tuple[Image.Image, ...]) -> list[int]:
    return [round(float(np.asarray(frame).mean())) for frame in frames]


def settling(evaluation: int) -> float:
    """Return a brightness from 0 to 200 of 255 that changes fast at first and hardly at the end."""
    return (200.0 / 255.0) * (1.0 - 0.97 ** (evaluation - 1))


def filmed(evaluations: int, brightness: Callable[[int], float]) -> Timelines:
    timelines = Timelines(1, SIZE)
    for evaluation in range(1, evaluations + 1):
        timelines(report(evaluation, partial(grey, brightness(evaluation))))
    return timelines


def noting(looked: list[int], evaluation: int) -> Callable[[], Tensor]:
    """Return a callback that records its evaluation when it is called, and returns black and white images in turn."""

    def look() -> Tensor:
        looked.append(evaluation)
        return grey(evaluation % 2)

    return look


# ---------------------------------------------------------------- which frames


def test_consecutive_frames_differ_by_about_the_same() -> None:
    """For a pastiche that settles, most frames are from its first steps, so that consecutive frames differ alike."""
    frames = filmed(300, settling).of(0, Image.new("RGB", SIZE, (200, 200, 200)))
    steps = np.diff(levels_of(frames))

    assert levels_of(frames)[0] == 0
    assert levels_of(frames)[-1] == 200
    assert FRAMES - 3 <= len(frames) <= FRAMES
    assert steps.min() >= 4
    assert steps.max() <= 16


def test_the_last_frame_is_the_finished_image() -> None:
    """Whatever the samples showed, the last frame is the saved image, reduced in size."""
    finished = Image.effect_mandelbrot((640, 480), (-2, -1, 1, 1), 50).convert("RGB")
    timelines = Timelines(1, finished.size)
    timelines(report(1, lambda: grey(0.5, *finished.size)))
    frames = timelines.of(0, finished)

    assert [frame.size for frame in frames] == [(320, 240)] * 2
    assert difference(np.asarray(frames[-1]), np.asarray(finished.resize((320, 240), Image.Resampling.LANCZOS))) < 1


def test_an_unchanging_pastiche_has_two_frames() -> None:
    """A pastiche that does not change has two frames: the first sample and the finished image."""
    assert levels_of(filmed(100, lambda _: 0.5).of(0, Image.new("RGB", SIZE, (128, 128, 128)))) == [128, 128]


def test_few_evaluations_are_sampled() -> None:
    """Of 2000 evaluations, fewer than 75 are sampled, the first ones all; at most `MOST_KEPT` frames are kept."""
    looked: list[int] = []

    timelines = Timelines(1, SIZE)
    for evaluation in range(1, 2001):
        timelines(report(evaluation, noting(looked, evaluation)))

    assert looked[:EVERY_LOOK] == list(range(1, EVERY_LOOK + 1))
    assert len(looked) < 75
    assert len(timelines._films[0].frames) <= MOST_KEPT


def test_an_evaluation_that_is_no_better_is_not_sampled() -> None:
    """The optimiser's image is the best so far, so an evaluation without a lower loss has no new image."""
    timelines, looked = Timelines(1, SIZE), list[int]()
    for evaluation, total in enumerate([3.0, 2.0, 9.0, float("nan"), 1.0], start=1):
        losses = LossValues(total, 0.0, 0.0, 0.0)
        timelines(StepReport(0, 0, evaluation, evaluation, losses, 0.1, noting(looked, evaluation)))

    assert looked == [1, 2, 5]


def test_frames_of_coarser_levels_come_first() -> None:
    """Samples at half the size come first, enlarged; a higher loss at the full size does not exclude its samples."""
    timelines = Timelines(1, SIZE)
    timelines(report(9, lambda: grey(0.1, 16, 12), level=1))
    timelines(report(1, lambda: grey(0.6), level=0))

    assert levels_of(timelines.of(0, Image.new("RGB", SIZE, (255, 255, 255)))) == [26, 153, 255]


def test_each_pair_of_a_chunk_has_its_own_frames() -> None:
    """The reports of two pairs go into two separate timelines."""
    timelines = Timelines(2, SIZE)
    timelines(report(1, lambda: grey(0.2), pair=0))
    timelines(report(1, lambda: grey(0.8), pair=1))
    white = Image.new("RGB", SIZE, "white")

    assert [levels_of(timelines.of(pair, white)) for pair in (0, 1)] == [[51, 255], [204, 255]]


def test_a_failing_sample_ends_only_its_pair_s_timeline() -> None:
    """A sample that raises an error ends the timeline of its pair, which keeps the message; no error is raised."""

    def fails() -> Tensor:
        raise torch.OutOfMemoryError("no room")

    timelines = Timelines(2, SIZE)
    timelines(report(1, fails, pair=0))
    timelines(report(2, lambda: grey(0.5), pair=0))
    timelines(report(1, lambda: grey(0.5), pair=1))
    white = Image.new("RGB", SIZE, "white")

    assert (timelines.of(0, white), timelines.trouble(0)) == ((), "OutOfMemoryError: no room")
    assert (len(timelines.of(1, white)), timelines.trouble(1)) == (2, "")


def test_evenly_spaced_frames_are_chosen_by_their_differences() -> None:
    """Of frames with one large leap, those before and after the leap are chosen, and none twice."""
    frames = [np.full((2, 2, 3), level, np.uint8) for level in (0, 1, 2, 100, 101, 102)]

    assert evenly_spaced(frames, 3) == [0, 2, 5]
    assert evenly_spaced(frames[:1], 3) == [0]


def test_pixels_beyond_the_range_are_clamped() -> None:
    """Pixels of a pastiche may lie outside [0, 1] during the optimisation; they do not wrap around in its frame."""
    assert small_frame(grey(-0.1), SIZE).max() == 0
    assert small_frame(grey(1.1), SIZE).min() == 255


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_an_animation_loops_and_shows_its_last_frame_longer(kind: str) -> None:
    """The file has all frames in order and in one size, and repeats without end; the last frame is shown longer."""
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
def test_an_animation_of_noise_stays_below_the_size_limit(kind: str) -> None:
    """Frames of noise, which compress worst, are reduced until the file has at most `MOST_BYTES`."""
    chance = np.random.default_rng(0)
    frames = [Image.fromarray(chance.integers(0, 256, (320, 320, 3), np.uint8)) for _ in range(FRAMES)]

    assert len(animation(frames, kind)) <= MOST_BYTES


# ---------------------------------------------------------------- in a run


def job_of(folder: Path, weights: WeightsFile, **changes: object) -> Job:
    return Job(str(folder / "out"), "this run", weights, "fp32", **changes)


def records_of(contents: list[str], waves: str, job: Job, **options: object) -> list[PairRecord]:
    pairs = [planned(pair_spec(row, content, waves, options=options)) for row, content in enumerate(contents, start=2)]
    messages: list[Message] = []
    stylize_pairs(messages.append, pairs, job, "cpu")
    records = [one for one in messages if not isinstance(one, NO_OUTCOME)]
    assert all(isinstance(one, PairRecord) for one in records), records
    return sorted(records, key=lambda record: record.pair_id)


@pytest.mark.usefixtures("one_thread")
def test_each_pair_has_a_timeline_from_content_to_pastiche(
    photo: Painter, waves: str, tmp_path: Path, weights: WeightsFile
) -> None:
    """Each timeline goes from the pair's content to its pastiche over two levels; the record names the file by its
    hash.
    """
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


def test_a_timeline_does_not_show_what_is_transparent(waves: str, tmp_path: Path) -> None:
    """With `alpha=keep`, every frame is white where the content is transparent, whatever colours are hidden there."""
    cut_out = np.zeros((48, 64, 4), np.uint8)
    cut_out[:, 32:, 3] = 255
    Image.fromarray(cut_out).save(tmp_path / "cut-out.png")
    job = job_of(tmp_path, WEIGHTS, stub=Stub(), timeline="webp")
    (record,) = records_of([str(tmp_path / "cut-out.png")], waves, job, size_px=64, alpha="keep")

    for frame in ImageSequence.Iterator(Image.open(storage.join(job.output, record.timeline))):
        pixels = np.asarray(frame.convert("RGB"))
        assert pixels[:, :24].min() > 240
        assert pixels[:, 40:].min() < 100


@pytest.mark.usefixtures("one_thread")
def test_a_timeline_does_not_change_the_result(cat: str, waves: str, tmp_path: Path, weights: WeightsFile) -> None:
    """The image and its losses are the same to the last bit with and without a timeline."""
    options = {"size_px": 64, "steps": 6, "style_layers": ("relu1_1",), "content_layers": ("relu2_1",)}
    (plain,) = records_of([cat], waves, job_of(tmp_path / "plain", weights), **options)
    (filmed,) = records_of([cat], waves, job_of(tmp_path / "filmed", weights, timeline="gif"), **options)

    assert filmed.output_sha256 == plain.output_sha256
    assert (filmed.total_loss, filmed.evaluations) == (plain.total_loss, plain.evaluations)
    assert (plain.timeline, plain.timeline_sha256) == ("", "")
    assert not (tmp_path / "plain" / "out" / "timelines").exists()


def test_an_unwritable_timeline_does_not_fail_its_pair(cat: str, waves: str, tmp_path: Path) -> None:
    """If the folder of timelines cannot be created, the pair is done; its record names no timeline and notes the
    reason.
    """
    job = job_of(tmp_path, WEIGHTS, stub=Stub(), timeline="webp")
    Path(job.output).mkdir()
    Path(job.output, "timelines").write_bytes(b"a file in the way")
    (record,) = records_of([cat], waves, job, size_px=48)

    assert record.timeline == ""
    assert any(note.startswith("no timeline: ") and "found a file" in note for note in record.notes)
    assert len(Ledger(job.output).index().done) == 1


def test_the_stub_writes_timelines_to_s3(s3_bucket: str, photo: Painter, waves: str, tmp_path: Path) -> None:
    """The stub writes made-up timelines beside the output on S3, so that everything around them can be tried."""
    job = Job(f"{s3_bucket}/out", "this run", WEIGHTS, "fp32", stub=Stub(), timeline="gif")
    records = records_of([photo(f"{seed}.png", seed=seed) for seed in range(2)], waves, job, size_px=48)

    names = [record.timeline.removeprefix("timelines/") for record in records]
    assert storage.names(f"{s3_bucket}/out/timelines") == names
    assert Ledger(job.output).files_of_records().timelines == set(names)
    assert Image.open(io.BytesIO(storage.read(f"{s3_bucket}/out/timelines/{names[0]}"))).n_frames == 2

"""flows.worker: one real pair in a batch of its own, with the real VGG-19, small and on the CPU."""

import json
import os
import re
from pathlib import Path

import boto3
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from flows import storage
from flows.output.ledger import Ledger
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.plans import PlannedPair
from flows.worker import engine, inputs
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, Message, StepTaken
from nst_core import __version__
from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile
from nst_core.errors import WeightsError
from nst_core.images import read_metadata
from nst_core.images.colour.rgb_space import srgb_profile
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import to_tensor
from tests.flows.builders import FINGERPRINT, Painter, pair_spec, planned, sha256_of
from tests.icc import ADOBE_TO_XYZ, rgb_profile

NO_OUTCOME = ChunkStarted | StepTaken | DeviceWaits | DeviceGoesOn

SMALL = {"size_px": 64, "steps": 3}
SHALLOW = {"style_layers": ("relu1_1", "relu2_1"), "content_layers": ("relu2_1",)}
"""Layers that small pictures still have, and that are fast."""
BRIEF = SHALLOW | {"size_px": 64, "steps": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(weights: WeightsFile) -> Backbone:
    return load_backbone(weights)


def stylize_pair(pair: PlannedPair, job: Job) -> Message:
    """The outcome of a batch of one pair."""
    said: list[Message] = []
    stylize_pairs(said.append, [pair], job, "cpu")
    (outcome,) = [message for message in said if not isinstance(message, NO_OUTCOME)]
    return outcome


def done(spec_or_pair: object, job: Job) -> PairRecord:
    """The record of a pair that must succeed."""
    pair = spec_or_pair if hasattr(spec_or_pair, "fingerprint") else planned(spec_or_pair)
    result = stylize_pair(pair, job)
    assert isinstance(result, PairRecord), result
    return result


def failed(spec_or_pair: object, job: Job) -> AttemptRecord:
    """The record of an attempt that must fail; it is kept, and no image and no record of the pair are."""
    pair = spec_or_pair if hasattr(spec_or_pair, "fingerprint") else planned(spec_or_pair)
    result = stylize_pair(pair, job)
    assert isinstance(result, AttemptRecord), result
    assert Ledger(job.output).read_attempt((pair.spec.pair_id, pair.fingerprint), pair.attempt) == result
    assert Ledger(job.output).index().done == frozenset()
    assert storage.names(storage.join(job.output, "images")) == []
    return result


def image_of(record: PairRecord, job: Job) -> Image.Image:
    return Image.open(storage.join(job.output, record.output)).convert("RGB")


def recomputed(
    record: PairRecord, job: Job, backbone: Backbone, style_size: tuple[int, int], pastiche: Image.Image | None = None
) -> dict[str, float]:
    """The losses of a picture (by default the file on disk) from the formulas of the recipes, in float64."""
    options = record.options
    pastiche = pastiche or image_of(record, job)
    content = Image.open(record.content).convert("RGB").resize(pastiche.size, Image.Resampling.LANCZOS)
    style = Image.open(record.style).convert("RGB").resize(style_size, Image.Resampling.LANCZOS)
    layers = tuple({*options.content_layers, *options.style_layers})
    with torch.no_grad():
        of_pastiche, of_content, of_style = (
            {name: maps[0].double().flatten(1) for name, maps in backbone.exact(to_tensor(image), layers).items()}
            for image in (pastiche, content, style)
        )
    content_loss = style_loss = 0.0
    for layer in options.content_layers:
        wanted = of_content[layer]
        scale = 1 / wanted.square().mean() if options.recipe == "relative" else 1.0
        content_loss += float(scale * (of_pastiche[layer] - wanted).square().mean())
    for layer, weight in zip(options.style_layers, options.style_layer_weights or (), strict=True):
        channels, positions = of_pastiche[layer].shape
        gram = of_pastiche[layer] @ of_pastiche[layer].T
        wanted = of_style[layer] @ of_style[layer].T
        if options.recipe == "relative":
            gram, wanted = gram / positions, wanted / of_style[layer].shape[1]
            style_loss += weight * float((gram - wanted).square().mean() / wanted.square().mean())
        else:  # notebook
            style_loss += weight * float((gram - wanted).square().mean() / (channels * positions))
    pixels = to_tensor(pastiche)[0].double()
    tv = float(pixels.diff(dim=2).abs().mean() + pixels.diff(dim=1).abs().mean())
    total = (options.content_weight or 0) * content_loss + (options.style_weight or 0) * style_loss
    return {"total": total + options.tv_weight * tv, "content": content_loss, "style": style_loss, "tv": tv}


def losses_of(record: PairRecord) -> dict[str, float]:
    return {
        "total": record.total_loss,
        "content": record.content_loss,
        "style": record.style_loss,
        "tv": record.tv_loss,
    }


# ---------------------------------------------------------------- a pair that succeeds


def test_a_pair_ends_in_an_image_and_a_record(cat: str, waves: str, job: Job) -> None:
    """The record says what was made of what: sizes, hashes, steps, options and who made it."""
    spec = pair_spec(content=cat, style=waves, pair_id="cat-1.a", options=SMALL | {"seed": 5})
    record = done(planned(spec, attempt=3), job)
    path = Path(job.output, record.output)

    assert Ledger(job.output).read_record(("cat-1.a", FINGERPRINT)) == record
    assert (record.width, record.height) == Image.open(path).size == (64, 48)
    assert record.content_sha256 == sha256_of(cat)
    assert record.style_sha256 == sha256_of(waves)
    assert record.output_sha256 == sha256_of(path)
    assert record.output == f"images/cat-1.a-{sha256_of(path)[:8]}.png"
    assert (record.content, record.style) == (cat, waves)
    assert (record.pair_id, record.fingerprint, record.run_id) == ("cat-1.a", FINGERPRINT, "this run")
    assert record.attempts == 3
    assert record.steps == 3
    assert record.evaluations >= 3
    assert record.stop_reason == "steps"
    assert (record.device, record.precision, record.backbone) == ("cpu", "fp32", "vgg19")
    assert record.weights_sha256 == job.weights.sha256
    assert record.options == spec.options
    assert (record.recipe, record.options_digest, record.seed) == ("relative", spec.options.digest(), 5)
    assert record.engine_version == __version__
    assert record.started_at <= record.finished_at
    assert 0 < record.seconds < 60
    assert record.notes == ()


def test_stylizing_lowers_the_loss(cat: str, waves: str, job: Job) -> None:
    """Three steps from the content image already bring the total loss of the saved file well below the first."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL), job)

    assert record.total_loss < 0.8 * record.initial_total_loss


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_format": "jpeg", "jpeg_quality": 40},
        {"style_scale": 0.5, "tv_weight": 10.0, "content_weight": 2.0},
        {"style_layers": ("relu1_1", "conv3_1"), "style_layer_weights": (0.5, 3.0), "content_layers": ("relu2_2",)},
    ],
    ids=["png", "jpeg", "weights", "layers"],
)
def test_the_losses_are_those_of_the_file_on_disk(
    cat: str, waves: str, job: Job, backbone: Backbone, options: dict[str, object]
) -> None:
    """Whoever decodes the saved file and applies the formulas finds the losses of the record, PNG and JPEG alike."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL | options), job)
    style_size = (32, 24) if record.options.style_scale == 0.5 else (64, 48)

    assert losses_of(record) == pytest.approx(recomputed(record, job, backbone, style_size), rel=1e-4)


def test_the_first_loss_is_that_of_the_content_image(cat: str, waves: str, job: Job, backbone: Backbone) -> None:
    """initial_total_loss is that of what the optimisation started from: here the content image at its new size."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL), job)
    start = Image.open(cat).convert("RGB").resize((64, 48), Image.Resampling.LANCZOS)
    losses = recomputed(record, job, backbone, (64, 48), pastiche=start)

    assert losses["content"] == 0
    assert record.initial_total_loss == pytest.approx(losses["total"], rel=1e-4)


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
def test_the_image_says_how_it_was_made(cat: str, waves: str, job: Job, file_format: str) -> None:
    """The file itself holds its pair, options and losses, the losses to the last digit."""
    spec = pair_spec(content=cat, style=waves, options=SMALL | SHALLOW | {"output_format": file_format})
    record = done(spec, job)
    path = Path(job.output, record.output)

    assert path.suffix == {"png": ".png", "jpeg": ".jpg"}[file_format]
    assert Image.open(path).format == file_format.upper()
    assert read_metadata(path.read_bytes()) == {
        "pair_id": "pair-2",
        "options_digest": spec.options.digest(),
        "recipe": "relative",
        "total_loss": repr(record.total_loss),
        "content_loss": repr(record.content_loss),
        "style_loss": repr(record.style_loss),
        "tv_loss": repr(record.tv_loss),
        "engine_version": __version__,
    }


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ({"output_format": "tiff", "bit_depth": 16, "dpi": 300}, ".tif"),
        ({"output_format": "webp"}, ".webp"),
        ({"bit_depth": 16, "dpi": 72}, ".png"),
    ],
    ids=["tiff", "webp", "png"],
)
def test_the_file_is_as_its_options_say(
    cat: str, waves: str, job: Job, options: dict[str, object], ending: str
) -> None:
    """Its name ends as its format does; a viewer finds the bits and the size on paper that were asked for."""
    path = Path(job.output, done(pair_spec(content=cat, style=waves, options=BRIEF | options), job).output)
    picture = Image.open(path)

    assert (path.suffix, picture.format) == (ending, str(options.get("output_format", "png")).upper())
    assert (picture.size, bits_of(path)) == ((64, 48), options.get("bit_depth", 8))
    assert picture.info.get("dpi", (0, 0)) == pytest.approx((options.get("dpi", 0),) * 2, abs=0.1)


def bits_of(path: Path) -> int:
    """Of each value of a file; Pillow gives 8 of whatever there are."""
    if path.suffix == ".tif":
        return 8 * int(tifffile.imread(path).itemsize)
    return path.read_bytes()[24] if path.suffix == ".png" else 8


def test_a_content_keeps_its_transparency(tmp_path: Path, waves: str, job: Job) -> None:
    """Where that is asked for, the file has the alpha of the content, level by level."""
    alpha = np.add.outer(np.arange(48), 3 * np.arange(64)).astype(np.uint8)
    Image.fromarray(np.dstack([np.full((48, 64, 3), 90, np.uint8), alpha])).save(tmp_path / "glass.png")
    spec = pair_spec(content=str(tmp_path / "glass.png"), style=waves, options=BRIEF | {"alpha": "keep"})
    picture = Image.open(storage.join(job.output, done(spec, job).output))

    assert picture.mode == "RGBA"
    assert (np.asarray(picture.getchannel("A")) == alpha).all()


def test_a_content_keeps_its_colour_profile(tmp_path: Path, waves: str, job: Job) -> None:
    """Where that is asked for, the file has the very profile of the content; otherwise it has that of sRGB."""
    profile, path = rgb_profile(ADOBE_TO_XYZ, 563 / 256), tmp_path / "adobe.png"
    Image.new("RGB", (64, 48), (90, 120, 60)).save(path, icc_profile=profile)
    found = {}
    for row, choice in enumerate(("content", "srgb")):
        options = BRIEF | {"output_profile": choice}
        record = done(pair_spec(row, str(path), waves, options=options), job)
        found[choice] = Image.open(storage.join(job.output, record.output)).info["icc_profile"]

    assert found == {"content": profile, "srgb": srgb_profile()}


def test_the_notebook_recipe_squeezes_the_style(cat: str, style: Painter, job: Job, backbone: Backbone) -> None:
    """Its style target is that of the style image at the content's shape, whatever the style's own."""
    tall = style("tall.png", 60, 120)
    record = done(pair_spec(content=cat, style=tall, options=SMALL | {"recipe": "notebook"}), job)
    squeezed, kept = (recomputed(record, job, backbone, size) for size in ((64, 48), (32, 64)))

    assert losses_of(record) == pytest.approx(squeezed, rel=1e-4)
    assert kept["style"] != pytest.approx(record.style_loss, rel=1e-2)


def test_other_recipes_keep_the_style_s_shape(cat: str, style: Painter, job: Job, backbone: Backbone) -> None:
    """The style image is used at the pastiche's long edge, neither squeezed nor cropped."""
    tall = style("tall.png", 60, 120)
    record = done(pair_spec(content=cat, style=tall, options=SMALL | SHALLOW), job)

    assert losses_of(record) == pytest.approx(recomputed(record, job, backbone, (32, 64)), rel=1e-4)


def test_noise_is_told_by_its_seed(cat: str, waves: str, job: Job) -> None:
    """From noise, one seed gives one picture and another seed another."""
    hashes = []
    for number, seed in enumerate((1, 2, 1)):
        spec = pair_spec(number, cat, waves, options=SMALL | SHALLOW | {"init": "noise", "seed": seed})
        hashes.append(image_of(done(spec, job), job).tobytes())

    assert hashes[0] != hashes[1]
    assert hashes[0] == hashes[2]


def test_a_seed_without_noise_changes_no_pixel(cat: str, waves: str, job: Job) -> None:
    """From the content image the seed plays no part."""
    pictures = {
        image_of(done(pair_spec(seed, cat, waves, options=SMALL | SHALLOW | {"seed": seed}), job), job).tobytes()
        for seed in (1, 2)
    }

    assert len(pictures) == 1


def test_a_small_content_image_is_noted(photo: Painter, waves: str, job: Job) -> None:
    """A content image smaller than size_px is stylized at its own size, and the record says so."""
    record = done(pair_spec(content=photo("small.png", 40, 32), style=waves, options=SMALL | SHALLOW), job)

    assert (record.width, record.height) == (40, 32)
    assert record.notes == ("content is smaller than size_px: 40 x 32 instead of 64; --enlarge enlarges it",)


def test_a_small_content_image_is_enlarged_on_wish(photo: Painter, waves: str, job: Job) -> None:
    """With enlarge, the pastiche has size_px whatever the content image has, and there is nothing to note."""
    spec = pair_spec(content=photo("small.png", 40, 32), style=waves, options=SMALL | SHALLOW | {"enlarge": True})
    record = done(spec, job)

    assert (record.width, record.height, record.notes) == (64, 51, ())


def test_what_was_changed_in_an_image_is_noted(tmp_path: Path, waves: str, job: Job) -> None:
    """Notes of the decoder go into the record, with which of the two images they are about."""
    path = str(tmp_path / "glass.png")
    Image.new("RGBA", (64, 48), (200, 30, 30, 128)).save(path)
    record = done(pair_spec(content=path, style=waves, options=SMALL | SHALLOW), job)
    other = done(pair_spec(3, content=waves, style=path, options=SMALL | SHALLOW), job)

    assert record.notes == ("content: transparency laid over white",)
    assert other.notes == ("style: transparency laid over white",)


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("content_size", "size_px"), [((400, 40), 100), ((1000, 50), 329)], ids=["thin", "long after rounding"]
)
def test_a_pastiche_may_be_thinner_than_an_input(
    photo: Painter, waves: str, job: Job, file_format: str, content_size: tuple[int, int], size_px: int
) -> None:
    """The limits of input images are not those of results: 100 x 10 px is small, but it is what was asked for."""
    options = SHALLOW | {"size_px": size_px, "steps": 1, "output_format": file_format}
    record = done(pair_spec(content=photo("thin.png", *content_size), style=waves, options=options), job)

    assert image_of(record, job).size == (record.width, record.height)
    assert record.width == size_px


def test_pairs_on_s3_are_stylized_there(s3_bucket: str, cat: str, waves: str, weights: WeightsFile) -> None:
    """Inputs and output on S3 end in the same record, with the true hashes of the objects."""
    storage.create(f"{s3_bucket}/in/cat.png", Path(cat).read_bytes())
    storage.create(f"{s3_bucket}/in/waves.png", Path(waves).read_bytes())
    job = Job(f"{s3_bucket}/out", "this run", weights, "fp32")
    spec = pair_spec(content=f"{s3_bucket}/in/cat.png", style=f"{s3_bucket}/in/waves.png", options=SMALL | SHALLOW)
    record = done(spec, job)
    data = storage.read(f"{s3_bucket}/out/{record.output}")

    assert (record.content_sha256, record.style_sha256) == (sha256_of(cat), sha256_of(waves))
    assert read_metadata(data)["total_loss"] == repr(record.total_loss)
    assert Ledger(job.output).read_record(("pair-2", FINGERPRINT)) == record


# ---------------------------------------------------------------- the commit


def test_the_image_is_written_before_the_record(cat: str, waves: str, job: Job) -> None:
    """Where the record cannot be written, the image is there; where the image cannot, there is no record."""
    records, images = Path(job.output, "_nst", "records"), Path(job.output, "images")
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW))
    records.parent.mkdir(parents=True)
    records.write_text("in the way")
    without_record = stylize_pair(pair, job)
    written = os.listdir(images)
    records.unlink()
    for name in written:
        (images / name).unlink()
    images.rmdir()
    images.write_text("in the way")
    without_image = stylize_pair(pair, job)

    assert isinstance(without_record, AttemptRecord) and "records" in without_record.error
    assert len(written) == 1 and written[0].startswith("pair-2-")
    assert isinstance(without_image, AttemptRecord) and "images" in without_image.error
    assert not records.exists()


def test_the_first_record_stands(cat: str, waves: str, job: Job, weights: WeightsFile) -> None:
    """A second run that does the same pair gives back the first one's record, and no second image is left."""
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW))
    first = done(pair, job)
    second = done(pair, Job(job.output, "another run", weights, "fp32"))

    assert second == first
    assert second.run_id == "this run"
    assert storage.names(storage.join(job.output, "images")) == [storage.name_of(first.output)]
    assert storage.names(storage.join(job.output, "_nst", "records")) == [f"pair-2-{FINGERPRINT}.json"]


def test_the_style_target_is_kept_from_pair_to_pair(photo: Painter, waves: str, job: Job) -> None:
    """Pairs of one style and size share its target, though weights, steps and seed differ; another size does not."""
    cats = [photo(f"cat{number}.png", 96, 72, seed=number) for number in range(3)]
    engine._encoded_style.cache_clear()
    inputs.read_style.cache_clear()
    misses = []
    for number, options in enumerate(
        ({}, {"style_weight": 5.0, "steps": 2, "seed": 3}, {"recipe": "gatys"}, {"size_px": 48}, {"pooling": "average"})
    ):
        done(pair_spec(number, cats[number % 3], waves, options=SMALL | SHALLOW | options), job)
        misses.append((engine._encoded_style.cache_info().misses, inputs.read_style.cache_info().misses))

    assert misses == [(1, 1), (1, 1), (1, 1), (2, 1), (3, 1)]


def test_a_style_that_is_kept_gives_the_same_picture(photo: Painter, waves: str, job: Job) -> None:
    """A pair's result does not depend on what the process did before it."""
    specs = [pair_spec(number, photo(f"{number}.png", seed=number), waves, options=SMALL) for number in range(2)]
    engine._encoded_style.cache_clear()
    first = [image_of(done(spec, job), job).tobytes() for spec in specs]
    engine._encoded_style.cache_clear()
    other_job = Job(job.output + "-2", "this run", job.weights, "fp32")
    second = [image_of(done(spec, other_job), other_job).tobytes() for spec in reversed(specs)]

    assert first == second[::-1]


# ---------------------------------------------------------------- a pair that fails


@pytest.mark.parametrize("which", ["content", "style"])
def test_a_missing_file_is_recorded(cat: str, waves: str, job: Job, tmp_path: Path, which: str) -> None:
    """A picture that is not there is that pair's failure, with the file's name; another attempt alone is no help."""
    gone = str(tmp_path / "gone.png")
    files = {"content": cat, "style": waves, which: gone}
    attempt = failed(planned(pair_spec(**files, options=SMALL), attempt=2), job)

    assert (attempt.error_kind, attempt.retryable) == ("not_found", True)
    assert gone in attempt.error
    assert (attempt.pair_id, attempt.fingerprint, attempt.attempt) == ("pair-2", FINGERPRINT, 2)
    assert (attempt.run_id, attempt.device) == ("this run", "cpu")
    assert attempt.started_at <= attempt.finished_at


@pytest.mark.parametrize("which", ["content", "style"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<!doctype html><html>404</html>", "web page"),
        (b"half", "cut short or damaged"),
    ],
    ids=["empty", "web page", "half"],
)
def test_a_bad_image_is_recorded(
    cat: str, waves: str, job: Job, tmp_path: Path, which: str, data: bytes, reason: str
) -> None:
    """What is no whole picture is that pair's failure; the message names the file and what it is instead."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(cat).read_bytes()[:500] if data == b"half" else data)
    attempt = failed(pair_spec(**{"content": cat, "style": waves, which: str(bad)}, options=SMALL), job)

    assert (attempt.error_kind, attempt.retryable) == ("bad_image", False)
    assert attempt.error.startswith(f"{bad}: ")
    assert reason in attempt.error


@pytest.mark.parametrize("which", ["content", "style"])
def test_an_input_that_changes_after_planning_is_recorded(
    cat: str, waves: str, job: Job, photo: Painter, which: str
) -> None:
    """A picture replaced between planning and reading makes no record under the old fingerprint: run again."""
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))
    changed = {"content": cat, "style": waves}[which]
    photo(Path(changed).name, 70, 70, seed=99)
    attempt = failed(pair, job)

    assert (attempt.error_kind, attempt.retryable) == ("input_changed", True)
    assert changed in attempt.error


def test_an_input_that_appears_after_planning_is_recorded(cat: str, waves: str, job: Job, photo: Painter) -> None:
    """A picture that was missing when the run was planned is used by the next run, under its own fingerprint."""
    os.rename(cat, f"{cat}.away")
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))
    os.rename(f"{cat}.away", cat)
    attempt = failed(pair, job)

    assert (pair.content_identity, attempt.error_kind) == ("missing", "input_changed")


@pytest.mark.parametrize("which", ["content", "style"])
def test_a_picture_too_small_for_a_layer_is_recorded(
    cat: str, waves: str, job: Job, photo: Painter, which: str
) -> None:
    """A side too short for the deepest layer is that pair's failure; the message says of which file, and what to do."""
    thin = photo("thin.png", 320, 32)
    attempt = failed(pair_spec(**{"content": cat, "style": waves, which: thin}, options=SMALL), job)

    assert (attempt.error_kind, attempt.retryable) == ("options", False)
    assert re.search(r"layer relu\d_\d needs at least \d+ px", attempt.error)
    assert "size_px" in attempt.error
    assert thin in attempt.error


def test_a_failed_pair_does_not_spoil_the_next(cat: str, waves: str, job: Job, tmp_path: Path) -> None:
    """After a failure the same process goes on, and a file that was repaired is read anew."""
    bad = tmp_path / "repaired.png"
    bad.write_bytes(b"not yet")
    failed(pair_spec(content=cat, style=str(bad), options=SMALL | SHALLOW), job)
    bad.write_bytes(Path(waves).read_bytes())
    record = done(pair_spec(content=cat, style=str(bad), options=SMALL | SHALLOW), job)

    assert record.style_sha256 == sha256_of(waves)


def test_weights_that_were_replaced_end_the_run(
    cat: str, waves: str, job: Job, weights: WeightsFile, tmp_path: Path
) -> None:
    """A weights file that is no longer the run's is no pair's fault: it is raised, and no failure is recorded."""
    path = tmp_path / "weights.bin"
    path.write_bytes(Path(weights.path).read_bytes()[:-1] + b"x")
    replaced = Job(job.output, "this run", WeightsFile("vgg19", str(path), weights.sha256), "fp32")
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))

    with pytest.raises(WeightsError, match=f"{path}: expected sha256 {weights.sha256}"):
        stylize_pair(pair, replaced)
    assert not os.path.exists(job.output)


def test_a_record_is_plain_json(cat: str, waves: str, job: Job) -> None:
    """Other tools read a record without this project: JSON with the options by name."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW), job)
    values = json.loads(Path(job.output, "_nst", "records", f"pair-2-{FINGERPRINT}.json").read_text())

    assert values["total_loss"] == record.total_loss
    assert StylizeOptions.model_validate(values["options"]) == record.options


def test_further_pictures_are_in_the_record(photo: Painter, style: Painter, waves: str, job: Job) -> None:
    """Addresses and hashes of all; a blend of one style twice has the losses of that style."""
    cat, other = photo("cat.png"), photo("other.png", seed=9)
    plain = done(pair_spec(2, cat, waves, options=SMALL | SHALLOW), job)
    twice = done(pair_spec(3, cat, waves, options=SMALL | SHALLOW, others={"style_2": waves}), job)
    blend = done(pair_spec(4, cat, waves, options=SMALL | SHALLOW, others={"style_2": other}), job)

    assert twice.total_loss == pytest.approx(plain.total_loss, rel=1e-3)
    assert blend.total_loss != pytest.approx(plain.total_loss, rel=1e-2)
    assert (blend.others, blend.others_sha256) == ({"style_2": other}, {"style_2": sha256_of(other)})


def test_versions_that_were_read_are_in_the_record(
    photo: Painter, style: Painter, job: Job, s3_bucket: str, s3_server: str
) -> None:
    """Those of S3, by column; what was replaced after the plan is used as it was, and its neighbour is told too."""
    client, bucket = boto3.client("s3", endpoint_url=s3_server), s3_bucket.removeprefix("s3://")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    files = {"cat #1.png": photo("cat.png"), "waves?.png": style("waves.png"), "newer": photo("newer.png", seed=5)}
    bodies = {name: Path(path).read_bytes() for name, path in files.items()}
    written = {
        name: client.put_object(Bucket=bucket, Key=name, Body=body)["VersionId"] for name, body in bodies.items()
    }
    spec = pair_spec(
        content=f"{s3_bucket}/cat #1.png",
        style=f"{s3_bucket}/waves?.png",
        options=SMALL | SHALLOW,
        others={"style_2": files["waves?.png"], "init_image": f"{s3_bucket}/newer"},
    )
    pair = planned(spec)
    client.put_object(Bucket=bucket, Key="cat #1.png", Body=bodies["newer"])
    record = done(pair, job)

    assert record.versions == {
        "content": written["cat #1.png"],
        "style": written["waves?.png"],
        "init_image": written["newer"],
    }
    assert record.content_sha256 == sha256_of(files["cat #1.png"])
    assert storage.identity(spec.content) != pair.content_identity


def test_what_a_mask_protects_is_the_content(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """In the file, to the last bit; a pair from the same batch without a mask is painted there."""
    cat = photo("cat.png", 64, 48)
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (0, 0, 32, 48))
    mask.save(tmp_path / "mask.png")

    held = done(pair_spec(2, cat, waves, options=SMALL | SHALLOW, others={"protect": str(tmp_path / "mask.png")}), job)

    box = (0, 0, 28, 48)
    original = Image.open(cat).convert("RGB")
    assert image_of(held, job).crop(box).tobytes() == original.crop(box).tobytes()
    assert image_of(held, job).tobytes() != original.tobytes()


def test_colours_are_not_taken_from_what_is_protected(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """Whatever is kept on the left, the right is painted in the same colours."""
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (0, 0, 32, 48))
    mask.save(tmp_path / "mask.png")
    plain = Image.open(photo("cat.png", 64, 48)).convert("RGB")
    painted = []
    for row, kept in enumerate(("white", "black")):
        plain.paste(kept, (0, 0, 32, 48))
        plain.save(tmp_path / f"{kept}.png")
        spec = pair_spec(
            row,
            str(tmp_path / f"{kept}.png"),
            waves,
            options=SMALL | SHALLOW | {"colors": "match", "content_weight": 0.0, "steps": 10},
            others={"protect": str(tmp_path / "mask.png")},
        )
        painted.append(np.asarray(image_of(done(spec, job), job).crop((44, 0, 64, 48))).astype(float).mean(axis=(0, 1)))

    assert painted[0] == pytest.approx(painted[1], abs=25.0)  # as far as the seam lets it: 19; it was 100 apart


def test_what_is_no_region_of_a_mask_is_noted(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A filled area that is too small to be a region is named in the record, for the column `picture_warnings`."""
    mask = Image.new("RGB", (512, 384), "white")
    mask.paste("black", (0, 0, 256, 384))
    mask.save(tmp_path / "style_mask.png")
    mask.paste("red", (300, 100, 312, 112))
    mask.save(tmp_path / "content_mask.png")
    masks = {column: str(tmp_path / f"{column}.png") for column in ("content_mask", "style_mask")}

    record = done(pair_spec(2, photo("cat.png"), waves, options=SMALL | SHALLOW, others=masks), job)

    assert any(re.match(r"content_mask: red \(#ff0000\) covers .* is not a region", note) for note in record.notes)


def test_a_mask_protects_nothing_where_it_is_transparent(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A white product on a transparent ground, as programs export it, is the mask of the product."""
    cat, mask = photo("cat.png", 64, 48), Image.new("RGBA", (64, 48), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 32, 48))
    mask.save(tmp_path / "mask.png")
    mask.getchannel("A").save(tmp_path / "grey.png")
    others = [{"protect": str(tmp_path / name)} for name in ("mask.png", "grey.png")]

    cut, grey = (
        done(pair_spec(row, cat, waves, options=SMALL | SHALLOW, others=one), job) for row, one in enumerate(others)
    )

    assert cut.output != grey.output
    assert image_of(cut, job).tobytes() == image_of(grey, job).tobytes()


def test_what_is_of_another_shape_is_told(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A mask that is brought to the content's shape is squeezed; a mere other size is no matter."""
    cat = photo("cat.png", 64, 48)
    for name, size in (("large.png", (640, 481)), ("square.png", (48, 48))):
        Image.new("L", size, 0).save(tmp_path / name)
    notes = [
        done(pair_spec(row, cat, waves, options=SMALL | SHALLOW, others={"protect": str(tmp_path / name)}), job).notes
        for row, name in enumerate(("large.png", "square.png"))
    ]

    assert notes == [(), ("protect: of another shape than the content, squeezed from 48 x 48 to 64 x 48",)]


def test_a_style_of_few_pixels_is_told(photo: Painter, job: Job) -> None:
    """By the picture of a blend, with how many times it is enlarged; up to half as large again is no matter."""
    cat, small, enough = (
        photo("cat.png", 64, 48),
        photo("small.png", 24, 20, seed=1),
        photo("enough.png", 44, 40, seed=2),
    )
    spec = pair_spec(1, cat, enough, options=SMALL | SHALLOW, others={"style_2": small})

    (note,) = done(spec, job).notes

    assert note.startswith(
        "style_2: has 24 x 20 px and is enlarged 2.7 times, with strokes as blurred as that; take a "
    )


def test_a_style_that_takes_the_content_s_shape_is_judged_by_that_size(photo: Painter, job: Job) -> None:
    """With the recipe `notebook` a style is squeezed to the content's shape, whatever its long edge."""
    cat, notes = photo("cat.png", 64, 32), []
    for row, (width, height) in enumerate(((64, 40), (16, 64))):
        style = photo(f"style{row}.png", width, height, seed=row)
        options = SMALL | SHALLOW | {"recipe": "notebook"}
        notes.append(done(pair_spec(row, cat, style, options=options), job).notes)

    assert notes == [
        (),
        ("style: has 16 x 64 px and is enlarged 4.0 times, with strokes as blurred as that; take a larger image",),
    ]


def test_a_mask_of_another_shape_than_its_style_is_noted(photo: Painter, job: Job, tmp_path: Path) -> None:
    """Such as one that was painted on a photograph before it was turned; a mask of the style's shape is not noted."""
    cat, notes = photo("cat.png", 64, 48), []
    style = photo("style.png", 48, 64)
    half = Image.new("RGB", (64, 48), "black")
    half.paste("white", (0, 0, 32, 48))
    half.save(tmp_path / "half.png")
    half.resize((96, 128)).save(tmp_path / "upright.png")
    for row, name in enumerate(("half.png", "upright.png")):
        others = {"content_mask": str(tmp_path / "half.png"), "style_mask": str(tmp_path / name)}
        notes.append(done(pair_spec(row, cat, style, options=SMALL | SHALLOW, others=others), job).notes)

    assert notes == [("style_mask: of another shape than the style, squeezed from 64 x 48 to 48 x 64",), ()]


def test_losses_of_grey_images_are_noted(photo: Painter, waves: str, job: Job) -> None:
    """With `colors=luminance` losses are those of grey images, so the row says that others do not compare with it."""
    cat = photo("cat.png", 64, 48)

    notes = [
        done(pair_spec(row, cat, waves, options=SMALL | SHALLOW | {"colors": colors}), job).notes
        for row, colors in enumerate(("luminance", "match"))
    ]

    assert notes == [
        ("colors luminance: losses and distances are those of grey images; compare them with such rows alone",),
        (),
    ]


def test_halves_take_the_style_of_their_colour(photo: Painter, job: Job, tmp_path: Path) -> None:
    """Masks of both pictures are taken for what they are, each of its own, and are in the record."""
    style, half = Image.new("RGB", (64, 48), (30, 40, 200)), Image.new("RGB", (64, 48), "black")
    style.paste((200, 40, 30), (0, 0, 32, 48))
    half.paste("white", (0, 0, 32, 48))
    files = {"style": style, "half": half, "turned": half.transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    for name, picture in files.items():
        picture.save(tmp_path / f"{name}.png")
    options = SMALL | SHALLOW | {"steps": 12, "content_weight": 0.0}
    others = {"content_mask": str(tmp_path / "turned.png"), "style_mask": str(tmp_path / "half.png")}

    record = done(
        pair_spec(content=photo("cat.png", 64, 48), style=str(tmp_path / "style.png"), options=options, others=others),
        job,
    )

    assert record.others_sha256 == {column: sha256_of(address) for column, address in others.items()}
    pixels = np.asarray(image_of(record, job)).astype(float)
    red = pixels[..., 0] - pixels[..., 2]
    assert red[:, :24].mean() < -25 < 25 < red[:, 40:].mean()


def test_a_pair_goes_on_from_a_finished_pastiche(cat: str, waves: str, job: Job) -> None:
    """`init_image` is where it starts: the first losses are lower than those of the content, and it ends lower."""
    plain = done(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW), job)
    start = storage.join(job.output, plain.output)

    record = done(pair_spec(3, cat, waves, options=SMALL | SHALLOW, others={"init_image": start}), job)

    assert record.others_sha256 == {"init_image": plain.output_sha256}
    assert record.initial_total_loss == pytest.approx(plain.total_loss, rel=1e-4)
    assert record.total_loss < plain.total_loss < plain.initial_total_loss


def test_a_mask_without_its_partner_s_colours_fails(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """For good, with the colours named."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / name)
    others = {"content_mask": str(tmp_path / "a.png"), "style_mask": str(tmp_path / "b.png")}

    attempt = failed(pair_spec(2, photo("cat.png"), waves, options=SMALL | SHALLOW, others=others), job)

    assert (attempt.error_kind, attempt.retryable) == ("options", False)
    assert "a.png: content_mask has the region red (#ff0000), style_mask has not" in attempt.error


def test_a_further_picture_that_is_not_there_fails_its_pair(photo: Painter, waves: str, job: Job) -> None:
    """By its own name."""
    attempt = failed(pair_spec(2, photo("cat.png"), waves, options=SMALL, others={"protect": "/in/gone.png"}), job)

    assert "/in/gone.png" in attempt.error


def test_distances_are_one_measure_for_all_recipes(photo: Painter, waves: str, job: Job) -> None:
    """Of a pair in the default recipe they are its losses; another recipe's losses are of another size."""
    cat = photo("cat.png")
    relative = done(pair_spec(2, cat, waves, options=SMALL), job)
    gatys = done(pair_spec(3, cat, waves, options=SMALL | {"recipe": "gatys"}), job)

    assert (relative.content_distance, relative.style_distance) == (relative.content_loss, relative.style_loss)
    assert gatys.content_loss > 100.0
    assert gatys.content_distance is not None
    assert 0.0 < gatys.content_distance < 3.0

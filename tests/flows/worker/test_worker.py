"""flows.worker: one pair at a time, stylized for real with VGG-19, at small sizes and on the CPU."""

import json
import os
import re
from pathlib import Path

import boto3
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

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
"""Layers that exist in small images too, and that are fast to compute."""
BRIEF = SHALLOW | {"size_px": 64, "steps": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone(weights: WeightsFile) -> Backbone:
    return load_backbone(weights)


def stylize_pair(pair: PlannedPair, job: Job) -> Message:
    """Return the outcome of a batch of one pair."""
    said: list[Message] = []
    stylize_pairs(said.append, [pair], job, "cpu")
    (outcome,) = [message for message in said if not isinstance(message, NO_OUTCOME)]
    return outcome


def done(spec_or_pair: object, job: Job) -> PairRecord:
    """Return the record of a pair, which must succeed."""
    pair = spec_or_pair if hasattr(spec_or_pair, "fingerprint") else planned(spec_or_pair)
    result = stylize_pair(pair, job)
    assert isinstance(result, PairRecord), result
    return result


def failed(spec_or_pair: object, job: Job) -> AttemptRecord:
    """Return the record of an attempt, which must fail: it is stored, and no image or record of the pair is."""
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
    """Return the losses of an image (by default the saved file) by the formulas of the recipes, in float64."""
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


def test_a_pair_leaves_an_image_and_a_record(cat: str, waves: str, job: Job) -> None:
    """The record states the inputs and the image with their hashes, the size, steps, options, device and engine
    version.
    """
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
    """After three steps from the content image, the total loss of the saved image is below 80 % of the initial one."""
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
def test_recorded_losses_are_those_of_the_saved_file(
    cat: str, waves: str, job: Job, backbone: Backbone, options: dict[str, object]
) -> None:
    """Decoding the saved file and applying the formulas gives the losses of the record, for PNG and JPEG alike."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL | options), job)
    style_size = (32, 24) if record.options.style_scale == 0.5 else (64, 48)

    assert losses_of(record) == pytest.approx(recomputed(record, job, backbone, style_size), rel=1e-4)


def test_the_initial_loss_is_that_of_the_resized_content(cat: str, waves: str, job: Job, backbone: Backbone) -> None:
    """`initial_total_loss` is the loss of the start of the optimisation: here the content image at its new size."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL), job)
    start = Image.open(cat).convert("RGB").resize((64, 48), Image.Resampling.LANCZOS)
    losses = recomputed(record, job, backbone, (64, 48), pastiche=start)

    assert losses["content"] == 0
    assert record.initial_total_loss == pytest.approx(losses["total"], rel=1e-4)


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
def test_the_image_file_contains_its_pair_options_and_losses(cat: str, waves: str, job: Job, file_format: str) -> None:
    """The metadata of the file holds the pair id, the options digest and the losses, each with all its digits."""
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
def test_the_file_has_the_format_depth_and_dpi_of_its_options(
    cat: str, waves: str, job: Job, options: dict[str, object], ending: str
) -> None:
    """The file name ends as its format does; the file has the bit depth and dots per inch that the options request."""
    path = Path(job.output, done(pair_spec(content=cat, style=waves, options=BRIEF | options), job).output)
    picture = Image.open(path)

    assert (path.suffix, picture.format) == (ending, str(options.get("output_format", "png")).upper())
    assert (picture.size, bits_of(path)) == ((64, 48), options.get("bit_depth", 8))
    assert picture.info.get("dpi", (0, 0)) == pytest.approx((options.get("dpi", 0),) * 2, abs=0.1)


def bits_of(path: Path) -> int:
    """Return the bits per value of a file; Pillow reads 8 bits of any TIFF or PNG."""
    if path.suffix == ".tif":
        return 8 * int(tifffile.imread(path).itemsize)
    return path.read_bytes()[24] if path.suffix == ".png" else 8


def test_alpha_keep_preserves_the_content_s_transparency(tmp_path: Path, waves: str, job: Job) -> None:
    """With `alpha=keep`, the stylized image has exactly the alpha channel of the content image."""
    alpha = np.add.outer(np.arange(48), 3 * np.arange(64)).astype(np.uint8)
    Image.fromarray(np.dstack([np.full((48, 64, 3), 90, np.uint8), alpha])).save(tmp_path / "glass.png")
    spec = pair_spec(content=str(tmp_path / "glass.png"), style=waves, options=BRIEF | {"alpha": "keep"})
    picture = Image.open(storage.join(job.output, done(spec, job).output))

    assert picture.mode == "RGBA"
    assert (np.asarray(picture.getchannel("A")) == alpha).all()


def test_output_profile_content_preserves_the_content_s_profile(tmp_path: Path, waves: str, job: Job) -> None:
    """With `output_profile=content`, the file has the ICC profile of the content image; with `srgb`, that of sRGB."""
    profile, path = rgb_profile(ADOBE_TO_XYZ, 563 / 256), tmp_path / "adobe.png"
    Image.new("RGB", (64, 48), (90, 120, 60)).save(path, icc_profile=profile)
    found = {}
    for row, choice in enumerate(("content", "srgb")):
        options = BRIEF | {"output_profile": choice}
        record = done(pair_spec(row, str(path), waves, options=options), job)
        found[choice] = Image.open(storage.join(job.output, record.output)).info["icc_profile"]

    assert found == {"content": profile, "srgb": srgb_profile()}


def test_the_notebook_recipe_squeezes_the_style(cat: str, style: Painter, job: Job, backbone: Backbone) -> None:
    """The `notebook` recipe resizes the style image to the content's shape, whatever the style's own shape."""
    tall = style("tall.png", 60, 120)
    record = done(pair_spec(content=cat, style=tall, options=SMALL | {"recipe": "notebook"}), job)
    squeezed, kept = (recomputed(record, job, backbone, size) for size in ((64, 48), (32, 64)))

    assert losses_of(record) == pytest.approx(squeezed, rel=1e-4)
    assert kept["style"] != pytest.approx(record.style_loss, rel=1e-2)


def test_other_recipes_keep_the_style_s_shape(cat: str, style: Painter, job: Job, backbone: Backbone) -> None:
    """Other recipes scale the style image to the pastiche's long edge, and neither squeeze nor crop it."""
    tall = style("tall.png", 60, 120)
    record = done(pair_spec(content=cat, style=tall, options=SMALL | SHALLOW), job)

    assert losses_of(record) == pytest.approx(recomputed(record, job, backbone, (32, 64)), rel=1e-4)


def test_the_seed_determines_the_noise(cat: str, waves: str, job: Job) -> None:
    """Started from noise, two runs with the same seed give the same image, and another seed gives another image."""
    hashes = []
    for number, seed in enumerate((1, 2, 1)):
        spec = pair_spec(number, cat, waves, options=SMALL | SHALLOW | {"init": "noise", "seed": seed})
        hashes.append(image_of(done(spec, job), job).tobytes())

    assert hashes[0] != hashes[1]
    assert hashes[0] == hashes[2]


def test_a_seed_without_noise_changes_no_pixel(cat: str, waves: str, job: Job) -> None:
    """Started from the content image, the seed has no influence."""
    pictures = {
        image_of(done(pair_spec(seed, cat, waves, options=SMALL | SHALLOW | {"seed": seed}), job), job).tobytes()
        for seed in (1, 2)
    }

    assert len(pictures) == 1


def test_the_record_notes_a_content_smaller_than_size_px(photo: Painter, waves: str, job: Job) -> None:
    """A content image smaller than `size_px` is stylized at its own size, and the record says so."""
    record = done(pair_spec(content=photo("small.png", 40, 32), style=waves, options=SMALL | SHALLOW), job)

    assert (record.width, record.height) == (40, 32)
    assert record.notes == ("content is smaller than size_px: 40 x 32 instead of 64; --enlarge enlarges it",)


def test_enlarge_brings_a_small_content_to_size_px(photo: Painter, waves: str, job: Job) -> None:
    """With `enlarge`, the pastiche has `size_px` although the content image is smaller, and the record has no notes."""
    spec = pair_spec(content=photo("small.png", 40, 32), style=waves, options=SMALL | SHALLOW | {"enlarge": True})
    record = done(spec, job)

    assert (record.width, record.height, record.notes) == (64, 51, ())


def test_the_record_contains_the_decoder_s_notes(tmp_path: Path, waves: str, job: Job) -> None:
    """The decoder's notes are in the record, each prefixed with `content` or `style`."""
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
    """The size limits of input images do not apply to results: 100 x 10 px is written because it was requested."""
    options = SHALLOW | {"size_px": size_px, "steps": 1, "output_format": file_format}
    record = done(pair_spec(content=photo("thin.png", *content_size), style=waves, options=options), job)

    assert image_of(record, job).size == (record.width, record.height)
    assert record.width == size_px


def test_a_pair_on_s3_has_its_image_and_record_on_s3(
    s3_bucket: str, cat: str, waves: str, weights: WeightsFile
) -> None:
    """Inputs and output on S3 give the same kind of record as local files, with the hashes of the objects."""
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
    """If the record cannot be written, the image exists; if the image cannot be written, no record is."""
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


def test_a_second_run_keeps_the_first_record_of_a_pair(cat: str, waves: str, job: Job, weights: WeightsFile) -> None:
    """A second run that does the same pair returns the first run's record and leaves no second image."""
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW))
    first = done(pair, job)
    second = done(pair, Job(job.output, "another run", weights, "fp32"))

    assert second == first
    assert second.run_id == "this run"
    assert storage.names(storage.join(job.output, "images")) == [storage.name_of(first.output)]
    assert storage.names(storage.join(job.output, "_nst", "records")) == [f"pair-2-{FINGERPRINT}.json"]


def test_pairs_share_the_style_target(photo: Painter, waves: str, job: Job) -> None:
    """Pairs with one style and size share its target even if weights, steps, seed or recipe differ.

    Another size or another pooling needs a new target. The style file is read once for all of them.
    """
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


def test_a_cached_style_gives_the_same_image(photo: Painter, waves: str, job: Job) -> None:
    """The result of a pair does not depend on what the process did before."""
    specs = [pair_spec(number, photo(f"{number}.png", seed=number), waves, options=SMALL) for number in range(2)]
    engine._encoded_style.cache_clear()
    first = [image_of(done(spec, job), job).tobytes() for spec in specs]
    engine._encoded_style.cache_clear()
    other_job = Job(job.output + "-2", "this run", job.weights, "fp32")
    second = [image_of(done(spec, other_job), other_job).tobytes() for spec in reversed(specs)]

    assert first == second[::-1]


# ---------------------------------------------------------------- a pair that fails


@pytest.mark.parametrize("which", ["content", "style"])
def test_a_missing_file_fails_its_pair(cat: str, waves: str, job: Job, tmp_path: Path, which: str) -> None:
    """A missing image fails its own pair as `not_found`; the attempt names the file and counts as retryable."""
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
def test_a_bad_image_fails_its_pair(
    cat: str, waves: str, job: Job, tmp_path: Path, which: str, data: bytes, reason: str
) -> None:
    """A file that is no complete image fails its own pair; the error names the file and what it contains instead."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(cat).read_bytes()[:500] if data == b"half" else data)
    attempt = failed(pair_spec(**{"content": cat, "style": waves, which: str(bad)}, options=SMALL), job)

    assert (attempt.error_kind, attempt.retryable) == ("bad_image", False)
    assert attempt.error.startswith(f"{bad}: ")
    assert reason in attempt.error


@pytest.mark.parametrize("which", ["content", "style"])
def test_an_input_replaced_after_planning_fails_its_pair(
    cat: str, waves: str, job: Job, photo: Painter, which: str
) -> None:
    """An input that is replaced between planning and reading fails as `input_changed`: the fingerprint is of the old
    one.
    """
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))
    changed = {"content": cat, "style": waves}[which]
    photo(Path(changed).name, 70, 70, seed=99)
    attempt = failed(pair, job)

    assert (attempt.error_kind, attempt.retryable) == ("input_changed", True)
    assert changed in attempt.error


def test_an_input_that_appears_after_planning_fails_its_pair(cat: str, waves: str, job: Job, photo: Painter) -> None:
    """An input that was missing at planning fails as `input_changed` if it exists now: the next run plans it again."""
    os.rename(cat, f"{cat}.away")
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))
    os.rename(f"{cat}.away", cat)
    attempt = failed(pair, job)

    assert (pair.content_identity, attempt.error_kind) == ("missing", "input_changed")


@pytest.mark.parametrize("which", ["content", "style", "style_2"])
def test_an_image_too_small_for_a_layer_fails_its_pair(
    cat: str, waves: str, job: Job, photo: Painter, which: str
) -> None:
    """A side too short for the deepest layer fails the pair; the error names the file, the layer, and `size_px` as
    remedy.
    """
    thin = photo("thin.png", 320, 32)
    images = {"content": cat, "style": waves, "style_2": waves} | {which: thin}
    others = {"style_2": images.pop("style_2")}
    attempt = failed(pair_spec(**images, others=others, options=SMALL), job)

    assert (attempt.error_kind, attempt.retryable) == ("options", False)
    assert re.search(r"layer relu\d_\d needs at least \d+ px", attempt.error)
    assert "size_px" in attempt.error
    assert attempt.error.startswith(f"{thin}: ")


def test_a_content_too_thin_for_a_squeezed_style_is_named(waves: str, job: Job, photo: Painter) -> None:
    """If the content's shape, which `notebook` gives the style too, is too thin for a layer, the error names it."""
    thin = photo("thin.png", 320, 32)
    attempt = failed(pair_spec(content=thin, style=waves, options=SMALL | {"recipe": "notebook"}), job)

    assert attempt.error.startswith(f"{thin}: ")


def test_a_repaired_file_is_read_anew_after_a_failure(cat: str, waves: str, job: Job, tmp_path: Path) -> None:
    """After a failed pair the same process goes on, and reads the style file again once it was repaired."""
    bad = tmp_path / "repaired.png"
    bad.write_bytes(b"not yet")
    failed(pair_spec(content=cat, style=str(bad), options=SMALL | SHALLOW), job)
    bad.write_bytes(Path(waves).read_bytes())
    record = done(pair_spec(content=cat, style=str(bad), options=SMALL | SHALLOW), job)

    assert record.style_sha256 == sha256_of(waves)


def test_replaced_weights_raise_weights_error(
    cat: str, waves: str, job: Job, weights: WeightsFile, tmp_path: Path
) -> None:
    """A weights file with another hash than the run's is no pair's fault: the error is raised and no attempt is
    recorded.
    """
    path = tmp_path / "weights.bin"
    path.write_bytes(Path(weights.path).read_bytes()[:-1] + b"x")
    replaced = Job(job.output, "this run", WeightsFile("vgg19", str(path), weights.sha256), "fp32")
    pair = planned(pair_spec(content=cat, style=waves, options=SMALL))

    with pytest.raises(WeightsError, match=f"{path}: expected sha256 {weights.sha256}"):
        stylize_pair(pair, replaced)
    assert not os.path.exists(job.output)


def test_a_record_is_plain_json(cat: str, waves: str, job: Job) -> None:
    """The record is a JSON file with the options by name, so that other tools can read it."""
    record = done(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW), job)
    values = json.loads(Path(job.output, "_nst", "records", f"pair-2-{FINGERPRINT}.json").read_text())

    assert values["total_loss"] == record.total_loss
    assert StylizeOptions.model_validate(values["options"]) == record.options


def test_further_images_are_in_the_record(photo: Painter, style: Painter, waves: str, job: Job) -> None:
    """The record has addresses and hashes of further images; blending a style with itself gives the losses of that
    style.
    """
    cat, other = photo("cat.png"), photo("other.png", seed=9)
    plain = done(pair_spec(2, cat, waves, options=SMALL | SHALLOW), job)
    twice = done(pair_spec(3, cat, waves, options=SMALL | SHALLOW, others={"style_2": waves}), job)
    blend = done(pair_spec(4, cat, waves, options=SMALL | SHALLOW, others={"style_2": other}), job)

    assert twice.total_loss == pytest.approx(plain.total_loss, rel=1e-3)
    assert blend.total_loss != pytest.approx(plain.total_loss, rel=1e-2)
    assert (blend.others, blend.others_sha256) == ({"style_2": other}, {"style_2": sha256_of(other)})


def test_s3_versions_are_in_the_record(
    photo: Painter, style: Painter, job: Job, s3_bucket: str, s3_server: str
) -> None:
    """The record has the S3 version of each input that was read, by column.

    An object that was replaced after planning is read in its planned version.
    """
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


def test_a_protected_area_has_the_content_s_pixels(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """Where the `protect` mask is white, the saved image has the content's pixels to the last bit; the rest is
    stylized.
    """
    cat = photo("cat.png", 64, 48)
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (0, 0, 32, 48))
    mask.save(tmp_path / "mask.png")

    held = done(pair_spec(2, cat, waves, options=SMALL | SHALLOW, others={"protect": str(tmp_path / "mask.png")}), job)

    box = (0, 0, 28, 48)
    original = Image.open(cat).convert("RGB")
    assert image_of(held, job).crop(box).tobytes() == original.crop(box).tobytes()
    assert image_of(held, job).tobytes() != original.tobytes()


def test_colour_matching_ignores_the_protected_area(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """Whether the protected half is white or black, the other half gets about the same colours."""
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

    # They differ by 19, because of the seam; with the colours of the protected half they would differ by 100.
    assert painted[0] == pytest.approx(painted[1], abs=25.0)


def test_the_record_notes_a_mask_area_too_small_for_a_region(
    photo: Painter, waves: str, job: Job, tmp_path: Path
) -> None:
    """A filled area of a mask that is too small to be a region is named in the record, for the column
    `picture_warnings`.
    """
    mask = Image.new("RGB", (512, 384), "white")
    mask.paste("black", (0, 0, 256, 384))
    mask.save(tmp_path / "style_mask.png")
    mask.paste("red", (300, 100, 312, 112))
    mask.save(tmp_path / "content_mask.png")
    masks = {column: str(tmp_path / f"{column}.png") for column in ("content_mask", "style_mask")}

    record = done(pair_spec(2, photo("cat.png"), waves, options=SMALL | SHALLOW, others=masks), job)

    assert any(re.match(r"content_mask: red \(#ff0000\) covers .* is not a region", note) for note in record.notes)


def test_a_mask_protects_nothing_where_it_is_transparent(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A white object on a transparent ground, as image editors export it, works like a grey mask of the object."""
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


def test_the_record_notes_a_mask_of_another_shape(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A mask with another aspect ratio than the content is squeezed, and noted; another size alone is not noted."""
    cat = photo("cat.png", 64, 48)
    for name, size in (("large.png", (640, 481)), ("square.png", (48, 48))):
        half = Image.new("L", size, 0)
        half.paste(255, (0, 0, size[0] // 2, size[1]))
        half.save(tmp_path / name)
    notes = [
        done(pair_spec(row, cat, waves, options=SMALL | SHALLOW, others={"protect": str(tmp_path / name)}), job).notes
        for row, name in enumerate(("large.png", "square.png"))
    ]

    assert notes == [(), ("protect: of another shape than the content, squeezed from 48 x 48 to 64 x 48",)]


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        (
            "cut-out",
            "protect: 50% of it is grey, where content and paint are mixed, and 0% white; a photograph, even a",
        ),
        ("dim", "protect: 50% of it is grey"),
        ("white", "protect: all of it is white, so that nothing is painted"),
        ("black", "protect: all of it is black or transparent, so that all is painted"),
        ("soft", ""),
        ("small", ""),
        ("small hole", ""),
    ],
)
def test_the_record_notes_what_is_no_mask(
    photo: Painter, waves: str, job: Job, tmp_path: Path, kind: str, note: str
) -> None:
    """A cut-out photograph, a dim mask and one of a single colour are noted; soft edges and small areas are not."""
    cat, half = photo("cat.png", 64, 48), Image.new("L", (64, 48))
    half.paste(255, (0, 0, 32, 48))
    if kind == "cut-out":
        mask = Image.new("RGB", (64, 48), (90, 120, 150))
        mask.putalpha(half)
    elif kind.startswith("small"):  # a share of 0.001, as a logo may have, with a soft edge
        mask = Image.new("L", (64, 48))
        mask.paste(255, (10, 10, 13, 11))
        mask.paste(128, (10, 11, 18, 12))
        mask = ImageOps.invert(mask) if kind == "small hole" else mask
    else:
        lowest, highest = {"dim": (0, 180), "white": (255, 255), "black": (0, 0), "soft": (0, 255)}[kind]
        mask = half.point(lambda level: highest if level else lowest)
        mask.paste(128 if kind == "soft" else highest, (30, 0, 32, 48))
    mask.save(tmp_path / "mask.png")

    notes = done(
        pair_spec(1, cat, waves, options=SMALL | SHALLOW, others={"protect": str(tmp_path / "mask.png")}), job
    ).notes

    assert len(notes) == bool(note)
    assert notes == () or notes[0].startswith(note)


@pytest.mark.parametrize(("opacity", "notes"), [(0, ("alpha keep: all of the content is transparent",)), (9, ())])
def test_the_record_notes_a_content_without_anything_visible(
    waves: str, job: Job, tmp_path: Path, opacity: int, notes: tuple[str, ...]
) -> None:
    """With `alpha=keep`, a content that is transparent everywhere is noted, as its losses of 0 look like success."""
    Image.new("RGBA", (64, 48), (200, 30, 30, opacity)).save(tmp_path / "clear.png")
    spec = pair_spec(content=str(tmp_path / "clear.png"), style=waves, options=BRIEF | {"alpha": "keep"})

    assert tuple(note.partition(", ")[0] for note in done(spec, job).notes) == notes


def test_the_record_notes_a_style_that_is_enlarged(photo: Painter, job: Job) -> None:
    """A style of a blend that is enlarged 2.7 times is noted by its column; one enlarged less than 1.5 times is not."""
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


def test_notebook_styles_are_judged_by_the_content_s_shape(photo: Painter, job: Job) -> None:
    """With the recipe `notebook`, the note on an enlarged style compares it with the content's size, not with its long
    edge.
    """
    cat, notes = photo("cat.png", 64, 32), []
    for row, (width, height) in enumerate(((64, 40), (16, 64))):
        style = photo(f"style{row}.png", width, height, seed=row)
        options = SMALL | SHALLOW | {"recipe": "notebook"}
        notes.append(done(pair_spec(row, cat, style, options=options), job).notes)

    assert notes == [
        (),
        ("style: has 16 x 64 px and is enlarged 4.0 times, with strokes as blurred as that; take a larger image",),
    ]


def test_the_record_notes_a_style_mask_of_another_shape(photo: Painter, job: Job, tmp_path: Path) -> None:
    """A `style_mask` with another aspect ratio than its style, such as one painted before the photo was turned, is
    noted.
    """
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


def test_the_record_notes_losses_of_grey_images(photo: Painter, waves: str, job: Job) -> None:
    """With `colors=luminance` the losses are those of grey images; a note says to compare them with such rows only."""
    cat = photo("cat.png", 64, 48)

    notes = [
        done(pair_spec(row, cat, waves, options=SMALL | SHALLOW | {"colors": colors}), job).notes
        for row, colors in enumerate(("luminance", "match"))
    ]

    assert notes == [
        ("colors luminance: losses and distances are those of grey images; compare them with such rows alone",),
        (),
    ]


def test_each_region_takes_the_style_of_its_mask_colour(photo: Painter, job: Job, tmp_path: Path) -> None:
    """With `content_mask` and `style_mask`, each half takes the colour of the matching half of the style.

    The hashes of both masks are in the record.
    """
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


def test_init_image_is_the_start_of_the_optimisation(cat: str, waves: str, job: Job) -> None:
    """With a finished pastiche as `init_image`, the initial loss is the pastiche's, and the final loss is lower."""
    plain = done(pair_spec(content=cat, style=waves, options=SMALL | SHALLOW), job)
    start = storage.join(job.output, plain.output)

    record = done(pair_spec(3, cat, waves, options=SMALL | SHALLOW, others={"init_image": start}), job)

    assert record.others_sha256 == {"init_image": plain.output_sha256}
    assert record.initial_total_loss == pytest.approx(plain.total_loss, rel=1e-4)
    assert record.total_loss < plain.total_loss < plain.initial_total_loss


def test_masks_with_different_colours_fail_the_pair(photo: Painter, waves: str, job: Job, tmp_path: Path) -> None:
    """A colour of `content_mask` that `style_mask` lacks fails the pair for good; the error names the colour."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / name)
    others = {"content_mask": str(tmp_path / "a.png"), "style_mask": str(tmp_path / "b.png")}

    attempt = failed(pair_spec(2, photo("cat.png"), waves, options=SMALL | SHALLOW, others=others), job)

    assert (attempt.error_kind, attempt.retryable) == ("options", False)
    assert "a.png: content_mask has the region red (#ff0000), style_mask has not" in attempt.error


def test_a_missing_further_image_fails_its_pair(photo: Painter, waves: str, job: Job) -> None:
    """The error names the missing file."""
    attempt = failed(pair_spec(2, photo("cat.png"), waves, options=SMALL, others={"protect": "/in/gone.png"}), job)

    assert "/in/gone.png" in attempt.error


def test_distances_are_one_measure_for_all_recipes(photo: Painter, waves: str, job: Job) -> None:
    """The distances of a pair in the default recipe equal its losses; in another recipe only the losses differ in
    scale.
    """
    cat = photo("cat.png")
    relative = done(pair_spec(2, cat, waves, options=SMALL), job)
    gatys = done(pair_spec(3, cat, waves, options=SMALL | {"recipe": "gatys"}), job)

    assert (relative.content_distance, relative.style_distance) == (relative.content_loss, relative.style_loss)
    assert gatys.content_loss > 100.0
    assert gatys.content_distance is not None
    assert 0.0 < gatys.content_distance < 3.0

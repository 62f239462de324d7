"""Write a pair's image file, its timeline if requested, and last its record, which commits the pair.

Called on threads while the device works.
"""

import hashlib
from dataclasses import dataclass

from flows import storage
from flows.output.ledger import Ledger
from flows.records import layout
from flows.records.attempts import PairRecord
from flows.records.pairs import OTHER_PICTURES
from flows.records.timestamps import utc_now
from flows.wording import redacted
from flows.worker.animation import animation, over_white
from flows.worker.finishing import (
    alpha_notes,
    file_of,
    loss_notes,
    profile_notes,
    protect_notes,
    shape_notes,
    style_notes,
)
from flows.worker.inputs import Input, StyleInputs
from flows.worker.job import Job
from flows.worker.stylized import Stylized
from nst_core import __version__
from nst_core.images import encode_image
from nst_core.machine.hardware import describe_device
from nst_core.options import StylizeOptions
from nst_core.options.file_formats import FILE_FORMATS


@dataclass(frozen=True)
class _File:
    """A file of a pair: its image, or the animation of its optimisation.

    Attributes:
        output: its path below the run's output; empty where there is none.
        sha256: the hash of the file; empty where there is none.
        notes: why it could not be made.
    """

    output: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()


def write_pair(stylized: Stylized, style: StyleInputs, job: Job, device: str) -> PairRecord:
    """Write a pair's image and timeline, then create its record; return the record that stands.

    The record is create-only: if another run committed the pair first, that run's record stands.
    """
    options, pair_id = stylized.loaded.pair.spec.options, stylized.loaded.pair.spec.pair_id
    data = _encode(stylized)
    sha256 = hashlib.sha256(data).hexdigest()
    output = f"{layout.IMAGES}/{pair_id}-{sha256[:8]}.{FILE_FORMATS[options.output_format].ending}"
    # The file is named by its content, so writing it again is idempotent and replaces a partial file that a crash left.
    storage.replace(storage.join(job.output, output), data)
    timeline = _write_timeline(stylized, job)
    return Ledger(job.output).commit(_record_of(stylized, style, job, device, _File(output, sha256), timeline))


def _record_of(
    stylized: Stylized, style: StyleInputs, job: Job, device: str, image: _File, timeline: _File
) -> PairRecord:
    """Return the record of a pair whose image and timeline are written: its fields are columns of the results table."""
    pair, content = stylized.loaded.pair, stylized.loaded.content
    options, losses = pair.spec.options, stylized.losses
    pictures = _pictures_of(stylized, style)
    height, width = stylized.levels.shape[:2]
    return PairRecord(
        pair_id=pair.spec.pair_id,
        fingerprint=pair.fingerprint,
        run_id=job.run_id,
        content=pair.spec.content,
        style=pair.spec.style,
        output=image.output,
        attempts=pair.attempt,
        total_loss=losses.total,
        content_loss=losses.content,
        style_loss=losses.style,
        tv_loss=losses.tv,
        initial_total_loss=stylized.initial.total,
        steps=stylized.steps,
        evaluations=stylized.evaluations,
        stop_reason=stylized.stop_reason,
        width=width,
        height=height,
        seconds=round(stylized.seconds, 3),
        device=describe_device(device),
        precision=job.precision,
        backbone=job.weights.backbone,
        weights_sha256=job.weights.sha256,
        recipe=options.recipe,
        options_digest=options.digest(),
        options=options,
        seed=options.seed,
        content_sha256=content.sha256,
        style_sha256=style.first.sha256,
        output_sha256=image.sha256,
        started_at=stylized.started_at,
        finished_at=utc_now(),
        engine_version=__version__,
        content_distance=stylized.distances and stylized.distances.content,
        style_distance=stylized.distances and stylized.distances.style,
        quality=options.quality,
        others=pair.spec.others,
        others_sha256={column: one.sha256 for column, one in pictures.items() if column in OTHER_PICTURES},
        versions={column: one.version_id for column, one in pictures.items() if one.version_id},
        history=stylized.history,
        timeline=timeline.output,
        timeline_sha256=timeline.sha256,
        notes=(*stylized.notes, *timeline.notes, *_notes_of(stylized, style)),
    )


def _pictures_of(stylized: Stylized, style: StyleInputs) -> dict[str, Input]:
    """Return all images that a pair was made of, by column."""
    loaded = stylized.loaded
    return {"content": loaded.content, "style": style.first, **dict(style.by_column[1:]), **loaded.others}


def _notes_of(stylized: Stylized, style: StyleInputs) -> tuple[str, ...]:
    """Return what the user should know about the images that the pair was made of, and about its file."""
    loaded, (height, width) = stylized.loaded, stylized.levels.shape[:2]
    return (
        *(f"{column}: {note}" for column, one in _pictures_of(stylized, style).items() for note in one.notes),
        *shape_notes(loaded),
        *protect_notes(loaded),
        *alpha_notes(loaded),
        *style_notes(loaded, style),
        *loss_notes(loaded),
        *profile_notes(loaded),
        *_size_notes(width, height, loaded.pair.spec.options),
    )


def _write_timeline(stylized: Stylized, job: Job) -> _File:
    """Write a pair's animation; a failure becomes a note, because the pair itself is done."""
    if job.timeline == "none" or not stylized.frames:
        return _File()
    try:
        data = animation(over_white(stylized.frames, stylized.loaded.content.alpha), job.timeline)
        sha256 = hashlib.sha256(data).hexdigest()
        output = f"{layout.TIMELINES}/{stylized.loaded.pair.spec.pair_id}-{sha256[:8]}.{job.timeline}"
        storage.replace(storage.join(job.output, output), data)
    except Exception as error:  # noqa: BLE001  # no error of the animation may cost the pair its image
        return _File(notes=(f"no timeline: {redacted(str(error))}",))
    return _File(output, sha256)


def _encode(stylized: Stylized) -> bytes:
    options, losses = stylized.loaded.pair.spec.options, stylized.losses
    metadata = {
        "pair_id": stylized.loaded.pair.spec.pair_id,
        "options_digest": options.digest(),
        "recipe": options.recipe,
        "total_loss": repr(losses.total),
        "content_loss": repr(losses.content),
        "style_loss": repr(losses.style),
        "tv_loss": repr(losses.tv),
        "engine_version": __version__,
    }
    loaded = stylized.loaded
    return encode_image(stylized.levels, file_of(loaded), metadata, loaded.content.origin.credit)


def _size_notes(width: int, height: int, options: StylizeOptions) -> tuple[str, ...]:
    if max(width, height) == options.size_px:
        return ()
    return (f"content is smaller than size_px: {width} x {height} instead of {options.size_px}; --enlarge enlarges it",)

"""A manifest's pairs -> how long they will take on this machine, as a range; or that no run has told yet.

Sizes come from the content pictures' headers, for as many as are looked at; the others are taken to be of any shape up
to a square. Nothing is decoded.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from flows import storage
from flows.costs.rates import Measured, Place, gpus_here, measured_here, settling, size_class
from flows.costs.style_reuse import Encoded
from flows.costs.wording import in_words
from flows.records.pairs import PairSpec
from flows.wording import listed
from nst_core.errors import OutOfMemory
from nst_core.geometry.sizes import pastiche_size
from nst_core.machine.footprint import Extra, extra_of
from nst_core.machine.hardware import hardware_without_torch
from nst_core.machine.memory import check_fits
from nst_core.machine.work import Between, expected_evaluations, style_work, work_of
from nst_core.options import StylizeOptions

Size = tuple[int, int]
"""(width, height) in pixels."""

T = TypeVar("T")


class Range(NamedTuple, Generic[T]):
    """A value that is not known exactly."""

    at_least: T
    likely: T
    at_most: T


SHAPES = Range(9 / 16, 3 / 4, 1.0)
"""Short over long edge of pictures that nobody looked at."""

ENOUGH_SHAPES = 20
"""Pictures that were looked at and stand for the others."""

APART = 1.3
"""How far off a rate may be, either way, for each doubling between its size and the one that it stands in for."""

LEAST_DOUBT = 1.3
"""A machine that does more or fewer other things than before is no more even than this."""


@dataclass(frozen=True)
class Estimate:
    """How long pairs will take.

    Attributes:
        pairs: that are counted.
        largest_px: long edge of the largest.
        seconds: None where no run on this machine has told how fast it is.
        measured_by: pairs of earlier runs that told.
        refused: rows that this machine has no memory for, with the reason.
    """

    pairs: int
    largest_px: int
    seconds: Range[float] | None
    measured_by: int
    refused: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        seconds = Range(None, None, None) if self.seconds is None else Range(*(round(one, 1) for one in self.seconds))
        return {
            "pairs": self.pairs,
            "largest_px": self.largest_px,
            "seconds_at_least": seconds.at_least,
            "seconds_likely": seconds.likely,
            "seconds_at_most": seconds.at_most,
            "measured_by_pairs": self.measured_by,
            **listed("no_room", self.refused, lambda row: {"row": row[0], "reason": row[1]}),
        }

    def __str__(self) -> str:
        """In one line."""
        what = f"{self.pairs} {'pair' if self.pairs == 1 else 'pairs'} at up to {self.largest_px} px"
        if self.seconds is None:
            return f"{what}: time unknown until a first run on this machine"
        said = Range(*map(in_words, self.seconds))
        between = f"{said.at_least} to {said.at_most}"
        return f"{what}, some {said.likely} on this machine ({between}, by {self.measured_by} pairs of earlier runs)"


def estimate(pairs: Sequence[PairSpec], sizes_of: Mapping[str, Size], backbone: str) -> Estimate | None:
    """How long a manifest's pairs will take, done as the latest run on a device of this machine was; None for no pair.

    Args:
        pairs: valid ones.
        sizes_of: content pictures' sizes as they are shown, by address, as far as they were looked at.
        backbone: that they will be stylized with.
    """
    if not pairs:
        return None
    known = _latest(backbone)
    place = Place(known.device, known.precision) if known else _place_here()
    shapes = _shapes(sizes_of.values())
    jobs = [_Job(pair, _sizes(pair.options, sizes_of.get(pair.content), shapes)) for pair in pairs]
    largest = max(max(job.sizes.at_most) for job in jobs)
    refused = () if place is None else tuple(_refusals(jobs, place))
    if known is None or place is None:
        return Estimate(len(pairs), largest, None, 0, refused)
    told = sum(len(one) for one in known.rates.values())
    return Estimate(len(pairs), largest, _seconds_of_all(jobs, known, place), told, refused)


@dataclass(frozen=True)
class _Job:
    """A pair, and the size of its pastiche."""

    pair: PairSpec
    sizes: Range[Size]


def _seconds_of_all(jobs: Sequence[_Job], known: Measured, place: Place) -> Range[float]:
    """Of all pairs, done by as many workers as have measured, and of what a run takes beside them."""
    totals = Range(0.0, 0.0, 0.0)
    encoded = Encoded()
    costs: dict[object, Range[float]] = {}
    for job in jobs:
        # Rows without options of their own share one object.
        alike = (id(job.pair.options), job.sizes, "init_image" in job.pair.others)
        if alike not in costs:
            costs[alike] = _seconds(job, known, place)
        pictures = encoded.pictures_for(job.pair, max(job.sizes.at_most))
        styles = pictures * _style_seconds(job.sizes.at_most, known, place)
        totals = Range(*(total + one + styles for total, one in zip(totals, costs[alike], strict=True)))
    at_once = max(1, min(known.workers, len(jobs)))
    beside = statistics.median(known.beside) if known.beside else 0.0
    return Range(*(total / at_once + beside for total in totals))


def _latest(backbone: str) -> Measured | None:
    """What the latest run with a backbone measured, of those on a device that this machine has now."""
    has_gpu, models = hardware_without_torch() is None, gpus_here()
    told = [one for one in measured_here() if one.backbone == backbone and one.rates]
    found = [one for one in told if one.device == "cpu" or (has_gpu and _may_be_of(one.gpu, models))]
    if not found:
        return None
    latest = found[-1]
    there = len(models) if latest.device == "cuda" and models else latest.workers
    return latest.model_copy(update={"workers": min(latest.workers, there)})


def _may_be_of(gpu: str, models: Collection[str]) -> bool:
    """Whether what GPUs measured, named as torch does, can be of some models; it can be where either is not known."""
    names = gpu.split(", ") if gpu and models else []
    whole = tuple(f"{model} " for model in models)
    return all(f"{name} ".startswith(whole) for name in names)  # a slice of a GPU has its model's name and more words


def _place_here() -> Place | None:
    """The processor of a machine without a GPU; None where torch would have to tell."""
    hardware = hardware_without_torch()
    return None if hardware is None else Place("cpu", hardware.precision("auto", "cpu"))


def _shapes(sizes: Collection[Size]) -> Range[float]:
    """Short over long edge of pictures that nobody looked at, by those that were, where these are enough."""
    found = sorted(min(size) / max(size) for size in sizes)
    return Range(found[0], statistics.median(found), found[-1]) if len(found) >= ENOUGH_SHAPES else SHAPES


def _sizes(options: StylizeOptions, content: Size | None, shapes: Range[float]) -> Range[Size]:
    """Of the pastiche."""
    if content is not None:
        size = pastiche_size(*content, options.size_px, enlarge=options.enlarge)
        return Range(size, size, size)
    edge = options.size_px
    return Range(*((edge, max(1, round(shape * edge))) for shape in shapes))


def _refusals(jobs: Iterable[_Job], place: Place) -> Iterable[tuple[int, str]]:
    """Rows that would be refused when their turn came, were no more memory free then than is now."""
    said: dict[tuple[Size, Extra], str] = {}
    for job in jobs:
        pair, size = job.pair, job.sizes.at_least
        # Of a mask that was not looked at two regions are sure.
        regions = 2 if "content_mask" in pair.others else 0
        extra = extra_of(pair.options, regions, protects="protect" in pair.others)
        if (size, extra) not in said:
            said[size, extra] = _refusal(size, extra, place)
        if reason := said[size, extra]:
            yield pair.row, reason


def _refusal(size: Size, extra: Extra, place: Place) -> str:
    """Why there is no room for a pastiche; empty where there is."""
    try:
        check_fits(*size, place, place.free, extra)
    except OutOfMemory as error:
        return str(error)
    return ""


def _seconds(job: _Job, known: Measured, place: Place) -> Range[float]:
    """Of one pair on one worker."""
    options, from_picture = job.pair.options, "init_image" in job.pair.others
    told = known.settled.get(settling(options))
    settles = Between(min(told), max(told)) if told else None
    seconds = []
    for number, size in enumerate(job.sizes):
        expected = expected_evaluations(*size, options, settles, from_picture=from_picture)
        low, high = expected.full.at_least, expected.full.at_most
        full = Range(low, (low * high) ** 0.5, high)[number]
        work = work_of(*size, options, full, expected.coarse, place, place.free)
        seconds.append(work * _rate(known, size)[number])
    if options.max_seconds is not None:
        # Beside the budget there is what is done once.
        largest = job.sizes.at_most
        once = work_of(*largest, options, 1, (), place, place.free) * _rate(known, largest).at_most
        seconds = [min(one, options.max_seconds + once) for one in seconds]
    return Range(*seconds)


def _style_seconds(size: Size, known: Measured, place: Place) -> float:
    return style_work(*size, place) * _rate(known, size).likely


def _rate(known: Measured, size: Size) -> Range[float]:
    """Seconds per unit of work at a size."""
    wanted = size_class(*size)
    nearest = min(known.rates, key=lambda one: (abs(one.bit_length() - wanted.bit_length()), one))
    doublings = abs(nearest.bit_length() - wanted.bit_length())
    rates, doubt = known.rates[nearest], LEAST_DOUBT * APART**doublings
    return Range(min(rates) / doubt, statistics.median(rates), max(rates) * doubt)


def local_size(address: str) -> Size | None:
    """A local picture's size as it is shown, by its header; None for one on S3, or that is no picture of ours."""
    if storage.is_s3(address):
        return None
    from PIL import Image  # here, because most commands do without

    from nst_core.images.files.formats import FORMATS

    Image.MAX_IMAGE_PIXELS = None  # only the header is read
    try:
        with Image.open(address, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8) and image.format != "TIFF"
            return image.size[::-1] if turned else image.size
    except Exception:  # noqa: BLE001  # Pillow's parsers raise many types; what is wrong with it a run will say
        return None

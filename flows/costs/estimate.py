"""Estimate how long a manifest's pairs will take on this machine, as a range, from the rates of earlier runs.

Image sizes come from the headers of as many content images as the caller has read; the others are assumed to have any
shape up to a square. Nothing is decoded.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from flows import storage
from flows.costs.rates import Measured, Place, gpus_here, measured_here, settling, size_class
from flows.costs.style_reuse import EncodedStyles
from flows.costs.wording import readable_duration
from flows.records.pairs import PairSpec
from flows.wording import counted, problems_as_json
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
    """Lower bound, likely value and upper bound of an uncertain value."""

    at_least: T
    likely: T
    at_most: T


SHAPES = Range(9 / 16, 3 / 4, 1.0)
"""The assumed ratio of short to long edge of images whose size is unknown."""

ENOUGH_SHAPES = 20
"""How many known image sizes are enough to infer the shapes of the others from."""

DOUBT_PER_DOUBLING = 1.3
"""The factor, up and down, by which a rate may be off for each doubling between its size and the estimated size."""

LEAST_DOUBT = 1.3
"""The factor by which a rate may be off in any case, as the machine's other load varies."""


@dataclass(frozen=True)
class Estimate:
    """The time that a manifest's pairs will take.

    Attributes:
        pairs: the number of pairs.
        largest_px: the long edge of the largest pastiche, in pixels.
        seconds: the estimated time; None where no earlier run measured this machine's rates.
        measured_by: the number of pairs of earlier runs that the rates come from.
        refused: the rows that do not fit into this machine's memory, each with the reason.
    """

    pairs: int
    largest_px: int
    seconds: Range[float] | None
    measured_by: int
    refused: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        unknown = Range(None, None, None)
        seconds = unknown if self.seconds is None else Range(*(round(bound, 1) for bound in self.seconds))
        return {
            "pairs": self.pairs,
            "largest_px": self.largest_px,
            "seconds_at_least": seconds.at_least,
            "seconds_likely": seconds.likely,
            "seconds_at_most": seconds.at_most,
            "measured_by_pairs": self.measured_by,
            **problems_as_json("no_room", self.refused, lambda row: {"row": row[0], "reason": row[1]}),
        }

    def __str__(self) -> str:
        """Format the estimate in one line."""
        what = f"{counted(self.pairs, 'pair')} at up to {self.largest_px} px"
        if self.seconds is None:
            return f"{what}: time unknown until a first run on this machine"
        times = Range(*map(readable_duration, self.seconds))
        between = f"{times.at_least} to {times.at_most}"
        earlier = counted(self.measured_by, "pair")
        return f"{what}, some {times.likely} on this machine ({between}, by {earlier} of earlier runs)"


def estimate(pairs: Sequence[PairSpec], sizes_of: Mapping[str, Size], backbone: str) -> Estimate | None:
    """Estimate the time for a manifest's pairs; None where it has no pair.

    The estimate assumes the same device and workers as the latest run on a device that this machine still has.

    Args:
        pairs: the valid pairs.
        sizes_of: the sizes (after EXIF rotation) of those content images whose header was read, by address.
        backbone: the name of the backbone that they will be stylized with.
    """
    if not pairs:
        return None
    measured = _latest(backbone)
    place = Place(measured.device, measured.precision) if measured else _place_here()
    shapes = _shapes(sizes_of.values())
    jobs = [_Job(pair, _sizes(pair.options, sizes_of.get(pair.content), shapes)) for pair in pairs]
    largest = max(max(job.sizes.at_most) for job in jobs)
    refused = () if place is None else tuple(_refusals(jobs, place))
    if measured is None or place is None:
        return Estimate(len(pairs), largest, None, 0, refused)
    measured_by = sum(len(rates) for rates in measured.rates.values())
    return Estimate(len(pairs), largest, _seconds_of_all(jobs, measured, place), measured_by, refused)


@dataclass(frozen=True)
class _Job:
    """A pair and the range of sizes that its pastiche may have."""

    pair: PairSpec
    sizes: Range[Size]


def _seconds_of_all(jobs: Sequence[_Job], measured: Measured, place: Place) -> Range[float]:
    """Return the time of a whole run: all pairs, on as many workers as measured the rates, plus the run's overhead."""
    totals = Range(0.0, 0.0, 0.0)
    encoded_styles = EncodedStyles()
    costs: dict[object, Range[float]] = {}
    for job in jobs:
        # Rows without options of their own share one object, so its id saves hashing all options.
        key = (id(job.pair.options), job.sizes, "init_image" in job.pair.others)
        if key not in costs:
            costs[key] = _seconds(job, measured, place)
        pictures = encoded_styles.pictures_for(job.pair, max(job.sizes.at_most))
        styles = pictures * _style_seconds(job.sizes.at_most, measured, place)
        totals = Range(*(total + seconds + styles for total, seconds in zip(totals, costs[key], strict=True)))
    workers = max(1, min(measured.workers, len(jobs)))
    overhead = statistics.median(measured.beside) if measured.beside else 0.0
    return Range(*(total / workers + overhead for total in totals))


def _latest(backbone: str) -> Measured | None:
    """Return the latest measurements with a backbone on a device that this machine has now; None where there are none.

    The number of workers is limited to the number of GPUs that the machine has now.
    """
    has_gpu, models = hardware_without_torch() is None, gpus_here()
    candidates = [measured for measured in measured_here() if measured.backbone == backbone and measured.rates]
    usable = [one for one in candidates if one.device == "cpu" or (has_gpu and _may_be_of(one.gpu, models))]
    if not usable:
        return None
    latest = usable[-1]
    most_workers = len(models) if latest.device == "cuda" and models else latest.workers
    return latest.model_copy(update={"workers": min(latest.workers, most_workers)})


def _may_be_of(gpu: str, models: Collection[str]) -> bool:
    """Return whether measured GPUs may be of this machine's models; True where either side is unknown.

    Args:
        gpu: the names of the measured GPUs, as torch gives them, separated by commas.
        models: the models of this machine's GPUs, as the driver gives them.
    """
    names = gpu.split(", ") if gpu and models else []
    prefixes = tuple(f"{model} " for model in models)
    # A slice of a GPU is named by its model and further words; the space makes the last word of a model match whole.
    return all(f"{name} ".startswith(prefixes) for name in names)


def _place_here() -> Place | None:
    """Return the CPU of a machine without a GPU; None where only torch could say what hardware there is."""
    hardware = hardware_without_torch()
    return None if hardware is None else Place("cpu", hardware.precision("auto", "cpu"))


def _shapes(sizes: Collection[Size]) -> Range[float]:
    """Return the range of short to long edge for images of unknown size, from the known sizes where they suffice."""
    ratios = sorted(min(size) / max(size) for size in sizes)
    return Range(ratios[0], statistics.median(ratios), ratios[-1]) if len(ratios) >= ENOUGH_SHAPES else SHAPES


def _sizes(options: StylizeOptions, content: Size | None, shapes: Range[float]) -> Range[Size]:
    """Return the range of sizes of a pastiche, which is exact where the content's size is known."""
    if content is not None:
        size = pastiche_size(*content, options.size_px, enlarge=options.enlarge)
        return Range(size, size, size)
    edge = options.size_px
    return Range(*((edge, max(1, round(shape * edge))) for shape in shapes))


def _refusals(jobs: Iterable[_Job], place: Place) -> Iterable[tuple[int, str]]:
    """Yield the rows, with the reason, that would be refused for lack of memory if no more were free than now."""
    reasons: dict[tuple[Size, Extra], str] = {}
    for job in jobs:
        pair, size = job.pair, job.sizes.at_least
        # The masks were not read; a mask has at least two regions.
        regions = 2 if "content_mask" in pair.others else 0
        extra = extra_of(pair.options, regions, protects="protect" in pair.others)
        if (size, extra) not in reasons:
            reasons[size, extra] = _refusal(size, extra, place)
        if reason := reasons[size, extra]:
            yield pair.row, reason


def _refusal(size: Size, extra: Extra, place: Place) -> str:
    """Return why a pastiche does not fit into memory; empty where it fits."""
    try:
        check_fits(*size, place, place.free, extra)
    except OutOfMemory as error:
        return str(error)
    return ""


def _seconds(job: _Job, measured: Measured, place: Place) -> Range[float]:
    """Return the time of one pair on one worker, without that of encoding its style."""
    options, from_picture = job.pair.options, "init_image" in job.pair.others
    settled = measured.settled.get(settling(options))
    settles = Between(min(settled), max(settled)) if settled else None
    seconds = []
    for number, size in enumerate(job.sizes):
        expected = expected_evaluations(*size, options, settles, from_picture=from_picture)
        low, high = expected.full.at_least, expected.full.at_most
        full = Range(low, (low * high) ** 0.5, high)[number]
        work = work_of(*size, options, full, expected.coarse, place, place.free)
        seconds.append(work * _rate(measured, size)[number])
    if options.max_seconds is not None:
        # One-off work, such as targets and final losses, is not part of the pair's time budget.
        largest = job.sizes.at_most
        one_off = work_of(*largest, options, 1, (), place, place.free) * _rate(measured, largest).at_most
        seconds = [min(bound, options.max_seconds + one_off) for bound in seconds]
    return Range(*seconds)


def _style_seconds(size: Size, measured: Measured, place: Place) -> float:
    """Return the time to encode one style image for a pastiche of this size."""
    return style_work(*size, place) * _rate(measured, size).likely


def _rate(measured: Measured, size: Size) -> Range[float]:
    """Return the seconds per unit of work at a size, from the measured size class that is nearest to it."""
    wanted = size_class(*size)
    nearest = min(measured.rates, key=lambda edge: (abs(edge.bit_length() - wanted.bit_length()), edge))
    doublings = abs(nearest.bit_length() - wanted.bit_length())
    rates, doubt = measured.rates[nearest], LEAST_DOUBT * DOUBT_PER_DOUBLING**doublings
    return Range(min(rates) / doubt, statistics.median(rates), max(rates) * doubt)


def local_size(address: str) -> Size | None:
    """Return a local image's size after EXIF rotation, from its header; None of others, and where it cannot be read."""
    if not storage.is_local(address):
        return None
    from PIL import Image  # imported here because most commands do not need it

    from nst_core.images.files.formats import FORMATS

    Image.MAX_IMAGE_PIXELS = None  # only the header is read
    try:
        with Image.open(address, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8) and image.format != "TIFF"
            return image.size[::-1] if turned else image.size
    except Exception:  # noqa: BLE001  # Pillow's parsers raise many types; the run itself reports what is wrong
        return None

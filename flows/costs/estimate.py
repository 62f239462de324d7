"""A manifest's pairs -> how long they will take on this machine, as a range; or that no run has told yet.

Sizes come from the content pictures' headers, for as many as are looked at; the others are taken to be of any shape up
to a square. Nothing is decoded.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows import storage
from flows.costs.rates import Measured, Place, gpus_here, measured_here, settling, size_class
from flows.costs.words import in_words
from flows.records import FURTHER_STYLES, PairSpec
from flows.wording import listed
from nst_core.errors import OutOfMemory
from nst_core.geometry.sizes import pastiche_size
from nst_core.machine.hardware import hardware_without_torch
from nst_core.machine.memory import check_fits, planes_of
from nst_core.machine.work import expected_evaluations, style_work, work_of
from nst_core.options import StylizeOptions

Size = tuple[int, int]
"""(width, height) in pixels."""

SHAPES = (9 / 16, 3 / 4, 1.0)
"""Short over long edge of pictures that nobody looked at: at least, likely, at most."""

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
        seconds: at least, likely, at most; None where no run on this machine has told how fast it is.
        measured_by: pairs of earlier runs that told.
        refused: rows that this machine has no memory for, with the reason.
    """

    pairs: int
    largest_px: int
    seconds: tuple[float, float, float] | None
    measured_by: int
    refused: tuple[tuple[int, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        names = ("seconds_at_least", "seconds_likely", "seconds_at_most")
        seconds = self.seconds or (None, None, None)
        return {
            "pairs": self.pairs,
            "largest_px": self.largest_px,
            **{name: one and round(one, 1) for name, one in zip(names, seconds, strict=True)},
            "measured_by_pairs": self.measured_by,
            **listed("no_room", self.refused, lambda row: {"row": row[0], "reason": row[1]}),
        }

    def __str__(self) -> str:
        """In one line."""
        what = f"{self.pairs} {'pair' if self.pairs == 1 else 'pairs'} at up to {self.largest_px} px"
        if self.seconds is None:
            return f"{what}: time unknown until a first run on this machine"
        low, likely, high = map(in_words, self.seconds)
        return f"{what}, some {likely} on this machine ({low} to {high}, by {self.measured_by} pairs of earlier runs)"


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
    shapes = sorted(min(size) / max(size) for size in sizes_of.values())
    seen = (shapes[0], statistics.median(shapes), shapes[-1]) if len(shapes) >= ENOUGH_SHAPES else SHAPES
    jobs = [(pair, _sizes(pair.options, sizes_of.get(pair.content), seen)) for pair in pairs]
    largest = max(max(sizes[-1]) for _, sizes in jobs)
    refused = () if place is None else tuple(_refusals(jobs, place))
    if known is None or place is None:
        return Estimate(len(pairs), largest, None, 0, refused)
    totals = [0.0, 0.0, 0.0]
    encoded: set[tuple[object, ...]] = set()
    costs: dict[object, list[float]] = {}
    for pair, sizes in jobs:
        # Rows without options of their own share one object.
        alike = (id(pair.options), sizes, "init_image" in pair.others)
        if alike not in costs:
            costs[alike] = _seconds(pair, sizes, known, place)
        style = (*_styles(pair), max(sizes[-1]))
        first = len(_styles(pair)) * _style_seconds(sizes[-1], known, place)
        if pair.options.colors == "style":
            first = 0.0 if style in encoded else first
            encoded.add(style)
        totals = [total + one + first for total, one in zip(totals, costs[alike], strict=True)]
    at_once = max(1, min(known.workers, len(pairs)))
    beside = statistics.median(known.beside) if known.beside else 0.0
    low, likely, high = (total / at_once + beside for total in totals)
    told = sum(len(one) for one in known.rates.values())
    return Estimate(len(pairs), largest, (low, likely, high), told, refused)


def _latest(backbone: str) -> Measured | None:
    """What the latest run with a backbone measured, of those on a device that this machine has now."""
    has_gpu, models = hardware_without_torch() is None, gpus_here()
    told = [one for one in measured_here() if one.backbone == backbone and one.rates]
    found = [one for one in told if one.device == "cpu" or (has_gpu and _may_be_of(one.gpu, models))]
    return found[-1] if found else None


def _may_be_of(gpu: str, models: Collection[str]) -> bool:
    """Whether what GPUs measured, named as torch does, can be of some models; it can be where either is not known."""
    names = gpu.split(", ") if gpu and models else []
    whole = tuple(f"{model} " for model in models)
    return all(f"{name} ".startswith(whole) for name in names)  # a slice of a GPU has its model's name and more words


def _place_here() -> Place | None:
    """The processor of a machine without a GPU; None where torch would have to tell."""
    hardware = hardware_without_torch()
    return None if hardware is None else Place("cpu", hardware.precision("auto", "cpu"))


def _sizes(
    options: StylizeOptions, content: Size | None, shapes: tuple[float, float, float]
) -> tuple[Size, Size, Size]:
    """Of the pastiche: at least, likely, at most."""
    if content is not None:
        size = pastiche_size(*content, options.size_px, enlarge=options.enlarge)
        return size, size, size
    edge = options.size_px
    low, likely, high = ((edge, max(1, round(shape * edge))) for shape in shapes)
    return low, likely, high


def _refusals(jobs: Iterable[tuple[PairSpec, tuple[Size, Size, Size]]], place: Place) -> Iterable[tuple[int, str]]:
    """Rows that would be refused when their turn came, were no more memory free then than is now."""
    said: dict[tuple[Size, int], str] = {}
    for pair, sizes in jobs:
        # Of a mask that was not looked at two regions are sure.
        regions = 2 if "content_mask" in pair.others else 0
        case = sizes[0], planes_of(pair.options, regions, protects="protect" in pair.others)
        if case not in said:
            try:
                check_fits(*sizes[0], place, place.free, case[1])
                said[case] = ""
            except OutOfMemory as error:
                said[case] = str(error)
        if said[case]:
            yield pair.row, said[case]


def _styles(pair: PairSpec) -> tuple[str, ...]:
    """The pictures of its style; one that takes a content's colours is encoded for that content alone."""
    return pair.style, *(pair.others[column] for column in FURTHER_STYLES if column in pair.others)


def _seconds(pair: PairSpec, sizes: tuple[Size, Size, Size], known: Measured, place: Place) -> list[float]:
    """Of one pair on one worker: at least, likely, at most."""
    options = pair.options
    told = known.settled.get(settling(options))
    settles = (min(told), max(told)) if told else None
    seconds = []
    for number, size in enumerate(sizes):
        expected = expected_evaluations(*size, options, settles, from_picture="init_image" in pair.others)
        low, high = expected.full
        full = (low, (low * high) ** 0.5, high)[number]
        work = work_of(*size, options, full, expected.coarse, place, place.free)
        seconds.append(work * _rate(known, size)[number])
    if options.max_seconds is not None:
        # Beside the budget there is what is done once.
        once = work_of(*sizes[-1], options, 1, (), place, place.free) * _rate(known, sizes[-1])[2]
        seconds = [min(one, options.max_seconds + once) for one in seconds]
    return seconds


def _style_seconds(size: Size, known: Measured, place: Place) -> float:
    return style_work(*size, place) * _rate(known, size)[1]


def _rate(known: Measured, size: Size) -> tuple[float, float, float]:
    """Seconds per unit of work at a size: at least, likely, at most."""
    wanted = size_class(*size)
    nearest = min(known.rates, key=lambda one: (abs(one.bit_length() - wanted.bit_length()), one))
    doublings = abs(nearest.bit_length() - wanted.bit_length())
    rates, doubt = known.rates[nearest], LEAST_DOUBT * APART**doublings
    return min(rates) / doubt, statistics.median(rates), max(rates) * doubt


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

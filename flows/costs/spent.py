"""The device time and the evaluations that a run's own pairs took, in total and by style."""

from dataclasses import dataclass, field

from flows import storage
from flows.costs.rates import Measured, Place, keep_measured, settling, size_class
from flows.costs.style_reuse import EncodedStyles
from flows.records.attempts import LossSample, PairRecord
from flows.records.runs import RunCosts, StyleCosts
from flows.wording import printable
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.work import EXACT_PASS, style_work, work_of

MOST_STYLES = 50
"""How many styles a summary names at most; of more, the most expensive ones."""

FEWEST_EVALUATIONS = 5
"""The fewest evaluations of a pair that a rate is learnt from: with fewer, one-off work is most of the pair's time."""


@dataclass
class Spent:
    """Accumulates the costs and rates of a run from the records of the pairs that it made itself.

    Args:
        on_gpus: whether each worker has a GPU.
        threads: the CPU threads of each worker.
    """

    on_gpus: bool
    threads: int
    _by_style: dict[str, StyleCosts] = field(default_factory=dict)
    _rates: dict[int, list[float]] = field(default_factory=dict)
    _settled: dict[str, list[int]] = field(default_factory=dict)
    _encoded_styles: EncodedStyles = field(default_factory=EncodedStyles)
    _seconds: float = 0.0
    _backbone: str = ""
    _gpus: set[str] = field(default_factory=set)

    def add(self, record: PairRecord) -> None:
        """Add one pair."""
        self._seconds, self._backbone = self._seconds + record.seconds, record.backbone
        self._gpus |= {gpu_of(record.device)} - {""}
        self._learn(record)
        name = printable(storage.name_of(record.style))
        before = self._by_style.get(name, StyleCosts())
        hours = record.seconds / 3600
        self._by_style[name] = StyleCosts(
            pairs=before.pairs + 1,
            evaluations=before.evaluations + sum(evaluations_of(record)),
            processor_hours=before.processor_hours + (0.0 if self.on_gpus else hours * self.threads),
            gpu_hours=before.gpu_hours + (hours if self.on_gpus else 0.0),
        )

    def costs(self, seconds: float) -> RunCosts | None:
        """Return the costs of a run that took `seconds` of wall-clock time; None where it made no pair."""
        if not self._by_style or seconds <= 0:
            return None
        styles = self._by_style.values()
        pairs, evaluations = sum(style.pairs for style in styles), sum(style.evaluations for style in styles)
        most_expensive_first = sorted(
            self._by_style.items(), key=lambda item: (-item[1].processor_hours - item[1].gpu_hours, item[0])
        )
        return RunCosts(
            pairs_per_hour=round(pairs / seconds * 3600, 2),
            evaluations_per_second=round(evaluations / seconds, 3),
            evaluations=evaluations,
            processor_hours=round(sum(style.processor_hours for style in styles), 5),
            gpu_hours=round(sum(style.gpu_hours for style in styles), 5),
            by_style={name: _rounded(style) for name, style in most_expensive_first[:MOST_STYLES]},
        )

    def keep_rates(self, workers: int, precision: PrecisionName, seconds: float) -> None:
        """Store the rates of this run for later estimates.

        Args:
            workers: how many workers the run had.
            precision: the precision of the optimisation.
            seconds: the wall-clock time of the whole run.
        """
        if not self._rates:
            return
        keep_measured(
            Measured(
                device="cuda" if self.on_gpus else "cpu",
                precision=precision,
                backbone=self._backbone,
                gpu=", ".join(sorted(self._gpus)),
                workers=workers,
                rates={size: tuple(rates) for size, rates in self._rates.items()},
                settled={key: tuple(evaluations) for key, evaluations in self._settled.items()},
                beside=(round(max(0.0, seconds - self._seconds / workers), 2),),
            )
        )

    def _learn(self, record: PairRecord) -> None:
        *coarse, full = evaluations_of(record)
        if record.stop_reason == "settled":
            self._settled.setdefault(settling(record.options), []).append(full)
        if full < FEWEST_EVALUATIONS or record.precision not in EXACT_PASS:
            return
        place = Place("cuda" if self.on_gpus else "cpu", "fp32" if record.precision == "fp32" else "bf16")
        size = record.width, record.height
        work = work_of(*size, record.options, full, coarse, place, place.free)
        work += self._encoded_styles.pictures_for(record, max(size)) * style_work(*size, place)
        self._rates.setdefault(size_class(*size), []).append(round(record.seconds / work, 6))


def gpu_of(device: str) -> str:
    """Return the GPU's model from a text of `nst_core.machine.hardware.describe_device`; empty for the CPU.

    >>> gpu_of("cuda:1 (NVIDIA H200)"), gpu_of("cpu")
    ('NVIDIA H200', '')
    """
    return device.partition(" (")[2].removesuffix(")")


def evaluations_of(record: PairRecord) -> tuple[int, ...]:
    """Return the number of evaluations at each level, from the coarsest to full size."""
    last: dict[int, LossSample] = {sample.level: sample for sample in record.history}
    coarse = [last[level].evaluation for level in sorted(last, reverse=True) if level > 0]
    return (*coarse, record.evaluations)


def _rounded(costs: StyleCosts) -> StyleCosts:
    hours = {name: round(getattr(costs, name), 5) for name in ("processor_hours", "gpu_hours")}
    return costs.model_copy(update=hours)

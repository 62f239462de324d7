"""What the pairs that a run made took: of time on devices, of evaluations; total and by style."""

from dataclasses import dataclass, field

from flows import storage
from flows.costs.rates import Measured, Place, keep_measured, settling, size_class
from flows.costs.style_reuse import Encoded
from flows.records.attempts import LossSample, PairRecord
from flows.records.runs import RunCosts, StyleCosts
from flows.wording import printable
from nst_core.machine.hardware import PrecisionName
from nst_core.machine.work import EXACT_PASS, style_work, work_of

MOST_STYLES = 50
"""Named in a summary; the dearest of more."""

FEWEST_EVALUATIONS = 5
"""Of a pair that tells a rate: of fewer, what is done but once is most of its time."""


@dataclass
class Spent:
    """Takes the records of a run's own pairs, one after the other.

    Args:
        on_gpus: whether its workers have a GPU each.
        threads: of the CPU for each worker.
    """

    on_gpus: bool
    threads: int
    _by_style: dict[str, StyleCosts] = field(default_factory=dict)
    _rates: dict[int, list[float]] = field(default_factory=dict)
    _settled: dict[str, list[int]] = field(default_factory=dict)
    _encoded: Encoded = field(default_factory=Encoded)
    _seconds: float = 0.0
    _backbone: str = ""
    _gpus: set[str] = field(default_factory=set)

    def add(self, record: PairRecord) -> None:
        """Take a pair in."""
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
        """Of a run that took so many seconds in all; None where it made nothing."""
        if not self._by_style or seconds <= 0:
            return None
        styles = self._by_style.values()
        pairs, evaluations = sum(one.pairs for one in styles), sum(one.evaluations for one in styles)
        dearest = sorted(
            self._by_style.items(), key=lambda item: (-item[1].processor_hours - item[1].gpu_hours, item[0])
        )
        return RunCosts(
            pairs_per_hour=round(pairs / seconds * 3600, 2),
            evaluations_per_second=round(evaluations / seconds, 3),
            evaluations=evaluations,
            processor_hours=round(sum(one.processor_hours for one in styles), 5),
            gpu_hours=round(sum(one.gpu_hours for one in styles), 5),
            by_style={name: _rounded(one) for name, one in dearest[:MOST_STYLES]},
        )

    def keep_rates(self, workers: int, precision: PrecisionName, seconds: float) -> None:
        """Let later estimates know how fast this machine was, in a run of so many seconds in all."""
        if not self._rates:
            return
        keep_measured(
            Measured(
                device="cuda" if self.on_gpus else "cpu",
                precision=precision,
                backbone=self._backbone,
                gpu=", ".join(sorted(self._gpus)),
                workers=workers,
                rates={size: tuple(found) for size, found in self._rates.items()},
                settled={kind: tuple(found) for kind, found in self._settled.items()},
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
        work += self._encoded.pictures_for(record, max(size)) * style_work(*size, place)
        self._rates.setdefault(size_class(*size), []).append(round(record.seconds / work, 6))


def gpu_of(device: str) -> str:
    """The model of a GPU, in what `nst_core.machine.hardware.describe_device` says of it; empty for the CPU.

    >>> gpu_of("cuda:1 (NVIDIA H200)"), gpu_of("cpu")
    ('NVIDIA H200', '')
    """
    return device.partition(" (")[2].removesuffix(")")


def evaluations_of(record: PairRecord) -> tuple[int, ...]:
    """At every level, the coarsest first and full size last."""
    last: dict[int, LossSample] = {sample.level: sample for sample in record.history}
    coarse = [last[level].evaluation for level in sorted(last, reverse=True) if level > 0]
    return (*coarse, record.evaluations)


def _rounded(costs: StyleCosts) -> StyleCosts:
    hours = {name: round(getattr(costs, name), 5) for name in ("processor_hours", "gpu_hours")}
    return costs.model_copy(update=hours)

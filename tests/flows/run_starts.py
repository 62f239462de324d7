"""Messages that a run has started, for the tests of everything that watches runs."""

from flows.records.pairs import RejectedRow
from flows.records.plans import PlannedPair
from flows.records.runs import RunStarted
from tests.flows.builders import FINGERPRINT, pair_spec


def run_of(
    *sizes_px: int,
    workers: tuple[str, ...] = ("cpu",),
    backbone: str = "vgg19",
    rejected: tuple[RejectedRow, ...] = (),
    run_id: str = "a run",
) -> RunStarted:
    """Return the start of a run with pairs of these sizes, named pair-2, pair-3, ..."""
    specs = [pair_spec(row, options={"size_px": size, "steps": 10}) for row, size in enumerate(sizes_px, start=2)]
    todo = [PlannedPair(spec, "x", "y", FINGERPRINT) for spec in specs]
    return RunStarted(run_id, "/out", todo, 0, rejected, workers, ("cpu",) * len(workers), backbone, "fp32")

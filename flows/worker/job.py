"""What every pair of a run shares."""

from dataclasses import dataclass

from nst_core.backbones.catalogue import WeightsFile
from nst_core.runtime import PrecisionName


@dataclass(frozen=True)
class Job:
    """What every pair of a run shares."""

    output: str
    run_id: str
    weights: WeightsFile
    precision: PrecisionName

"""Writes history.parquet: the losses of a run's pairs over time, one row per evaluation that a record kept."""

import io
from array import array
from collections.abc import Callable

from flows import storage
from flows.records import layout
from flows.records.attempts import LossSample, PairRecord

WHOLE_NUMBERS = ("level", "step", "evaluation")


class HistoryTable:
    """Collects the histories of records, one record at a time; the pairs stay in that order."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str, int]] = []
        # Arrays instead of a tuple per sample: ten thousand pairs have hundreds of thousands of samples.
        self._samples = {name: array("i" if name in WHOLE_NUMBERS else "d") for name in LossSample._fields}

    def add(self, record: PairRecord) -> None:
        """Add the history of a pair."""
        self._pairs.append((record.pair_id, record.fingerprint, len(record.history)))
        for values, column in zip(self._samples.values(), zip(*record.history, strict=True), strict=False):
            values.extend(column)

    def write(self, output: str, check_hold: Callable[[], None]) -> str:
        """Write the table into an output and return its address.

        Args:
            output: the address of the output.
            check_hold: raises OutputBusy if another run has taken over the output; called directly before the file is
                written.
        """
        import numpy as np  # imported here, because pandas takes most of a second to import
        import pandas as pd

        lengths = [length for *_, length in self._pairs]
        pair_ids = [pair_id for pair_id, *_ in self._pairs]
        keys = {"pair_id": pair_ids, "fingerprint": [fingerprint for _, fingerprint, _ in self._pairs]}
        frame = pd.DataFrame(
            {name: pd.Series(values, dtype="str").repeat(lengths).array for name, values in keys.items()}
            | {name: np.frombuffer(values, values.typecode) for name, values in self._samples.items()}
        )
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        address = storage.join(output, layout.HISTORY)
        check_hold()
        storage.replace(address, buffer.getvalue())
        return address

"""history.parquet: how the losses of a run's pairs fell, one row per evaluation that a record kept."""

import io
from array import array

from flows import storage
from flows.records import layout
from flows.records.attempts import LossSample, PairRecord

WHOLE_NUMBERS = ("level", "step", "evaluation")


class HistoryTable:
    """Takes one record after the other; pairs stay in that order."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str, int]] = []
        # Plain arrays, not a tuple per sample: of ten thousand pairs there are hundreds of thousands.
        self._samples = {name: array("i" if name in WHOLE_NUMBERS else "d") for name in LossSample._fields}

    def add(self, record: PairRecord) -> None:
        """Take a pair's history in."""
        self._pairs.append((record.pair_id, record.fingerprint, len(record.history)))
        for values, column in zip(self._samples.values(), zip(*record.history, strict=True), strict=False):
            values.extend(column)

    def write(self, output: str) -> str:
        """Write the table into an output; its address."""
        import numpy as np  # here, because pandas takes most of a second to import
        import pandas as pd

        lengths = [length for *_, length in self._pairs]
        names = {"pair_id": [pair_id for pair_id, *_ in self._pairs], "fingerprint": [one for _, one, _ in self._pairs]}
        frame = pd.DataFrame(
            {name: pd.Series(values, dtype="str").repeat(lengths).array for name, values in names.items()}
            | {name: np.frombuffer(values, values.typecode) for name, values in self._samples.items()}
        )
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        address = storage.join(output, layout.HISTORY)
        storage.replace(address, buffer.getvalue())
        return address

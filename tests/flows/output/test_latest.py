"""flows.output.latest: the copy that a run keeps is read as what was handed in, whatever it is called there."""

import gzip
import io

import pandas as pd
import pytest
from builders import FINGERPRINT, run_record

from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.storage import local

FRAME = pd.DataFrame({"id": ["cat"], "content": ["c.jpg"], "style": ["s.jpg"]})


def parquet() -> bytes:
    buffer = io.BytesIO()
    FRAME.to_parquet(buffer)
    return buffer.getvalue()


KINDS = {
    "pairs.csv": FRAME.to_csv(index=False).encode(),
    "pairs.csv.gz": gzip.compress(FRAME.to_csv(index=False, sep=";").encode()),
    "pairs.jsonl": FRAME.to_json(orient="records", lines=True).encode(),
    "pairs.parquet": parquet(),
    "standard-input": b"content\tstyle\tid\nc.jpg\ts.jpg\tcat\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_retry_reads_what_was_handed_in(tmp_path, name: str) -> None:
    """By its bytes, which are kept as they were; addresses go on meaning what they meant."""
    output = str(tmp_path / "out")
    Ledger(output).start_run(run_record({"cat": FINGERPRINT}, manifest_uri=f"/in/{name}"), KINDS[name])
    latest = latest_run(output)

    assert latest.data == KINDS[name]
    assert [(pair.pair_id, pair.content) for pair in latest.manifest.pairs] == [("cat", "/in/c.jpg")]
    assert len(local.tree(f"{output}/_nst/runs")) == 2

"""flows.output.latest: the latest run's copy of its manifest is read in the original format, whatever its name."""

import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.storage import local
from nst_core.errors import OptionsError
from tests.flows.builders import FINGERPRINT, run_record

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
def test_the_manifest_of_a_run_is_read_in_its_own_format(tmp_path, name: str) -> None:
    """The kept manifest has the same bytes, is read by its format, and its relative addresses mean the same files."""
    output = str(tmp_path / "out")
    Ledger(output).start_run(run_record({"cat": FINGERPRINT}, manifest_uri=f"/in/{name}"), KINDS[name])
    latest = latest_run(output)

    assert latest.data == KINDS[name]
    assert [(pair.pair_id, pair.content) for pair in latest.manifest.pairs] == [("cat", "/in/c.jpg")]
    assert len(local.tree(f"{output}/_nst/runs")) == 2


@pytest.mark.parametrize("in_the_run", [True, False], ids=["of the run", "of the row"])
def test_options_that_an_earlier_version_allowed_stay_valid(tmp_path: Path, *, in_the_run: bool) -> None:
    """A finished pair does not become rejected because this version refuses its options for new pairs."""
    output = str(tmp_path / "out")
    odd = {"recipe": "notebook", "style_scale": 2.0, "style_blend": [1e13, 1.0]}
    columns = {} if in_the_run else {"recipe": ["notebook"], "style_scale": [2.0]}
    data = FRAME.assign(style_2="t.jpg", **columns).to_csv(index=False).encode()
    Ledger(output).start_run(run_record({"cat": FINGERPRINT}), data)
    (plan,) = Path(output).glob("_nst/runs/*/plan.json")
    written = json.loads(plan.read_text())
    plan.write_text(json.dumps(written | {"options": odd if in_the_run else {}}))
    manifest = latest_run(output).manifest

    assert [pair.options.style_scale for pair in manifest.pairs] == [2.0]
    assert not manifest.rejected
    with pytest.raises(OptionsError, match="line 2 of the manifest cannot be done with these options"):
        latest_run(output, {"steps": 3})

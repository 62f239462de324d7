"""A run on S3 with the rights of deploy/iam/run.json and no others."""

from pathlib import Path

import pytest

from flows import storage
from flows.output import lease
from flows.run.finish import finish_run
from flows.run.prepare import prepare_run
from flows.run.request import RunArguments, resolve
from flows.runners.runner import Means
from flows.settings import RunSettings, Selection
from flows.worker.batch import stylize_pairs
from tests.flows.fault_proxy import FaultProxy
from tests.flows.iam_policies import by_policy
from tests.flows.outputs import drawing

MANIFEST = b"id,content,style\nowl,owl.png,waves.png\ngone,gone.png,waves.png\nbad,,waves.png\n"


@pytest.mark.parametrize(
    ("manifest", "output"),
    [("inbox/spring.csv.claimed-0123", "outputs/spring"), ("nightly/manifest.csv", "nightly/out")],
)
def test_the_policy_allows_everything_that_a_run_does(
    s3_bucket: str, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manifest: str, output: str
) -> None:
    """A run and a retry of its failures read, write and mark everything that they need, and no request is refused."""
    monkeypatch.chdir(tmp_path)
    root, refused = f"{s3_bucket}/nst", list[str]()
    folder = storage.parent_of(f"{root}/{manifest}")
    storage.replace(f"{root}/{manifest}", MANIFEST)
    for name in ("owl", "waves"):
        storage.replace(f"{folder}/{name}.png", drawing(name))
    s3_proxy.rule = by_policy("run", s3_bucket.removeprefix("s3://"), "nst", refused)
    settings = RunSettings(backbone="stub", timeline="gif")
    first = RunArguments(f"{root}/{output}", f"{root}/{manifest}", settings=settings)
    again = RunArguments(f"{root}/{output}", settings=settings, selection=Selection(only_failed=True))
    for asked in (first, again):
        with lease.held(asked.output) as hold:
            run = prepare_run(resolve(asked), Means(("cpu",), ("cpu",), "fp32"))
            for batch in run.plan.batches:
                stylize_pairs(lambda _said: None, batch.pairs, run.job, "cpu")
            summary = finish_run(run, check_hold=hold.check).summary
            assert (summary.succeeded, summary.failed, summary.rejected, summary.pending) == (1, 1, 1, 0)

    assert refused == []
    assert storage.identity(f"{root}/{output}/_SUCCESS") is not None

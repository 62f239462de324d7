"""Plan a run and store the plan in the output: from then on it can be killed at any moment and resumed.

The steps are: request -> weights -> what is done already -> plan -> stored.
"""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from flows import storage, stub
from flows.errors import OutputBusy
from flows.manifest.refusals import refusals_of
from flows.output.ledger import Ledger, LedgerIndex
from flows.output.ownership import check_ownership
from flows.records import layout
from flows.records.plans import RunPlan
from flows.records.runs import RunRecord, RunStarted
from flows.records.timestamps import utc_now
from flows.run.plan import Earlier, Share, failed_fingerprints, plan_run
from flows.run.request import RunRequest
from flows.runners.runner import Means
from flows.stub import Stub
from flows.wording import printable
from flows.worker.job import Job
from flows.worker.weights import resolve_weights
from nst_core import __version__
from nst_core.backbones.catalogue import WeightsFile
from nst_core.images import MAX_BYTES, MAX_PIXELS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedRun:
    """A planned run: everything that is needed to do its batches and to finish it.

    Attributes:
        request: the validated request.
        record: the request as stored in the output.
        plan: the pairs to do, in batches, and the others.
        job: what the workers need to know of the run.
        means: the devices and workers that carry it out.
        began: the value of `time.monotonic` when planning began.
    """

    request: RunRequest
    record: RunRecord
    plan: RunPlan
    job: Job
    means: Means
    began: float

    @property
    def started(self) -> RunStarted:
        """The first message to everything that watches the run."""
        return RunStarted(
            run_id=self.record.run_id,
            output=self.job.output,
            todo=self.plan.todo,
            done_before=len(self.plan.done),
            rejected=self.request.manifest.rejected,
            workers=self.means.names,
            devices=self.means.devices,
            backbone=self.record.backbone,
            precision=self.record.precision,
        )


def prepare_run(request: RunRequest, means: Means, check_hold: Callable[[], None] = lambda: None) -> PreparedRun:
    """Find the weights, plan the run, and store the plan in the output.

    Args:
        request: the validated request.
        means: the devices and workers that will carry it out.
        check_hold: raises OutputBusy if another run has taken over the output, whose files for the whole output are
            then left alone.

    Raises:
        OutputBusy: if `check_hold` raises it, or another run was made since a retry was requested.
        OutputError, WeightsError, OptionsError, StorageError, ManifestError: if the run cannot be planned; no pair has
            been begun then.
    """
    began = time.monotonic()
    check_ownership(request.output)
    weights = resolve_weights(request.settings)
    ledger = Ledger(request.output)
    _check_is_latest(request, ledger)
    index = ledger.index()
    ledger.save_snapshot(index)
    for pair_id, _ in sorted(index.imageless):
        logger.warning("%s: the image of its record does not exist; it is computed again if a row asks for it", pair_id)
    for note in request.manifest.notes:
        logger.info("%s: %s", printable(storage.name_of(request.manifest.uri)), printable(note))
    earlier = _earlier(request, ledger, index)
    plan = plan_run(
        request.manifest,
        weights.sha256,
        request.selection,
        earlier,
        Share(len(means.devices), request.settings.pairs_per_task),
        request.limits.readable,
    )
    if plan.failed_for_good:
        logger.warning(
            "rows skipped, because they would only fail again: %d; `nst status` names them, `nst retry %s` tries them "
            "anyway",
            plan.failed_for_good,
            printable(request.output),
        )
    if changed := _changed_since_done(plan, index):
        logger.warning(
            "pairs that are computed again, because their images, options, weights or the engine have changed since "
            "they were done: %d",
            changed,
        )
    record = _record(request, means, weights.sha256, plan, earlier)
    check_hold()  # here, because planning takes a while
    storage.remove(storage.join(request.output, layout.SUCCESS))
    ledger.start_run(record, request.data, check_hold)
    for shortfall in storage.shortfalls(request.output):  # here, because every way of writing has been used by now
        logger.warning("the storage of %s has its limits: %s", request.output, shortfall)
    return PreparedRun(request, record, plan, _job(request, record, weights, means), means, began)


def places_of(run: PreparedRun) -> list[str]:
    """Return every address that a worker reads or writes."""
    pairs = [pair.spec for pair in run.plan.todo]
    weights = [run.job.weights_address] if run.job.weights_address is not None else []
    return [run.job.output, *weights, *(address for pair in pairs for address in pair.pictures.values())]


def new_run_id() -> str:
    """Return a new run id that sorts by time, such as `20260131T235959Z-1a2b3c`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def _check_is_latest(request: RunRequest, ledger: Ledger) -> None:
    """Refuse a retry of a run after which another one was made, whose table and options it would replace.

    The request is resolved before the output is held, so another run may have begun and ended in between.

    Raises:
        OutputBusy: if the run that is retried is not the latest one any more.
    """
    if request.latest is None:
        return
    expected, found = request.latest.run_id, ledger.latest_run_id()
    if found != expected:
        raise OutputBusy(
            f"{printable(request.output)}: this retry was to repeat what failed in run {printable(expected)}, the "
            f"latest when it was requested; found that another run, {printable(found)}, was made since. Run the same "
            "command again to retry what failed in that one"
        )


def _earlier(request: RunRequest, ledger: Ledger, index: LedgerIndex) -> Earlier:
    if request.selection.only_failed:
        return Earlier(index, request.latest or ledger.latest_run())
    return Earlier(index, failed_for_good=partial(ledger.failed_for_good, index=index))


def _changed_since_done(plan: RunPlan, index: LedgerIndex) -> int:
    """Return how many of the pairs to do were done before with another fingerprint."""
    done = {pair_id for pair_id, _ in index.done}
    return sum(pair.spec.pair_id in done for pair in plan.todo)


def _fingerprints(plan: RunPlan, retried: RunRecord | None) -> dict[str, str]:
    current = {pair.spec.pair_id: pair.fingerprint for pair in (*plan.done, *plan.todo, *plan.unselected)}
    if retried is None:
        return current
    # A retry does not touch pairs that did not fail, even if an input has changed since: their records stay valid.
    earlier = retried.fingerprints
    return current | {pair.spec.pair_id: earlier.get(pair.spec.pair_id, pair.fingerprint) for pair in plan.unselected}


def _retrying(plan: RunPlan, earlier: Earlier) -> dict[str, str]:
    if earlier.retried is None:
        return {}
    failed = failed_fingerprints(earlier.retried, earlier.index)
    left = [pair for pair in plan.unselected if pair.spec.pair_id in earlier.retried.retrying]
    return {pair.spec.pair_id: failed.get(pair.spec.pair_id, "") for pair in (*plan.todo, *left)}


def _record(request: RunRequest, means: Means, weights_sha256: str, plan: RunPlan, earlier: Earlier) -> RunRecord:
    return RunRecord(
        run_id=new_run_id(),
        manifest_uri=request.manifest.uri,
        manifest_sha256=request.manifest.sha256,
        options=request.options,
        overrides=dict(request.overrides),
        settings=request.settings.model_dump(mode="json"),
        backbone=request.settings.backbone,
        weights_sha256=weights_sha256,
        engine_version=__version__,
        device=",".join(dict.fromkeys(means.devices)),
        precision=means.precision,
        started_at=utc_now(),
        fingerprints=_fingerprints(plan, earlier.retried),
        retrying=_retrying(plan, earlier),
        refused=refusals_of(request.manifest),
    )


def _job(request: RunRequest, record: RunRecord, weights: WeightsFile, means: Means) -> Job:
    settings, limits = request.settings, request.limits
    return Job(
        request.output,
        record.run_id,
        weights,
        means.precision,
        threads=means.threads,
        weights_address=settings.weights,
        max_image_bytes=MAX_BYTES if limits.max_image_bytes is None else limits.max_image_bytes,
        max_image_pixels=MAX_PIXELS if limits.max_image_pixels is None else limits.max_image_pixels,
        readable=limits.readable,
        writable=limits.writable,
        stub=Stub.parsed(settings.stub or "") if settings.backbone == stub.NAME else None,
        timeline=settings.timeline,
    )

"""One run without Prefect: prepare it, and finish it. Between the two, the batches are carried out.

read manifest -> weights -> plan -> keep the plan ... batches ... -> table -> summary -> _SUCCESS
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from flows import storage, stub
from flows.errors import CredentialsExpired, OutputError, StorageError
from flows.limits import Limits
from flows.manifest.refusals import refusals_of
from flows.output.latest import latest_manifest
from flows.output.ledger import Ledger, LedgerIndex
from flows.output.results import Row, counts, table_rows, write_history, write_tables
from flows.records import Manifest, RunPlan, RunRecord, RunSummary, utc_now
from flows.run.plan import check_ids, plan_run
from flows.runners.ray.cluster import check_answers
from flows.runners.runner import Means, local_means
from flows.settings import RunSettings, Selection
from flows.stub import Stub
from flows.worker import Job
from flows.worker.weights import weights_here
from nst_core import __version__
from nst_core.backbones.catalogue import WeightsFile
from nst_core.images import MAX_BYTES
from nst_core.options import StylizeOptions

logger = logging.getLogger(__name__)

NO_OVERRIDES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class PreparedRun:
    """Everything that the batches and the end of a run need."""

    record: RunRecord
    manifest: Manifest
    plan: RunPlan
    job: Job
    means: Means
    began: float
    settings: RunSettings


@dataclass(frozen=True)
class FinishedRun:
    """A run in numbers, and the rows of its table."""

    summary: RunSummary
    rows: list[Row]


def check_run(manifest: Manifest, settings: RunSettings, selection: Selection) -> None:
    """Refuse at once, with one clear error, what `prepare_run` would refuse; nothing is written.

    Raises:
        WeightsError, OptionsError, StorageError, ManifestError: as `prepare_run`.
        ClusterError: if no Ray cluster answers at the address.
    """
    check_ids(manifest, selection)
    resolve_weights(settings)
    if settings.runner == "ray":
        check_answers(settings.ray_address)
    else:
        local_means(settings)


def check_places(output: str, settings: RunSettings, limits: Limits) -> None:
    """Refuse an output, a weights file or a cluster that the operator's limits keep closed.

    Raises:
        NotAllowed: with what is allowed.
    """
    limits.check_writable(output)
    if settings.runner == "ray":
        limits.check_cluster(settings.ray_address)
    if settings.weights is not None:
        limits.check_readable(settings.weights)


def prepare_run(
    data: bytes,
    manifest: Manifest,
    output: str,
    options: StylizeOptions,
    settings: RunSettings,
    selection: Selection,
    overrides: Mapping[str, Any] = NO_OVERRIDES,
    max_image_bytes: int | None = None,
    means: Means | None = None,
) -> PreparedRun:
    """Find the weights, plan, and keep the plan in the output.

    Args:
        data: the manifest, byte for byte.
        manifest: what it says, with `overrides` on top of every row's options.
        output: local folder or `s3://` prefix.
        options: the run's, for rows that do not say otherwise.
        settings: backbone, device, precision.
        selection: which rows.
        overrides: kept with the plan, so that the table says what was done.
        max_image_bytes: a picture of more is refused; None is the engine's own limit.
        means: what it is carried out with; None is this machine.

    Raises:
        WeightsError, OptionsError, StorageError, ManifestError: before anything is done.
    """
    began = time.monotonic()
    weights = resolve_weights(settings)
    means = means or local_means(settings)
    ledger = Ledger(output)
    index = ledger.index()
    ledger.save_snapshot(index)
    for pair_id, _ in sorted(index.imageless):
        logger.warning("%s: its record names an image that is not there; if it is asked for, it is made anew", pair_id)
    latest, failed_before = _latest_failures(output, index) if selection.only_failed else (None, frozenset())
    earlier = latest.fingerprints if latest else {}
    plan = plan_run(
        manifest, index, weights.sha256, selection, failed_before, settings.pairs_per_task, len(means.devices), earlier
    )
    run_id = new_run_id()
    fingerprints = {pair.spec.pair_id: pair.fingerprint for pair in (*plan.done, *plan.todo, *plan.unselected)}
    if latest is not None:
        # A retry leaves alone what did not fail, also where an input has changed since: its record stands.
        fingerprints |= {
            pair.spec.pair_id: earlier.get(pair.spec.pair_id, pair.fingerprint) for pair in plan.unselected
        }
    record = RunRecord(
        run_id=run_id,
        manifest_uri=manifest.uri,
        manifest_sha256=manifest.sha256,
        options=options,
        overrides=dict(overrides),
        settings=settings.model_dump(mode="json"),
        backbone=settings.backbone,
        weights_sha256=weights.sha256,
        engine_version=__version__,
        device=",".join(dict.fromkeys(means.devices)),
        precision=means.precision,
        started_at=utc_now(),
        fingerprints=fingerprints,
        refused=refusals_of(manifest),
    )
    storage.remove(storage.join(output, "_SUCCESS"))
    ledger.start_run(record, data)
    job = Job(
        output,
        run_id,
        weights,
        means.precision,
        threads=means.threads,
        weights_address=settings.weights,
        max_image_bytes=MAX_BYTES if max_image_bytes is None else max_image_bytes,
        stub=Stub.parsed(settings.stub or "") if settings.backbone == stub.NAME else None,
        timeline=settings.timeline,
    )
    return PreparedRun(record, manifest, plan, job, means, began, settings)


def finish_run(run: PreparedRun) -> FinishedRun:
    """Build the table from the ledger, write it with the summary, and mark the output if no row is left.

    Raises:
        OutputError: if the rows do not add up to the manifest's: nothing may be lost.
    """
    output = run.job.output
    ledger = Ledger(output)
    index = ledger.index()
    ledger.save_snapshot(index)
    rows = table_rows(run.manifest, run.record, ledger, index)
    write_history(run.record, output, ledger, index)
    del index  # the text of every record, which the tables need no more
    if len(rows) != len(run.manifest.pairs) + len(run.manifest.rejected):
        raise OutputError(f"{output}: the table has {len(rows)} rows, the manifest has another number")
    csv_address, parquet_address = write_tables(rows, output)
    by_status = counts(rows)
    now = [row for row in rows if row["run_id"] == run.record.run_id and row["status"] == "succeeded"]
    summary = RunSummary(
        run_id=run.record.run_id,
        manifest=run.manifest.uri,
        output=output,
        rows=len(rows),
        **by_status,
        done_before=len(run.plan.done),
        stylized_now=len(now),
        seconds=round(time.monotonic() - run.began, 3),
        seconds_per_pair=round(sum(row["seconds"] for row in now) / len(now), 3) if now else None,
        device=run.record.device,
        precision=run.record.precision,
        backbone=run.record.backbone,
        results_csv=csv_address,
        results_parquet=parquet_address,
    )
    storage.replace(storage.join(output, "summary.json"), summary.model_dump_json(indent=1).encode())
    if by_status["pending"] == 0:
        _mark_complete(output, summary, run.record.manifest_sha256, rows)
    return FinishedRun(summary, rows)


def check_credentials(run: PreparedRun, summary: RunSummary) -> None:
    """Say so if rows were left because credentials ran out: no more runs will do them until they are renewed.

    Raises:
        CredentialsExpired: then nothing was wrong with the rows, which are pending.
    """
    if summary.pending <= len(run.plan.unselected):
        return
    for address in (run.plan.todo[-1].spec.content, run.plan.todo[-1].spec.style):
        try:
            storage.identity(address)
        except CredentialsExpired:
            raise
        except StorageError:
            continue  # the row's own line in the log has said it


def settings_again(run: RunRecord) -> RunSettings:
    """Settings that give an earlier run's results again; where and how fast is not among them."""
    kept: dict[str, Any] = {
        name: run.settings[name] for name in ("backbone", "weights", "precision", "stub") if name in run.settings
    }
    if run.backbone != stub.NAME:
        kept["weights_sha256"] = run.weights_sha256
    return RunSettings.model_validate(kept)


def places_of(run: PreparedRun) -> list[str]:
    """Every address that a worker reads or writes."""
    pairs = [pair.spec for pair in run.plan.todo]
    weights = [run.settings.weights] if run.settings.weights is not None else []
    return [run.job.output, *weights, *(address for pair in pairs for address in (pair.content, pair.style))]


def resolve_weights(settings: RunSettings) -> WeightsFile:
    """The weights file of a run, its sha256 checked; one on S3 is copied to this machine first.

    Raises:
        WeightsError: if there is none, or it is not the one asked for.
        StorageError: if it cannot be read.
    """
    if settings.backbone == stub.NAME:
        return stub.WEIGHTS
    return weights_here(settings.backbone, settings.weights, settings.weights_sha256)


def new_run_id() -> str:
    """A name that sorts by time: `20260131T235959Z-1a2b3c`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def _latest_failures(output: str, index: LedgerIndex) -> tuple[RunRecord, frozenset[str]]:
    """The latest run, and the ids of the pairs that failed in it."""
    run, _, manifest = latest_manifest(output)
    rows = table_rows(manifest, run, Ledger(output), index)
    return run, frozenset(row["pair_id"] for row in rows if row["status"] == "failed")


def _mark_complete(output: str, summary: RunSummary, manifest_sha256: str, rows: list[Row]) -> None:
    images = sorted((row["output"], row["output_sha256"]) for row in rows if row["status"] == "succeeded")
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in images)  # as sha256sum prints and checks it
    marker = {
        "run_id": summary.run_id,
        "manifest_sha256": manifest_sha256,
        "images_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "rows": summary.rows,
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "rejected": summary.rejected,
        "results_csv_sha256": hashlib.sha256(storage.read(summary.results_csv)).hexdigest(),
        "results_parquet_sha256": hashlib.sha256(storage.read(summary.results_parquet)).hexdigest(),
    }
    storage.replace(storage.join(output, "_SUCCESS"), json.dumps(marker, indent=1).encode())

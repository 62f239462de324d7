"""What a run was asked, resolved once: for the command line and the flow alike, before anything is written.

`Asked` is what the caller gave, as it came; `RunRequest` is what it means here, with the manifest read and parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows import storage, stub
from flows.errors import ManifestError
from flows.limits import Limits, limits_in_force
from flows.manifest.load import load_manifest
from flows.manifest.refusals import within_limits
from flows.manifest.stdin import STANDARD_INPUT
from flows.output.latest import latest_run
from flows.output.ownership import check_ours
from flows.records import layout
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.run.plan import check_ids
from flows.runners.choose import check_runner
from flows.settings import RunSettings, Selection
from flows.worker.weights import resolve_weights
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions
from nst_core.options.stylize_options import put_over


@dataclass(frozen=True)
class Asked:
    """What a caller asks for.

    Attributes:
        output: local folder or `s3://` prefix.
        manifest: its address, or `-` for standard input; None takes the manifest and options of the output's latest
            run, as a retry does.
        options: for rows that do not say otherwise; None takes the defaults.
        settings: None takes the defaults, or what decides the results of the latest run.
        overrides: without a manifest, options that go on top of those of every row that is done again.
    """

    output: str
    manifest: str | None = None
    options: StylizeOptions | None = None
    settings: RunSettings | None = None
    selection: Selection = field(default_factory=Selection)
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRequest:
    """A run as it is to be done.

    Attributes:
        output: absolute, and within the limits, like all other places here.
        data: the manifest, byte for byte.
        manifest: what it says, with `overrides` on top of every row's options.
        options: for rows that did not say otherwise.
        overrides: all that go on top of the rows' own, those of the runs that are done again included.
        limits: what the operator allows.
        latest: the run that is done again, where there was no manifest.
    """

    asked: Asked
    output: str
    data: bytes
    manifest: Manifest
    options: StylizeOptions
    settings: RunSettings
    selection: Selection
    overrides: Mapping[str, Any]
    limits: Limits
    latest: RunRecord | None = None


def resolve(asked: Asked, *, strict: bool = False) -> RunRequest:
    """What was asked, with the manifest read and every place checked against the operator's limits.

    Args:
        asked: by whoever starts the run.
        strict: whether what the limits do not list is closed: for whatever is not started by a person.

    Raises:
        NotAllowed, LimitsError: if the operator's limits keep a place, an option or a cluster closed.
        ManifestError: if the manifest cannot be read or used as a whole.
        OutputError: if there is no manifest, and nothing was ever run into the output.
        OptionsError: if the overrides do not go with a row's own options, or not with a manifest.
    """
    limits = limits_in_force(strict=strict)
    if strict and asked.manifest == STANDARD_INPUT:
        raise ManifestError("expected the address of a manifest, found '-': a deployment has no standard input")
    output = storage.absolute(asked.output)
    limits.check_writable(output)
    request = _again(asked, output, limits) if asked.manifest is None else _anew(asked, asked.manifest, output, limits)
    check_places(output, request.settings, limits)
    return request


def check_feasible(request: RunRequest) -> None:
    """Refuse at once, with one clear error, what could not be carried out; nothing is written.

    Raises:
        ManifestError: if a selected id is none of the manifest's.
        OutputError: if a run would write over files that no run wrote.
        WeightsError, StorageError: if there are no weights, or not those asked for.
        OptionsError: if this machine has no such device.
        ClusterError: if no Ray cluster answers at the address.
    """
    check_ids(request.manifest, request.selection)
    check_ours(request.output)
    check_means(request.settings)


def check_means(settings: RunSettings) -> None:
    """Refuse at once weights, a device or a cluster that there is not.

    Raises:
        WeightsError, StorageError, OptionsError, ClusterError: as `check_feasible`.
    """
    resolve_weights(settings)
    check_runner(settings)


def check_places(output: str, settings: RunSettings, limits: Limits) -> None:
    """Refuse an output, a weights file or a cluster that the operator's limits keep closed.

    What lies deeper in the output is judged again with every write, see `Limits.writing`.

    Raises:
        NotAllowed: with what is allowed.
    """
    for place in (output, *(storage.join(output, folder) for folder in layout.FOLDERS)):
        limits.check_writable(place)
    if settings.runner == "ray":
        limits.check_cluster(settings.ray_address)
    if settings.weights is not None:
        limits.check_readable(settings.weights)


def settings_again(run: RunRecord) -> RunSettings:
    """Settings that give an earlier run's results again; where and how fast is not among them."""
    kept: dict[str, Any] = {
        name: run.settings[name] for name in ("backbone", "weights", "precision", "stub") if name in run.settings
    }
    if run.backbone != stub.NAME:
        kept["weights_sha256"] = run.weights_sha256
    return RunSettings.model_validate(kept)


def _anew(asked: Asked, manifest: str, output: str, limits: Limits) -> RunRequest:
    if asked.overrides:
        raise OptionsError("overrides go with a run without a manifest; with one, give options")
    options = asked.options or StylizeOptions()
    data, loaded = load_manifest(manifest, options, limits)
    settings = asked.settings or RunSettings()
    return RunRequest(asked, output, data, loaded, options, settings, asked.selection, {}, limits)


def _again(asked: Asked, output: str, limits: Limits) -> RunRequest:
    limits.check_options(asked.overrides)
    latest = latest_run(output, asked.overrides)
    run, loaded = latest.record, within_limits(latest.manifest, limits)
    overrides = put_over(run.overrides, asked.overrides)
    settings = asked.settings or settings_again(run)
    return RunRequest(
        asked, output, latest.data, loaded, run.options, settings, asked.selection, overrides, limits, latest=run
    )

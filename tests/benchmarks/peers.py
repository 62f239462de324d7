"""Time to equal saved-image loss: each peer runs a number of steps, then this project until its PNG is as good.

python -m tests.benchmarks.peers --json tests/benchmarks/results/peers.json
python -m tests.benchmarks.peers --reuse tests/benchmarks/results/*.json --json again.json
python -m tests.benchmarks.peers --content MY.jpg --style MY.jpg
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.neural_style_peer import VERSION, install
from tests.benchmarks.ours import MARGIN
from tests.benchmarks.pairs import PAIRS, save_pair
from tests.benchmarks.peer_commands import NOTEBOOK, PASTICHE, Peer, Task
from tests.benchmarks.pictures import save_square
from tests.benchmarks.processes import CommandFailed, Finished, run_timed
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import Pair, exact_backbone, score
from tests.benchmarks.spread import Spread, spread
from tests.benchmarks.theirs import Theirs

PEERS = ("pastiche", "notebook", "neural-style")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare with every peer at every size and number of steps."""
    arguments = _arguments(argv)
    report = Report("peers", arguments, {"neural-style": VERSION} if "neural-style" in arguments.peers else None)
    report.note(
        f"Ours first aims {MARGIN:.2%} below the peer's saved loss; a PNG that misses it is done again from the start, "
        "in the same time."
    )
    earlier = Earlier.read(arguments.reuse, arguments.device)
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder, scorer = Path(name), exact_backbone()
        for peer in _peers(arguments.peers, folder, report):
            theirs = Theirs(peer, folder, scorer, earlier, arguments.peer_repeats, arguments.device)
            _compare(theirs, arguments, report)
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", type=Path, nargs="+", default=[], help="pictures of your own, not the spread")
    parser.add_argument("--style", type=Path, nargs="+", default=[], help="one per --content")
    parser.add_argument("--pairs", type=int, metavar="K", help=f"only the first K of the spread's {len(PAIRS)} pairs")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 500], help="of the peer")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["pastiche"])
    parser.add_argument("--repeats", type=int, default=1, help="of ours")
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="of ours and of the peers; the notebook is always on the CPU")
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="ours does each pair N times at once, in one process"
    )
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of ours")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], metavar="JSON", help="take what is known of the peers from here"
    )
    add_json_option(parser)
    arguments = parser.parse_args(argv)
    if len(arguments.content) != len(arguments.style):
        parser.error("--content and --style take equally many files")
    return arguments


def _peers(names: Sequence[str], folder: Path, report: Report) -> list[Peer]:
    known = {"pastiche": PASTICHE, "notebook": NOTEBOOK}
    peers = [known[name] for name in names if name in known]
    if "neural-style" in names:
        try:
            peers.append(install(folder))
        except CommandFailed as error:
            report.note(f"neural-style could not be installed: {error}")
            report.add({"peer": "neural-style", "failed": str(error)})
    return peers


def _compare(theirs: Theirs, arguments: argparse.Namespace, report: Report) -> None:
    for size in arguments.size:
        for name, pair in pairs_of(arguments, size, theirs.folder):
            for steps in arguments.steps:
                head, task = theirs.head(name, size, steps), theirs.task(pair, size, steps)
                try:
                    report.add(head | _one(theirs, head, task, arguments))
                except CommandFailed as error:
                    report.add(head | {"failed": str(error)})


def pairs_of(arguments: argparse.Namespace, size_px: int, folder: Path) -> list[tuple[str, Pair]]:
    """Names and pairs: the user's own, or those of the spread, or its first `--pairs`."""
    own = [
        Pair(save_square(content, size_px, folder), save_square(style, size_px, folder))
        for content, style in zip(arguments.content, arguments.style, strict=True)
    ]
    if own:
        return [(pair.name, pair) for pair in own]
    return [(pair.name, save_pair(pair, size_px, folder)) for pair in PAIRS[: arguments.pairs]]


def _one(theirs: Theirs, head: Row, task: Task, arguments: argparse.Namespace) -> Row:
    part = theirs.part(head, task)
    target, recipe = part["peer_saved_loss"], part["recipe"]
    output = theirs.folder / "ours.png"
    runs = [run_ours(task.pair, recipe, target, output, arguments) for _ in range(arguments.repeats)]
    outcomes = [json.loads(run.stdout) for run in runs]
    ours = spread([run.seconds for run in runs])
    saved = score(output, task.pair, recipe, theirs.scorer).total
    return part | {
        "our_saved_loss": saved,
        "reached": saved <= target and all(outcome["reached"] for outcome in outcomes),
        "our_seconds": dataclasses.asdict(ours),
        "our_engine_seconds": dataclasses.asdict(_of(outcomes, "engine_seconds")),
        "our_evaluations": [outcome["evaluations"] for outcome in outcomes],
        "our_attempts": [outcome["attempts"] for outcome in outcomes],
        "our_precision": outcomes[0]["precision"],
        "our_batch": arguments.batch,
        "times_faster": part["peer_seconds"]["median"] / ours.median * arguments.batch,
    }


def run_ours(pair: Pair, recipe: str, target: float, output: Path, arguments: argparse.Namespace) -> Finished:
    """Run this project once on a pair, as a new process."""
    options = [part for one in arguments.option for part in ("--option", one)]
    return run_timed(
        [
            *(sys.executable, "-m", "tests.benchmarks.ours", "--recipe", recipe, "--target", repr(target)),
            *("--content", str(pair.content), "--style", str(pair.style), "--output", str(output)),
            *("--device", arguments.device, "--precision", arguments.precision, *options),
            *("--batch", str(arguments.batch)),
        ]
    )


def _of(outcomes: list[dict[str, Any]], name: str) -> Spread:
    return spread([outcome[name] for outcome in outcomes])


if __name__ == "__main__":
    main()

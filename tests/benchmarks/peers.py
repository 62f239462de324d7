"""Time to equal saved-image loss: each peer runs so many steps, then this project until its PNG is as good.

python -m tests.benchmarks.peers --size 256 512 --steps 100 500 --json tests/benchmarks/results/peers.json
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nst_core.backbones.backbone import Backbone
from tests.benchmarks.neural_style_peer import VERSION, install
from tests.benchmarks.ours import MARGIN
from tests.benchmarks.peer_commands import NOTEBOOK, PASTICHE, Peer, Task
from tests.benchmarks.pictures import sample, save_square
from tests.benchmarks.processes import CommandFailed, Finished, run_timed
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.scoring import Pair, exact_backbone, score
from tests.benchmarks.spread import Spread, spread

PEERS = ("pastiche", "notebook", "neural-style")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare with every peer at every size and number of steps."""
    arguments = _arguments(argv)
    report = Report("peers", arguments, {"neural-style": VERSION} if "neural-style" in arguments.peers else None)
    report.note(
        f"Ours first aims {MARGIN:.1%} below the peer's saved loss; a PNG that misses it is done again from the start, "
        "in the same time."
    )
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = Path(name)
        scorer = exact_backbone()
        for peer in _peers(arguments.peers, folder, report):
            _compare(peer, folder, scorer, arguments, report)
    report.finish()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", type=Path, nargs="+", default=[sample("astronaut")])
    parser.add_argument("--style", type=Path, nargs="+", default=[sample("expressionist")], help="one per --content")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 500], help="of the peer")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--repeats", type=int, default=3, help="of ours")
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="of ours; the peers run on the CPU")
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of ours")
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


def _compare(peer: Peer, folder: Path, scorer: Backbone, arguments: argparse.Namespace, report: Report) -> None:
    for size in arguments.size:
        for content, style in zip(arguments.content, arguments.style, strict=True):
            pair = Pair(save_square(content, size, folder), save_square(style, size, folder))
            for steps in arguments.steps:
                task = Task(pair, size, steps, folder / f"{peer.name}.png")
                head = {"peer": peer.name, "pair": pair.name, "size_px": size, "peer_steps": steps}
                try:
                    report.add(head | _one(peer, task, scorer, arguments))
                except CommandFailed as error:
                    report.add(head | {"failed": str(error)})


def _one(peer: Peer, task: Task, scorer: Backbone, arguments: argparse.Namespace) -> Row:
    theirs = spread([_run_peer(peer, task).seconds for _ in range(arguments.peer_repeats)])
    target = score(task.output, task.pair, peer.recipe, scorer).total
    start = score(task.pair.content, task.pair, peer.recipe, scorer).total
    output = task.output.with_name("ours.png")
    runs = [run_ours(task.pair, peer.recipe, target, output, arguments) for _ in range(arguments.repeats)]
    outcomes = [json.loads(run.stdout) for run in runs]
    ours = spread([run.seconds for run in runs])
    saved = score(output, task.pair, peer.recipe, scorer).total
    return {
        "recipe": peer.recipe,
        "initial_loss": start,
        "peer_saved_loss": target,
        "our_saved_loss": saved,
        "reached": saved <= target and all(outcome["reached"] for outcome in outcomes),
        "peer_seconds": dataclasses.asdict(theirs),
        "our_seconds": dataclasses.asdict(ours),
        "our_engine_seconds": dataclasses.asdict(_of(outcomes, "engine_seconds")),
        "our_evaluations": [outcome["evaluations"] for outcome in outcomes],
        "our_attempts": [outcome["attempts"] for outcome in outcomes],
        "our_precision": outcomes[0]["precision"],
        "times_faster": theirs.median / ours.median,
        "times_faster_engine_only": theirs.median / _of(outcomes, "engine_seconds").median,
    }


def _run_peer(peer: Peer, task: Task) -> Finished:
    """One run of a peer, in the folder where its model file lies, unless its module lies in the project."""
    command = peer.command(task)
    task.output.unlink(missing_ok=True)
    finished = run_timed(command) if "-m" in command else run_timed(command, folder=task.output.parent)
    if not task.output.is_file():
        raise CommandFailed(f"{peer.name}: ended well, but wrote no picture")
    return finished


def run_ours(pair: Pair, recipe: str, target: float, output: Path, arguments: argparse.Namespace) -> Finished:
    """One run of ours, as a fresh process."""
    options = [part for one in arguments.option for part in ("--option", one)]
    return run_timed(
        [
            *(sys.executable, "-m", "tests.benchmarks.ours", "--recipe", recipe, "--target", repr(target)),
            *("--content", str(pair.content), "--style", str(pair.style), "--output", str(output)),
            *("--device", arguments.device, "--precision", arguments.precision, *options),
        ]
    )


def _of(outcomes: list[dict[str, Any]], name: str) -> Spread:
    return spread([outcome[name] for outcome in outcomes])


if __name__ == "__main__":
    main()

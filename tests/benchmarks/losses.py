"""The losses of `pastiche` after given numbers of steps, which take most of the time of `peers` and `bulk`.

Losses depend neither on the load nor on the speed of a machine. So this script may run beside other work, be stopped at
any time and be continued on another machine: the rows that the file already has are kept.

python -m tests.benchmarks.losses --size 512 --json tests/benchmarks/results/losses-512.json
python -m tests.benchmarks.peers --size 512 --reuse tests/benchmarks/results/losses-512.json
"""

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.pairs import BULK, PAIRS, SpreadPair, save_pair
from tests.benchmarks.peer_commands import PASTICHE
from tests.benchmarks.processes import CommandFailed
from tests.benchmarks.report import Report, Row, add_json_option
from tests.benchmarks.reuse import Earlier
from tests.benchmarks.scoring import exact_backbone
from tests.benchmarks.theirs import Theirs


def main(argv: Sequence[str] | None = None) -> None:
    """Run the peer where its loss is not known yet."""
    arguments = _arguments(argv)
    kept = Earlier.read([arguments.json] if arguments.json and arguments.json.is_file() else [])
    earlier = Earlier(kept.rows + Earlier.read(arguments.reuse).rows)
    report = Report("losses", arguments)
    # All rows are added before anything is written, so that the file never loses one.
    report.content["rows"] += kept.rows
    pairs = {"spread": PAIRS, "bulk": BULK}[arguments.pairs]
    with tempfile.TemporaryDirectory(prefix="losses-") as name:
        theirs = Theirs(PASTICHE, Path(name), exact_backbone(), earlier)
        for size, pair in itertools.product(arguments.size, pairs):
            heads = [theirs.head(pair.name, size, steps) for steps in arguments.steps]
            _add(report, theirs, [head for head in heads if kept.loss_part(head) is None], pair)
    report.finish()


def _add(report: Report, theirs: Theirs, heads: Sequence[Row], pair: SpreadPair) -> None:
    """Add the losses of one pair and size; a peer that fails is noted and does not stop the others."""
    unknown = list[Row]()
    for head in heads:
        known = theirs.earlier.loss_part(head)
        if known is None:
            unknown.append(head)
        else:
            report.add(head | known)
    if not unknown:
        return
    try:
        for head, found in zip(unknown, _found(theirs, unknown, pair), strict=True):
            report.add(head | found)
    except CommandFailed as error:
        report.note(f"{pair.name}, {unknown[0]['size_px']} px: {error}")


def _found(theirs: Theirs, heads: Sequence[Row], pair: SpreadPair) -> list[Row]:
    """Find the losses in one run of the most steps, which saves an image after each requested number of steps."""
    size, steps = heads[0]["size_px"], [head["peer_steps"] for head in heads]
    return theirs.losses(steps, theirs.task(save_pair(pair, size, theirs.folder), size, max(steps)))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", choices=("spread", "bulk"), default="spread")
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 500], help="of the peer")
    parser.add_argument("--reuse", type=Path, nargs="+", default=[], metavar="JSON", help="take losses from here too")
    add_json_option(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

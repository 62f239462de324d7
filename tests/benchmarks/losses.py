"""What the pictures of `pastiche` come to after so many steps: the long part of `peers` and `bulk`, ahead of them.

Losses do not depend on what else a machine does, nor on its speed, so this may run beside other work, be stopped at any
time and go on elsewhere: what the file has already is kept.

python -m tests.benchmarks.losses --size 512 --steps 500 --json tests/benchmarks/results/losses-512.json
python -m tests.benchmarks.peers --size 512 --steps 500 --reuse tests/benchmarks/results/losses-512.json
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
    # All of it, and before anything is written: no file ever has less than before.
    report.content["rows"] += kept.rows
    pairs = {"spread": PAIRS, "bulk": BULK}[arguments.pairs]
    with tempfile.TemporaryDirectory(prefix="losses-") as name:
        theirs = Theirs(PASTICHE, Path(name), exact_backbone(), earlier)
        for size, steps, pair in itertools.product(arguments.size, arguments.steps, pairs):
            head = theirs.head(pair.name, size, steps)
            if kept.loss_part(head) is None:
                _add(report, theirs, head, pair)
    report.finish()


def _add(report: Report, theirs: Theirs, head: Row, pair: SpreadPair) -> None:
    """A loss; one that cannot be had is said and stops no other."""
    known = theirs.earlier.loss_part(head)
    try:
        report.add(head | (known or _found(theirs, head, pair)))
    except CommandFailed as error:
        report.note(f"{head['pair']}, {head['size_px']} px, {head['peer_steps']} steps: {error}")


def _found(theirs: Theirs, head: Row, pair: SpreadPair) -> Row:
    size, steps = head["size_px"], head["peer_steps"]
    return theirs.loss(head, theirs.task(save_pair(pair, size, theirs.folder), size, steps))


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

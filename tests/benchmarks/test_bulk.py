"""bulk: the manifest that it writes for `nst run`."""

import csv
from pathlib import Path

import pytest

from tests.benchmarks.bulk import SAFETY, Named, write_manifest
from tests.benchmarks.scoring import Pair


def test_every_row_has_its_own_threshold(tmp_path: Path) -> None:
    """Each row's `loss_threshold` is a little below the peer's loss for its pair."""
    pairs = [Named(name, Pair(tmp_path / f"{name}.png", tmp_path / "style.png")) for name in ("a x c", "b x c")]

    with write_manifest(pairs, {"a--c": 100.0, "b--c": 2e9}, tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [float(row["loss_threshold"]) for row in rows] == pytest.approx([100.0 * SAFETY, 2e9 * SAFETY])
    assert [row["content"] for row in rows] == [str(tmp_path / "a x c.png"), str(tmp_path / "b x c.png")]

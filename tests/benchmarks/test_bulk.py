"""Which pairs are run, and what the manifest asks for."""

import csv
from pathlib import Path

import pytest

from tests.benchmarks.bulk import CONTENTS, SAFETY, STYLES, all_pairs, evenly, write_manifest

SIZE_PX = 16


def test_a_part_of_the_pairs_varies_in_content_and_style(tmp_path: Path) -> None:
    """Four pairs have four contents and all styles; all of them are all of them, each once."""
    pairs = all_pairs(tmp_path, SIZE_PX)
    four = evenly(pairs, 4)

    assert len({one.pair.content for one in four}) == 4
    assert len({one.pair.style for one in four}) == len(STYLES)
    assert evenly(pairs, len(pairs)) == pairs
    assert len({one.pair_id for one in pairs}) == len(CONTENTS) * len(STYLES) == 24


def test_every_row_has_its_own_threshold(tmp_path: Path) -> None:
    """A little below the loss to be reached."""
    pairs = all_pairs(tmp_path, SIZE_PX)[:2]
    targets = {pairs[0].pair_id: 100.0, pairs[1].pair_id: 2e9}

    with write_manifest(pairs, targets, tmp_path).open(newline="") as file:
        thresholds = [float(row["loss_threshold"]) for row in csv.DictReader(file)]

    assert thresholds == pytest.approx([100.0 * SAFETY, 2e9 * SAFETY])

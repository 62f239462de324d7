"""The notebook that this project started from, as a command: its formula in plain PyTorch, without optimisation.

    total = mean((F - P)^2) at conv4_2 + 1e6 * sum_l w_l * mean((F F^T - S S^T)^2) / (C M)

The whole of VGG-19's `features` runs at every step, in fp32 and torch's default layout, and Adam moves the normalised
pixels. The ReLUs work in place, so that the stored output of a convolution is the rectified one. The only part of the
engine that is used is the reader of the weights file.

python -m tests.benchmarks.notebook_baseline --content C.png --style S.png --steps 500 --output OUT.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torchvision.models
from PIL import Image
from torch import Tensor, nn

from nst_core.backbones.catalogue import IMAGENET_STD, backbone_spec
from nst_core.backbones.find import find_weights
from nst_core.backbones.weights import Convolutions, load_convolutions

CONTENT_LAYER = "conv4_2"
LAYER_OF_MODULE = {"0": "conv1_1", "5": "conv2_1", "10": "conv3_1", "19": "conv4_1", "21": "conv4_2", "28": "conv5_1"}
STYLE_WEIGHTS = {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
CONTENT_WEIGHT = 1.0
STYLE_WEIGHT = 1e6
LEARNING_RATE = 0.003


def full_features(convolutions: Convolutions) -> nn.Sequential:
    """The whole `features` of torchvision with given weights, frozen; random initialisation is skipped."""
    features: nn.Sequential = torchvision.models.vgg19(weights=None, init_weights=False).features
    modules = [module for module in features if isinstance(module, nn.Conv2d)]
    for module, (weight, bias) in zip(modules, convolutions.values(), strict=True):
        module.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        module.bias = nn.Parameter(bias, requires_grad=False)
    return features


def read_normalised(path: Path, mean: Tensor, std: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
    """An image normalised for the network; with `shape` it is resized to that height and width."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    if shape is not None and picture.size != (shape[1], shape[0]):
        picture = picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255.0
    return (pixels - mean) / std


def layer_features(image: Tensor, network: nn.Sequential) -> dict[str, Tensor]:
    """The features of every layer in `LAYER_OF_MODULE`, from one pass through the whole network."""
    kept: dict[str, Tensor] = {}
    current = image
    for name, module in network.named_children():
        current = module(current)
        if name in LAYER_OF_MODULE:
            kept[LAYER_OF_MODULE[name]] = current
    return kept


def gram(features: Tensor) -> Tensor:
    """The Gram matrix as sums over all positions, not divided by their number."""
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return torch.mm(flat, flat.t())


def total_loss(target: Tensor, network: nn.Sequential, content: dict[str, Tensor], grams: dict[str, Tensor]) -> Tensor:
    """The total loss of the formula in the module's docstring."""
    features = layer_features(target, network)
    content_loss = torch.mean((features[CONTENT_LAYER] - content[CONTENT_LAYER]) ** 2)
    style_loss = torch.zeros(())
    for layer, weight in STYLE_WEIGHTS.items():
        _, channels, height, width = features[layer].shape
        layer_loss = weight * torch.mean((gram(features[layer]) - grams[layer]) ** 2)
        style_loss = style_loss + layer_loss / (channels * height * width)
    return CONTENT_WEIGHT * content_loss + STYLE_WEIGHT * style_loss


def stylize(content: Tensor, style: Tensor, network: nn.Sequential, steps: int) -> Tensor:
    """Run the notebook's loop: Adam, starting from the content image."""
    with torch.no_grad():
        content_features = layer_features(content, network)
        style_features = layer_features(style, network)
        grams = {layer: gram(style_features[layer]) for layer in STYLE_WEIGHTS}
    target = content.clone().requires_grad_()
    optimizer = torch.optim.Adam([target], lr=LEARNING_RATE)
    for _ in range(steps):
        loss = total_loss(target, network, content_features, grams)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
    return target.detach()


def main() -> None:
    """Stylize one pair."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", type=Path, required=True)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    arguments = parser.parse_args()

    mean = torch.tensor(backbone_spec("vgg19").mean).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    network = full_features(load_convolutions(find_weights("vgg19", arguments.weights)))
    content = read_normalised(arguments.content, mean, std)
    style = read_normalised(arguments.style, mean, std, (content.shape[2], content.shape[3]))
    pixels = stylize(content, style, network, arguments.steps) * std + mean
    levels = pixels[0].clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8).permute(1, 2, 0)
    Image.fromarray(levels.contiguous().numpy()).save(arguments.output)


if __name__ == "__main__":
    main()

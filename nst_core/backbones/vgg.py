"""VGG as a function from an image to the features of named layers, cut at the deepest requested layer.

Simonyan and Zisserman, 1409.1556. The layers are those of torchvision's `features`, but that package is not imported:
it imports `torch._dynamo`, which no worker uses and every worker would wait for when it starts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nst_core.backbones.catalogue import IMAGENET_MEAN, IMAGENET_STD
from nst_core.backbones.pooling import average_pool
from nst_core.backbones.weights import Convolutions
from nst_core.errors import OptionsError, ShapeError, WeightsError
from nst_core.geometry.sizes import smallest_side
from nst_core.options.layers import channels, layer_names

FeatureMaps = dict[str, Tensor]
"""Layer name -> features, shape (N, C, H, W)."""


class VGG(nn.Module):
    """The convolutional part of VGG-16 or VGG-19, frozen.

    It takes RGB in [0, 1], subtracts `mean`, by default ImageNet's, and divides by ImageNet's standard deviation.
    """

    def __init__(
        self, architecture: str, convolutions: Convolutions, mean: tuple[float, float, float] = IMAGENET_MEAN
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.layers = layer_names(architecture)
        self.features = nn.Sequential(*(_module(name, convolutions) for name in self.layers))
        device = convolutions["conv1_1"][0].device
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", _per_channel(mean, device), persistent=False)
        self.register_buffer("std", _per_channel(IMAGENET_STD, device), persistent=False)
        self.requires_grad_(requires_grad=False)
        self.eval()

    @property
    def dtype(self) -> torch.dtype:
        """The precision of weights and features."""
        dtype: torch.dtype = next(self.features.parameters()).dtype
        return dtype

    def forward(self, image: Tensor, layers: Sequence[str], pooling: str = "max") -> FeatureMaps:
        """Return the features of the given layers, from one pass that ends at the deepest of them.

        Args:
            image: float32 RGB in [0, 1], shape (N, 3, H, W).
            layers: names such as `relu4_2`.
            pooling: "max", or "average" rescaled to keep the size of the activations.

        Raises:
            OptionsError: if this network has no such layer, or the image is too small for it.
            ShapeError: if the image has another shape.
        """
        last = self.deepest(layers, image)
        current = self.normalise(image)
        features: FeatureMaps = {}
        for name, module in zip(self.layers[: last + 1], self.features, strict=False):
            average = pooling == "average" and name.startswith("pool")
            current = average_pool(current) if average else module(current)
            if name in layers:
                features[name] = current
        return features

    def normalise(self, image: Tensor) -> Tensor:
        """Return the input of the first convolution for an image in [0, 1], in channels_last memory order."""
        normalised = (image - self.mean) / self.std
        return normalised.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def deepest(self, layers: Sequence[str], image: Tensor) -> int:
        """Return the index, in `self.layers`, of the deepest of the given layers.

        Raises:
            OptionsError: if this network has no such layer, or the image is too small for it.
            ShapeError: if the image is not of shape (N, 3, H, W).
        """
        if image.dim() != 4 or image.shape[1] != 3:
            raise ShapeError(f"expected an image of shape (N, 3, H, W), got {tuple(image.shape)}")
        unknown = [name for name in layers if name not in self.layers]
        if unknown:
            raise OptionsError(f"{self.architecture} has no layer {unknown[0]!r}; it has {', '.join(self.layers)}")
        last = max(self.layers.index(name) for name in layers)
        needed, found = smallest_side(self.layers[last]), min(image.shape[2:])
        if found < needed:
            raise OptionsError(
                f"layer {self.layers[last]} needs at least {needed} px on the short side, the image has {found} px: "
                f"raise size_px (or style_scale, if it is the style image)"
            )
        return last


def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    # Every tensor is made with explicit dtype and device: torch's defaults are the calling program's to set.
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)


def _module(name: str, convolutions: Convolutions) -> nn.Module:
    if name.startswith("pool"):
        return nn.MaxPool2d(2)
    if name.startswith("relu"):
        return nn.ReLU()  # not in place, as a loss may use the convolution's output
    return _convolution(name, *convolutions[name])


def _convolution(name: str, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    inputs, outputs = channels(name)
    if weight.shape != (outputs, inputs, 3, 3) or bias.shape != (outputs,):
        raise WeightsError(
            f"layer {name}: expected weights of shape {(outputs, inputs, 3, 3)} and {(outputs,)}, "
            f"got {tuple(weight.shape)} and {tuple(bias.shape)}"
        )
    with torch.device("meta"):  # allocates nothing, and initialises nothing with random numbers
        module = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
    module.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
    module.bias = nn.Parameter(bias)
    return module

"""A loaded network: an exact fp32 one, and a fast one where the hardware has bf16."""

import copy
from dataclasses import dataclass

import torch

from nst_core.backbones.catalogue import WeightsFile, backbone_spec
from nst_core.backbones.scheduled import ScheduledVGG
from nst_core.backbones.vgg import VGG
from nst_core.backbones.weights import load_convolutions
from nst_core.machine.hardware import PrecisionName


@dataclass(frozen=True)
class Backbone:
    """A network on a device.

    Attributes:
        exact: fp32, direct. Targets and the losses of the results table come from it.
        fast: what the pastiche is optimised with, in `precision`.
    """

    name: str
    weights_sha256: str
    device: str
    precision: PrecisionName
    exact: VGG
    fast: ScheduledVGG


def load_backbone(weights: WeightsFile, device: str = "cpu", precision: PrecisionName = "fp32") -> Backbone:
    """The backbone of a weights file on a device, its sha256 checked.

    Raises:
        WeightsError: if the file is not what it should be.
    """
    spec = backbone_spec(weights.backbone)
    network = VGG(spec.architecture, load_convolutions(weights), spec.mean)
    return wrap_network(network, weights.backbone, weights.sha256, device, precision)


def wrap_network(
    network: VGG, name: str, weights_sha256: str, device: str = "cpu", precision: PrecisionName = "fp32"
) -> Backbone:
    """A backbone around a network that is in memory already."""
    exact = network.to(device).to(memory_format=torch.channels_last)
    # Weights are cast once here: autocast would cast frozen weights again at every pass.
    cast = exact if precision == "fp32" else copy.deepcopy(exact).to(torch.bfloat16)
    cast.mean, cast.std = exact.mean, exact.std  # the image itself is normalised in fp32
    return Backbone(name, weights_sha256, device, precision, exact, ScheduledVGG(cast))

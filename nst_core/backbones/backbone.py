"""A loaded network: an exact fp32 version, and a fast version in the chosen precision."""

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
        name: the backbone's name in `catalogue`.
        weights_sha256: the sha256 of its weights file.
        device: the device it is on.
        precision: the precision of `fast`.
        exact: the fp32 network without approximations, which computes the targets and the losses of the results table.
        fast: the network with which the pastiche is optimised.
    """

    name: str
    weights_sha256: str
    device: str
    precision: PrecisionName
    exact: VGG
    fast: ScheduledVGG


def load_backbone(weights: WeightsFile, device: str = "cpu", precision: PrecisionName = "fp32") -> Backbone:
    """Load a backbone from its weights file, whose sha256 is checked, onto a device.

    Raises:
        WeightsError: if the file is not the expected one.
    """
    spec = backbone_spec(weights.backbone)
    network = VGG(spec.architecture, load_convolutions(weights), spec.mean)
    return wrap_network(network, weights.backbone, weights.sha256, device, precision)


def wrap_network(
    network: VGG, name: str, weights_sha256: str, device: str = "cpu", precision: PrecisionName = "fp32"
) -> Backbone:
    """Make a backbone of a network that is already in memory."""
    exact = network.to(device).to(memory_format=torch.channels_last)
    # Weights are cast once here: autocast would cast frozen weights again at every pass.
    cast = exact if precision == "fp32" else copy.deepcopy(exact).to(torch.bfloat16)
    cast.mean, cast.std = exact.mean, exact.std  # the image is normalised in fp32, before it is cast
    return Backbone(name, weights_sha256, device, precision, exact, ScheduledVGG(cast))

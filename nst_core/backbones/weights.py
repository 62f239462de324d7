"""Reading a weights file: its sha256 is checked at every load, and no pickled code is run."""

import hashlib
import pickle
from typing import Any

import torch
from torch import Tensor

from nst_core.backbones.catalogue import IMAGENET_STD, BackboneSpec, WeightsFile, backbone_spec
from nst_core.errors import WeightsError
from nst_core.options.layers import layer_names

Convolutions = dict[str, tuple[Tensor, Tensor]]
"""Layer name `convB_K` -> (weight (O, I, 3, 3), bias (O,)), float32, for RGB minus its mean, divided by ImageNet's
std."""


def load_convolutions(weights: WeightsFile) -> Convolutions:
    """Load the convolutions of a weights file.

    They take RGB in [0, 1] minus the backbone's mean, divided by ImageNet's std.

    Raises:
        WeightsError: if the file cannot be read, has another sha256, or does not hold this backbone.
    """
    spec = backbone_spec(weights.backbone)
    state = _load_state(weights)
    try:
        return _READERS[spec.layout](state, spec.architecture)
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise WeightsError(
            f"weights file {weights.path}: does not hold {spec.architecture} in the {spec.layout} layout: "
            f"{type(error).__name__} {error}; {_remedy(spec)}"
        ) from error


def _remedy(spec: BackboneSpec) -> str:
    """Return advice for a file that holds another network, or this one in another layout."""
    if spec.layout == "torchvision":
        return f"give torchvision's state_dict of {spec.architecture}, or name the backbone that it is of"
    return f"name the backbone that it is of: {spec.architecture}-torchvision takes torchvision's state_dict"


def _load_state(weights: WeightsFile) -> dict[str, Any]:
    try:
        # The file is opened once for hash and load, so that the bytes that are checked are those that are read.
        with open(weights.path, "rb") as file:
            _check_sha256(weights, hashlib.file_digest(file, "sha256").hexdigest())
            file.seek(0)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:  # its long message advises to load the file unsafely
        raise WeightsError(
            f"weights file {weights.path}: expected tensors alone, found "
            f"{'pickled objects' if 'Unsupported' in str(error) else 'something else'}; save it with "
            "torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # torch.load raises a dozen types for a file that is not a checkpoint
        raise WeightsError(
            f"weights file {weights.path}: cannot be loaded as a checkpoint of tensors "
            f"({type(error).__name__}: {error})"
        ) from error


def _check_sha256(weights: WeightsFile, found: str) -> None:
    if found != weights.sha256:
        raise WeightsError(f"weights file {weights.path}: expected sha256 {weights.sha256}, found {found}")


def _read_quantised(state: dict[str, Any], architecture: str) -> Convolutions:
    """Read `blockB_convK_W_q` (uint8 indices, OIHW), `_W_table` (256 float32 centroids) and `_b` of each layer.

    The network expects BGR in [0, 255] minus its mean, so `conv1_1` is rewritten for RGB in [0, 1] divided by
    ImageNet's std, as every other backbone expects. This is exact, including the borders, because the mean stays the
    network's own.
    """
    convolutions: Convolutions = {}
    for name in (layer for layer in layer_names(architecture) if layer.startswith("conv")):
        key = f"block{name[4]}_conv{name[6]}"
        weight = state[f"{key}_W_table"].float()[state[f"{key}_W_q"].long()]
        convolutions[name] = (weight, state[f"{key}_b"].float())
    weight, bias = convolutions["conv1_1"]
    std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device="cpu")
    convolutions["conv1_1"] = (weight.flip(1) * (255.0 * std).view(1, 3, 1, 1), bias)
    return convolutions


def _read_torchvision(state: dict[str, Any], architecture: str) -> Convolutions:
    """Read torchvision's `features.<index>.weight` and `.bias`; the index counts convolutions, ReLUs and poolings."""
    return {
        name: (state[f"features.{index}.weight"].float(), state[f"features.{index}.bias"].float())
        for index, name in enumerate(layer_names(architecture))
        if name.startswith("conv")
    }


_READERS = {"quantised": _read_quantised, "torchvision": _read_torchvision}

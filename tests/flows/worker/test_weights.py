"""flows.worker.weights: a run uses the weights that its settings name, and no others."""

import pytest

from flows.settings import RunSettings
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

"""flows.worker.weights: the file that a run's settings name, and no other one."""

import pytest

from flows.settings import RunSettings
from flows.worker.weights import resolve_weights
from nst_core.errors import WeightsError


def test_published_weights_are_held_to_the_sha256_that_is_asked_for() -> None:
    """Also without a file of one's own: a run that names a hash is done with those weights or not at all."""
    published = resolve_weights(RunSettings())

    for spelled in (published.sha256, published.sha256.upper()):
        assert resolve_weights(RunSettings(weights_sha256=spelled)) == published
    with pytest.raises(WeightsError, match=f"of sha256 {'0' * 64}, its published file has {published.sha256}"):
        resolve_weights(RunSettings(weights_sha256="0" * 64))


def test_the_stub_has_no_weights_to_be_asked_for() -> None:
    """A retry of its run names the hash that its records have."""
    assert resolve_weights(RunSettings(backbone="stub", weights_sha256="0" * 64)).path == ""

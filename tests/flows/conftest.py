"""Fixtures for the tests of the flow."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.storage import s3
from nst_core.backbones.catalogue import WeightsFile, published_weights
from tests.flows.builders import Painter
from tests.flows.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from flows.worker.job import Job


@pytest.fixture(scope="session")
def weights() -> WeightsFile:
    """The weights file of the Oxford VGG-19."""
    found = published_weights("vgg19")
    assert found is not None
    return found


@pytest.fixture
def job(tmp_path: Path, weights: WeightsFile) -> "Job":
    """A job that writes into a new local folder."""
    from flows.worker.job import Job

    return Job(str(tmp_path / "out"), "this run", weights, "fp32")


@pytest.fixture
def cat(photo: Painter) -> str:
    """A content image."""
    return photo("cat.png", 96, 72, seed=1)


@pytest.fixture
def waves(style: Painter) -> str:
    """A style image."""
    return style("waves.png", 80, 60, seed=2)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch uses one thread: these images are too small for more, and other processes want the cores."""
    import torch  # imported late, as most tests need no torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Requests for an object are given up after three seconds, those to a server that went away after eight."""
    monkeypatch.setenv("NST_OBJECT_SECONDS", "3")
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "8")
    s3.requests.filesystem.cache_clear()
    yield
    s3.requests.filesystem.cache_clear()


@pytest.fixture
def s3_proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy that every S3 request of this test goes through."""
    proxy = FaultProxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    s3.requests.filesystem.cache_clear()
    yield proxy
    s3.requests.filesystem.cache_clear()
    proxy.stop()

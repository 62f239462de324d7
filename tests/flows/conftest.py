"""Fixtures for the flow's tests."""

from collections.abc import Iterator

import pytest
from fault_proxy import FaultProxy

from flows.storage import s3


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Objects are given up after three seconds, a server that went away after eight."""
    monkeypatch.setenv("NST_OBJECT_SECONDS", "3")
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "8")
    s3._filesystem.cache_clear()
    yield
    s3._filesystem.cache_clear()


@pytest.fixture
def s3_proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy that every S3 request of this test goes through."""
    proxy = FaultProxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    s3._filesystem.cache_clear()
    yield proxy
    s3._filesystem.cache_clear()
    proxy.stop()

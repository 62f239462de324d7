"""Provides short waits between attempts, and an S3 server whose responses are chosen by the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.storage import s3
from tests.flows.s3_peer import Answer, Request, S3Peer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are very short."""
    monkeypatch.setattr("flows.storage.retries.FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("flows.storage.retries.LONGEST_WAIT_SECONDS", 0.05)


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., S3Peer]]:
    """Return a function that starts a server with given responses, to which all S3 requests of the test then go."""
    peers: list[S3Peer] = []

    def started(answer: Callable[[Request], Answer], certificate: Path | None = None) -> S3Peer:
        peers.append(S3Peer(answer, certificate))
        monkeypatch.setenv("AWS_ENDPOINT_URL", peers[-1].url)
        s3.requests.filesystem.cache_clear()
        return peers[-1]

    yield started
    s3.requests.filesystem.cache_clear()
    for one in peers:
        one.stop()

"""An S3 server that gives whatever answers a test wants."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.storage import s3
from tests.flows.s3_peer import Answer, Request, S3Peer


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., S3Peer]]:
    """A server that gives these answers, which every S3 request of this test goes to."""
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

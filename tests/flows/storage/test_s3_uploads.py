"""flows.storage.s3.uploads: a large file arrives whole, and of an upload that fails no part stays on S3."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import storage
from flows.errors import Forbidden
from flows.storage.s3.uploads import put_file
from tests.flows.s3_peer import Answer, Request, S3Peer, refusal

Peer = Callable[[Callable[[Request], Answer]], S3Peer]
BEGUN = b"<InitiateMultipartUploadResult><UploadId>upload-7</UploadId></InitiateMultipartUploadResult>"
SLOW_SECONDS = 30.0
"""How long a part takes at most, if the upload is not aborted before."""


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a file that is sent in five parts."""
    monkeypatch.setattr("flows.storage.s3.uploads.LARGE_FILE_BYTES", 100)
    monkeypatch.setattr("flows.storage.s3.uploads.PART_BYTES", 20)
    (tmp_path / "large.tar").write_bytes(os.urandom(100))
    return str(tmp_path / "large.tar")


def server(peer: Peer, part: Callable[[threading.Event], Answer]) -> S3Peer:
    """Start a server that begins and aborts uploads; `part` answers a part, given an event that is set by the abort."""
    aborted = threading.Event()

    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(200, BEGUN, {"Content-Type": "application/xml"})
        if request.method == "DELETE":
            aborted.set()
            return Answer(204)
        return part(aborted)

    return peer(answer)


def aborts(started: S3Peer) -> list[str]:
    """Return the paths of the requests that abort an upload."""
    return [request.path for request in started.requests if request.method == "DELETE"]


def test_a_file_that_is_sent_in_parts_arrives_whole(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object has the bytes of the file, in their order, and the ETag of an object of two parts."""
    monkeypatch.setattr("flows.storage.s3.uploads.LARGE_FILE_BYTES", 5 << 20)
    monkeypatch.setattr("flows.storage.s3.uploads.PART_BYTES", 5 << 20)  # S3 takes no smaller ones
    source = tmp_path / "source"
    source.write_bytes(os.urandom((5 << 20) + 3))
    storage.replace_by(f"{s3_bucket}/large.tar", str(source))

    data, etag = storage.read_with_version(f"{s3_bucket}/large.tar")
    assert data == source.read_bytes()
    assert etag.strip('"').endswith("-2")


def test_an_upload_that_is_interrupted_is_aborted(peer: Peer, large: str) -> None:
    """After Ctrl-C, while parts are under way, the parts that have arrived are removed."""

    def interrupting(aborted: threading.Event) -> Answer:
        with interrupted_once:
            if not aborted.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                aborted.wait(SLOW_SECONDS)
        return refusal(404, "NoSuchUpload")

    interrupted_once = threading.Lock()
    started = server(peer, interrupting)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in case a shell set it to be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            storage.replace_by("s3://bucket/large.tar", large)
    finally:
        signal.signal(signal.SIGINT, before)

    assert aborts(started) == ["/bucket/large.tar?uploadId=upload-7"]


def test_an_upload_that_reaches_its_deadline_is_aborted(
    peer: Peer, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the parts take longer than the deadline, those that have arrived are removed."""

    def slow(aborted: threading.Event) -> Answer:
        aborted.wait(SLOW_SECONDS)
        return refusal(404, "NoSuchUpload")

    started = server(peer, slow)
    clock = iter([0.0, 59.9])  # when the upload begins, and when its parts do
    monkeypatch.setattr("flows.storage.s3.uploads.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(TimeoutError):
        put_file("s3://bucket/large.tar", large, 60.0)

    assert aborts(started) == ["/bucket/large.tar?uploadId=upload-7"]


def test_an_upload_whose_part_is_refused_is_aborted(peer: Peer, large: str) -> None:
    """The error of S3 is raised once the parts that have arrived are removed."""
    started = server(peer, lambda _aborted: refusal(403, "AccessDenied"))
    with pytest.raises(Forbidden, match=r"s3://bucket/large\.tar: .*PutObject"):
        storage.replace_by("s3://bucket/large.tar", large)

    assert aborts(started) == ["/bucket/large.tar?uploadId=upload-7"]


def test_an_upload_that_cannot_be_aborted_raises_its_own_error(peer: Peer, large: str) -> None:
    """What ended the upload is the error that the user sees, not the failed attempt to remove its parts."""

    def answer(request: Request) -> Answer:
        is_first = request.method == "POST"
        return Answer(200, BEGUN, {"Content-Type": "application/xml"}) if is_first else refusal(403, "AccessDenied")

    peer(answer)
    with pytest.raises(Forbidden, match="PutObject"):
        storage.replace_by("s3://bucket/large.tar", large)

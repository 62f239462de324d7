"""Provides an S3 server on a real socket that gives the responses of a test, such as errors that no test server has."""

import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """A response for the server to send."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, code: str, *more: str, **headers: str) -> Answer:
    """Return an S3 error as a response; `more` are elements of its XML, and headers have `_` for `-`."""
    text = f"<Error><Code>{code}</Code><Message>{code} it is</Message>{''.join(more)}</Error>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"<?xml version='1.0'?>{text}".encode(), {"Content-Type": "application/xml", **named})


def an_object(data: bytes, **headers: str) -> Answer:
    """Return an object as a response; headers have `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, data, {"ETag": '"an-etag"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", **named})


class S3Peer:
    """Responds to each request as `answer` says, and keeps it in `requests`; with a certificate, over TLS."""

    def __init__(self, answer: Callable[[Request], Answer], certificate: Path | None = None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"peer": self}))
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    peer: S3Peer
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        self.peer.requests.append(request)
        answer = self.peer.answer(request)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # the client did not wait for the answer
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _respond  # noqa: N815  # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass

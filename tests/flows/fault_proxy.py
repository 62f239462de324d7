"""Provides an HTTP proxy in front of an S3 server that fails in the ways that a test chooses."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LOSE_ANSWER = "lose answer"
"""Carry out the request, then close the connection without a response."""
FLIP_BIT = "flip bit"
"""Change one bit of the response's body."""
CUT_SHORT = "cut short"
"""Close the connection in the middle of the response's body."""
HANG = "hang"
"""Send nothing for a minute, then close the connection."""
DRIP = "drip"
"""Send the response's body at one byte per tenth of a second."""
RESET = "reset"
"""Close the connection without carrying out the request."""
IGNORE_CONDITION = "ignore condition"
"""Carry out a write without its If-None-Match, as some S3-compatible stores do."""

Fault = str | tuple[int, str]

NOT_FORWARDED = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


class FaultProxy:
    """Forwards to `upstream`. Each of `faults`, in order, is used for one request of its method; later ones succeed.

    A fault is one of the constants above, or (HTTP status, S3 error code). `rule` chooses by method and path instead.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[tuple[str, Fault]] = []
        self.rule: Callable[[str, str], Fault | None] | None = None
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Count a request and return its fault; None if it is to be forwarded."""
        with self.lock:
            self.requests[method] += 1
            if self.rule is not None and (fault := self.rule(method, path)) is not None:
                return fault
            for index, (wanted, fault) in enumerate(self.faults):
                if wanted == method:
                    del self.faults[index]
                    return fault
        return None

    def go_away(self) -> None:
        """Stop responding: open connections end, and new ones are refused."""
        self.rule = lambda _method, _path: RESET
        self.stop()

    def stop(self) -> None:
        """Stop the server and end all waiting responses."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.next_fault(self.command, self.path)
        if fault in (HANG, RESET):
            self.proxy.stopped.wait(60 if fault == HANG else 0)
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            status, code = fault
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
            self._answer(status, [("Content-Type", "application/xml")], text)
            return
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=10)
        dropped = {"expect", "if-none-match"} if fault == IGNORE_CONDITION else {"expect"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if fault == LOSE_ANSWER:
            self.close_connection = True
            return
        if fault == FLIP_BIT:
            data = bytes([data[0] ^ 1]) + data[1:]
        self._answer(answer.status, answer.getheaders(), data, fault)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, fault: object = None) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in NOT_FORWARDED | {"content-length"}:
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length")
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self._send(data, fault)
        if fault == CUT_SHORT:
            self.close_connection = True

    def _send(self, data: bytes, fault: object) -> None:
        if fault != DRIP:
            self.wfile.write(data[: len(data) // 2] if fault == CUT_SHORT else data)
            return
        with suppress(OSError):  # the client closed the connection
            for byte in data:
                self.wfile.write(bytes([byte]))
                if self.proxy.stopped.wait(0.1):
                    break

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # noqa: N815  # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass
